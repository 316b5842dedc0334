#include <weft/io/socket_name.hpp>

#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace weft::io {

namespace {
constexpr std::size_t path_offset = offsetof(sockaddr_un, sun_path);
}

int system_family(Family family) noexcept {
    switch (family) {
    case Family::ipv4: return AF_INET;
    case Family::ipv6: return AF_INET6;
    case Family::local: return AF_UNIX;
    case Family::unspecified: break;
    }
    return AF_UNSPEC;
}

SocketName::SocketName(const Address& address) noexcept : size_(sizeof(sa_family_t)) {
    if (address.family() == Family::ipv4) {
        auto& name = reinterpret_cast<sockaddr_in&>(storage_);
        name.sin_family = AF_INET;
        name.sin_port = htons(address.port());
        std::memcpy(&name.sin_addr, address.bytes().data(), sizeof name.sin_addr);
        size_ = sizeof name;
    } else if (address.family() == Family::ipv6) {
        auto& name = reinterpret_cast<sockaddr_in6&>(storage_);
        name.sin6_family = AF_INET6;
        name.sin6_port = htons(address.port());
        name.sin6_scope_id = address.scope();
        std::memcpy(&name.sin6_addr, address.bytes().data(), sizeof name.sin6_addr);
        size_ = sizeof name;
    } else if (address.family() == Family::local) {
        auto& name = reinterpret_cast<sockaddr_un&>(storage_);
        name.sun_family = AF_UNIX;
        const std::string& path = address.path();
        std::memcpy(name.sun_path, path.data(), path.size());
        // A file's path ends with a zero byte; an abstract name is as long as it is, and no name is nothing.
        const bool is_file = !path.empty() && path.front() != '\0';
        size_ = static_cast<socklen_t>(path_offset + path.size() + (is_file ? 1 : 0));
    }
}

Address SocketName::read(const sockaddr* name, socklen_t size) {
    if (size < sizeof(sa_family_t)) return Address();
    std::array<std::uint8_t, 16> bytes{};
    switch (name->sa_family) {
    case AF_INET: {
        const auto& ipv4 = *reinterpret_cast<const sockaddr_in*>(name);
        std::memcpy(bytes.data(), &ipv4.sin_addr, sizeof ipv4.sin_addr);
        return Address(Family::ipv4, bytes, ntohs(ipv4.sin_port));
    }
    case AF_INET6: {
        const auto& ipv6 = *reinterpret_cast<const sockaddr_in6*>(name);
        std::memcpy(bytes.data(), &ipv6.sin6_addr, sizeof ipv6.sin6_addr);
        return Address(Family::ipv6, bytes, ntohs(ipv6.sin6_port), ipv6.sin6_scope_id);
    }
    case AF_UNIX: {
        const auto& local = *reinterpret_cast<const sockaddr_un*>(name);
        if (size <= path_offset) return Address::local({});
        std::string path(local.sun_path, std::min<std::size_t>(size - path_offset, sizeof local.sun_path));
        if (path.front() != '\0') path.resize(std::strlen(path.c_str()));
        // A peer may have one of all the room there is, which an Address cannot be given.
        if (path.size() > sizeof local.sun_path - 1) return Address();
        return Address::local(std::move(path));
    }
    default: return Address();
    }
}

}  // namespace weft::io
