#pragma once
// Resolver: host names to addresses and back (loop.getaddrinfo, loop.getnameinfo).
//
//     std::vector<AddrInfo> found = co_await loop.getaddrinfo("localhost", 80);
//     auto [host, service] = co_await loop.getnameinfo(found.front().address);
//
// A numeric address is answered at once. Names are looked up on a small pool of threads of their own, so that a busy
// executor never delays them. An application may put a resolver of its own before the loop's first look-up:
//
//     class Hosts : public ResolverService { ... };
//     loop.add_service<Hosts>();

#include <weft/io/address.hpp>
#include <weft/loop/service.hpp>
#include <weft/tasks/coro.hpp>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace weft {

/// What kind of socket an address is for.
enum class SocketKind : std::uint8_t { any, stream, datagram };

/// One answer of getaddrinfo().
class AddrInfo {
public:
    AddrInfo() = default;
    AddrInfo(Address address, SocketKind kind, int protocol, std::string canonname)
        : address(std::move(address)), kind(kind), protocol(protocol), canonname(std::move(canonname)) {}
    Address address;
    SocketKind kind = SocketKind::stream;
    int protocol = 0;       ///< IPPROTO_TCP, IPPROTO_UDP, ...
    std::string canonname;  ///< if AI_CANONNAME was asked for, of the first answer
};

/// What getaddrinfo() looks for.
class AddrInfoHints {
public:
    AddrInfoHints() = default;
    AddrInfoHints& family(Family value) & { return family_ = value, *this; }
    AddrInfoHints&& family(Family value) && { return std::move(family(value)); }
    /// Default any: an answer for each kind of socket.
    AddrInfoHints& kind(SocketKind value) & { return kind_ = value, *this; }
    AddrInfoHints&& kind(SocketKind value) && { return std::move(kind(value)); }
    /// An IPPROTO_ number; default 0, any.
    AddrInfoHints& protocol(int value) & { return protocol_ = value, *this; }
    AddrInfoHints&& protocol(int value) && { return std::move(protocol(value)); }
    /// AI_ flags of <netdb.h>; default none.
    AddrInfoHints& flags(int value) & { return flags_ = value, *this; }
    AddrInfoHints&& flags(int value) && { return std::move(flags(value)); }

    Family family() const noexcept { return family_; }
    SocketKind kind() const noexcept { return kind_; }
    int protocol() const noexcept { return protocol_; }
    int flags() const noexcept { return flags_; }

private:
    Family family_ = Family::unspecified;
    SocketKind kind_ = SocketKind::any;
    int protocol_ = 0;
    int flags_ = 0;
};

/// Looks names up for a loop. Everything in Weft that takes a host name asks this service.
class ResolverService : public Service {
public:
    using service_type = ResolverService;
    static constexpr bool has_default = true;

    /// The loop's resolver; the backend's own is put there if there is none.
    static ResolverService& of(EventLoop& loop);
    std::string_view name() const noexcept override { return "resolver"; }

    /// The addresses of a host and a service (a port number or a name, or empty for port 0); GaiError. Cancelling it
    /// stops the waiting. Never asked for what is numeric.
    virtual Coro<std::vector<AddrInfo>> getaddrinfo(std::string host, std::string service, AddrInfoHints hints) = 0;
    /// {host, service} of an address; `flags` are NI_ flags of <netdb.h>. GaiError.
    virtual Coro<std::pair<std::string, std::string>> getnameinfo(Address address, int flags) = 0;
};

namespace io {

/// `port` as a port; ValueError if it is none.
std::uint16_t checked_port(int port);
/// The stream addresses of `host`, which may be numeric, in the resolver's order and without repetitions.
Coro<std::vector<Address>> resolve(std::string host, std::uint16_t port, AddrInfoHints hints);

}  // namespace io
}  // namespace weft
