#pragma once
// Address: where a socket is: a numeric IP address and port, or the path of a Unix socket.
//
//     Address a = *Address::parse("127.0.0.1", 8080);
//     a.host();  a.port();  a.to_string();             // "127.0.0.1:8080", "[::1]:8080"
//     Address b = Address::local("/run/app.sock");     // b.path();  b.to_string() gives the path
//
// It holds no host name: names are resolved by the loop.

#include <array>
#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

namespace weft {

enum class Family : std::uint8_t { unspecified, ipv4, ipv6, local };

class Address {
public:
    Address() = default;
    /// `bytes` in network order; an IPv4 address uses the first four.
    Address(Family family, const std::array<std::uint8_t, 16>& bytes, std::uint16_t port,
            std::uint32_t scope = 0) noexcept
        : bytes_(bytes), scope_(scope), port_(port), family_(family) {}
    /// A numeric address; nothing if `host` is not one. A zone (`fe80::1%2`) must be a number.
    static std::optional<Address> parse(const std::string& host, std::uint16_t port);
    /// A Unix socket. A path that starts with a zero byte is a name in Linux's abstract namespace; an empty one is a
    /// socket without a name. ValueError if it is longer than the system allows (107 bytes) or has a zero byte inside.
    static Address local(std::string path);
    /// The address that means every interface.
    static Address any(Family family, std::uint16_t port) noexcept { return Address(family, {}, port); }

    Family family() const noexcept { return family_; }
    /// The numeric address as text; of a Unix socket its path.
    std::string host() const;
    /// The path of a Unix socket, else an empty string.
    const std::string& path() const noexcept { return path_ ? *path_ : no_path(); }
    std::uint16_t port() const noexcept { return port_; }
    std::uint32_t scope() const noexcept { return scope_; }
    const std::array<std::uint8_t, 16>& bytes() const noexcept { return bytes_; }
    bool is_any() const noexcept { return family_ != Family::local && bytes_ == std::array<std::uint8_t, 16>{}; }
    Address with_port(std::uint16_t port) const noexcept { return Address(family_, bytes_, port, scope_); }
    /// "127.0.0.1:80", "[::1]:80", "/run/app.sock", "@abstract".
    std::string to_string() const;

    bool operator==(const Address& other) const noexcept {
        return numbers() == other.numbers() && path() == other.path();
    }
    std::strong_ordering operator<=>(const Address& other) const noexcept {
        const auto order = numbers() <=> other.numbers();
        return order != 0 ? order : path() <=> other.path();
    }

private:
    static const std::string& no_path() noexcept;
    std::tuple<const std::array<std::uint8_t, 16>&, std::uint32_t, std::uint16_t, Family> numbers() const noexcept {
        return {bytes_, scope_, port_, family_};
    }

    std::array<std::uint8_t, 16> bytes_{};
    std::uint32_t scope_ = 0;
    std::uint16_t port_ = 0;
    Family family_ = Family::unspecified;
    std::shared_ptr<const std::string> path_;  // null if it is empty
};

}  // namespace weft
