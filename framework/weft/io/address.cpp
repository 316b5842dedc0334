#include <weft/io/address.hpp>

#include <weft/base/exceptions.hpp>

#include <arpa/inet.h>
#include <sys/un.h>

#include <charconv>
#include <cstring>

namespace weft {

const std::string& Address::no_path() noexcept {
    static const auto* const none = new const std::string;  // for good: addresses may outlive it at the end
    return *none;
}

std::optional<Address> Address::parse(const std::string& host, std::uint16_t port) {
    std::array<std::uint8_t, 16> bytes{};
    if (inet_pton(AF_INET, host.c_str(), bytes.data()) == 1) return Address(Family::ipv4, bytes, port);
    std::string name = host;
    std::uint32_t scope = 0;
    if (const auto percent = name.find('%'); percent != std::string::npos) {
        const char* begin = name.data() + percent + 1;
        const char* end = name.data() + name.size();
        const auto [stop, error] = std::from_chars(begin, end, scope);
        if (error != std::errc() || stop != end || begin == end) return std::nullopt;
        name.resize(percent);
    }
    if (inet_pton(AF_INET6, name.c_str(), bytes.data()) == 1) return Address(Family::ipv6, bytes, port, scope);
    return std::nullopt;
}

Address Address::local(std::string path) {
    if (path.size() > sizeof(sockaddr_un::sun_path) - 1)
        throw ValueError("AF_UNIX path too long: " + std::to_string(path.size()) + " bytes, at most " +
                         std::to_string(sizeof(sockaddr_un::sun_path) - 1));
    if (!path.empty() && path.front() != '\0' && path.find('\0') != std::string::npos)
        throw ValueError("AF_UNIX path has a zero byte inside");
    Address address;
    address.family_ = Family::local;
    if (!path.empty()) address.path_ = std::make_shared<const std::string>(std::move(path));
    return address;
}

std::string Address::host() const {
    if (family_ == Family::local) return path();
    char text[INET6_ADDRSTRLEN] = "";
    if (family_ == Family::unspecified) return {};
    inet_ntop(family_ == Family::ipv4 ? AF_INET : AF_INET6, bytes_.data(), text, sizeof text);
    std::string result = text;
    if (scope_ != 0) result += "%" + std::to_string(scope_);
    return result;
}

std::string Address::to_string() const {
    if (family_ == Family::local) {
        std::string text = path();
        if (!text.empty() && text.front() == '\0') text.front() = '@';
        return text;
    }
    if (family_ == Family::ipv6) return "[" + host() + "]:" + std::to_string(port_);
    return host() + ":" + std::to_string(port_);
}

}  // namespace weft
