#include <weft/backends/asio/socket_address.hpp>

#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace weft::asio_backend {

SystemAddress::SystemAddress(const Address& address) noexcept {
    switch (address.family()) {
    case Family::ipv4: {
        sockaddr_in v4{};
        v4.sin_family = AF_INET;
        v4.sin_port = htons(address.port());
        std::memcpy(&v4.sin_addr, address.bytes().data(), sizeof v4.sin_addr);
        std::memcpy(&storage_, &v4, size_ = sizeof v4);
        break;
    }
    case Family::ipv6: {
        sockaddr_in6 v6{};
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(address.port());
        v6.sin6_scope_id = address.scope();
        std::memcpy(&v6.sin6_addr, address.bytes().data(), sizeof v6.sin6_addr);
        std::memcpy(&storage_, &v6, size_ = sizeof v6);
        break;
    }
    case Family::local: {
        sockaddr_un local{};
        local.sun_family = AF_UNIX;
        const std::string& path = address.path();
        std::memcpy(local.sun_path, path.data(), path.size());
        // A name in the abstract namespace is as long as it is; a path ends with a zero byte.
        const bool is_path = !path.empty() && path.front() != '\0';
        size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (is_path ? 1 : 0));
        std::memcpy(&storage_, &local, sizeof local);
        break;
    }
    case Family::unspecified:
        storage_.ss_family = AF_UNSPEC;
        size_ = sizeof(sa_family_t);
        break;
    }
}

std::optional<Address> address_of(const sockaddr& address, socklen_t size) {
    std::array<std::uint8_t, 16> bytes{};
    if (address.sa_family == AF_INET && size >= sizeof(sockaddr_in)) {
        sockaddr_in v4;
        std::memcpy(&v4, &address, sizeof v4);
        std::memcpy(bytes.data(), &v4.sin_addr, sizeof v4.sin_addr);
        return Address(Family::ipv4, bytes, ntohs(v4.sin_port));
    }
    if (address.sa_family == AF_INET6 && size >= sizeof(sockaddr_in6)) {
        sockaddr_in6 v6;
        std::memcpy(&v6, &address, sizeof v6);
        std::memcpy(bytes.data(), &v6.sin6_addr, sizeof v6.sin6_addr);
        return Address(Family::ipv6, bytes, ntohs(v6.sin6_port), v6.sin6_scope_id);
    }
    if (address.sa_family == AF_UNIX && size >= offsetof(sockaddr_un, sun_path)) {
        const char* const path = reinterpret_cast<const char*>(&address) + offsetof(sockaddr_un, sun_path);
        const std::size_t room =
            std::min<std::size_t>(size - offsetof(sockaddr_un, sun_path), sizeof(sockaddr_un::sun_path) - 1);
        const bool is_path = room > 0 && path[0] != '\0';
        return Address::local(std::string(path, is_path ? ::strnlen(path, room) : room));
    }
    return std::nullopt;
}

}  // namespace weft::asio_backend
