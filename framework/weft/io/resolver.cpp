#include <weft/io/resolver.hpp>

#include <weft/base/exceptions.hpp>
#include <weft/io/network.hpp>
#include <weft/loop/event_loop.hpp>

#include <algorithm>
#include <charconv>

namespace weft {

namespace {

/// Asks the backend, which knows how names are looked up in its world.
class BackendResolver final : public ResolverService {
public:
    explicit BackendResolver(EventLoop& loop) noexcept : loop_(loop) {}
    Coro<std::vector<AddrInfo>> getaddrinfo(std::string host, std::string service, AddrInfoHints hints) override {
        return loop_.backend().network().getaddrinfo(std::move(host), std::move(service), hints);
    }
    Coro<std::pair<std::string, std::string>> getnameinfo(Address address, int flags) override {
        return loop_.backend().network().getnameinfo(std::move(address), flags);
    }

private:
    EventLoop& loop_;
};

std::optional<std::uint16_t> numeric_port(const std::string& service) {
    if (service.empty()) return std::uint16_t{0};
    std::uint16_t port = 0;
    const char* const end = service.data() + service.size();
    const auto [stop, error] = std::from_chars(service.data(), end, port);
    if (error != std::errc() || stop != end) return std::nullopt;
    return port;
}

/// What getaddrinfo(3) says of a numeric address and port.
std::vector<AddrInfo> numeric_answer(const Address& address, const AddrInfoHints& hints) {
    constexpr int tcp = 6;
    constexpr int udp = 17;
    std::vector<AddrInfo> found;
    const auto fits = [&hints](SocketKind kind, int protocol) {
        return (hints.kind() == SocketKind::any || hints.kind() == kind) &&
               (hints.protocol() == 0 || hints.protocol() == protocol);
    };
    if (fits(SocketKind::stream, tcp)) found.emplace_back(address, SocketKind::stream, tcp, "");
    if (fits(SocketKind::datagram, udp)) found.emplace_back(address, SocketKind::datagram, udp, "");
    return found;
}

Coro<std::vector<AddrInfo>> look_up(EventLoop& loop, std::string host, std::string service, AddrInfoHints hints) {
    const auto port = numeric_port(service);
    if (port && hints.flags() == 0) {
        const auto address = Address::parse(host, *port);
        if (address && (hints.family() == Family::unspecified || hints.family() == address->family())) {
            std::vector<AddrInfo> found = numeric_answer(*address, hints);
            if (!found.empty()) co_return std::move(found);
        }
    }
    co_return co_await ResolverService::of(loop).getaddrinfo(std::move(host), std::move(service), hints);
}

Coro<std::vector<AddrInfo>> look_up(EventLoop& loop, std::string host, int port, AddrInfoHints hints) {
    const std::string number = std::to_string(io::checked_port(port));
    co_return co_await look_up(loop, std::move(host), number, hints);
}

}  // namespace

ResolverService& ResolverService::of(EventLoop& loop) {
    if (auto* resolver = loop.find_service<ResolverService>()) return *resolver;
    return loop.add_service<BackendResolver>(loop);
}

Coro<std::vector<AddrInfo>> EventLoop::getaddrinfo(std::string host, std::string service, AddrInfoHints hints) {
    return look_up(*this, std::move(host), std::move(service), hints);
}
Coro<std::vector<AddrInfo>> EventLoop::getaddrinfo(std::string host, std::string service) {
    return look_up(*this, std::move(host), std::move(service), AddrInfoHints());
}
Coro<std::vector<AddrInfo>> EventLoop::getaddrinfo(std::string host, int port, AddrInfoHints hints) {
    return look_up(*this, std::move(host), port, hints);
}
Coro<std::vector<AddrInfo>> EventLoop::getaddrinfo(std::string host, int port) {
    return look_up(*this, std::move(host), port, AddrInfoHints());
}

Coro<std::pair<std::string, std::string>> EventLoop::getnameinfo(Address address, int flags) {
    return ResolverService::of(*this).getnameinfo(std::move(address), flags);
}

namespace io {

std::uint16_t checked_port(int port) {
    if (port < 0 || port > 65535) throw ValueError("port " + std::to_string(port) + " is not within 0..65535");
    return static_cast<std::uint16_t>(port);
}

Coro<std::vector<Address>> resolve(std::string host, std::uint16_t port, AddrInfoHints hints) {
    std::vector<Address> addresses;
    if (auto numeric = Address::parse(host, port)) {
        if (hints.family() != Family::unspecified && numeric->family() != hints.family())
            throw GaiError(std::make_error_code(std::errc::address_family_not_supported), host);
        addresses.push_back(std::move(*numeric));
        co_return std::move(addresses);
    }
    std::vector<AddrInfo> found =
        co_await ResolverService::of(get_running_loop()).getaddrinfo(host, std::to_string(port), hints);
    for (AddrInfo& answer : found)
        if (std::find(addresses.begin(), addresses.end(), answer.address) == addresses.end())
            addresses.push_back(std::move(answer.address));
    if (addresses.empty())
        throw OSError(std::make_error_code(std::errc::host_unreachable),
                      "getaddrinfo('" + host + "') returned empty list");
    co_return std::move(addresses);
}

}  // namespace io
}  // namespace weft
