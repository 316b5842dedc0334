#include <weft/io/datagram.hpp>

#include <weft/io/datagram_transport.hpp>
#include <weft/io/resolver.hpp>

#include <algorithm>

namespace weft {

namespace io {

// Opening

namespace {

Coro<std::vector<Address>> places(std::optional<DatagramOptions::Place> place, Family family, bool passive) {
    std::vector<Address> addresses;
    if (!place) co_return std::move(addresses);
    if (place->address) {
        if (family != Family::unspecified && place->address->family() != family)
            throw ValueError("the address " + place->address->to_string() + " is not of the family asked for");
        addresses.push_back(*place->address);
        co_return std::move(addresses);
    }
    if (family == Family::local) throw ValueError("a Unix socket's address is given as Address::local(path)");
    const std::uint16_t port = checked_port(place->port);
    if (place->host.empty()) {
        if (!passive) throw ValueError("host and port was not specified");
        if (family != Family::ipv6) addresses.push_back(Address::any(Family::ipv4, port));
        if (family != Family::ipv4) addresses.push_back(Address::any(Family::ipv6, port));
        co_return std::move(addresses);
    }
    AddrInfoHints hints;
    hints.family(family).kind(SocketKind::datagram);
    co_return co_await resolve(place->host, port, hints);
}

void check_options(const DatagramOptions& options) {
    const DatagramSocketOptions& socket = options.socket_options();
    const bool modified = options.local() || options.remote() || options.family() != Family::unspecified ||
                          socket.reuse_port || socket.allow_broadcast || !socket.groups.empty() ||
                          socket.multicast_interface || socket.multicast_ttl || socket.multicast_loopback;
    if (options.sock() >= 0 && modified)
        throw ValueError("socket modifier keyword arguments can not be used when sock is specified");
    if (options.sock() < 0 && !options.local() && !options.remote() && options.family() == Family::unspecified)
        throw ValueError("unexpected address family: give a local address, a remote one, a family or a socket");
    if (socket.multicast_ttl && (*socket.multicast_ttl < 0 || *socket.multicast_ttl > 255))
        throw ValueError("multicast_ttl " + std::to_string(*socket.multicast_ttl) + " is not within 0..255");
    if (options.queue_limit() == 0) throw ValueError("queue_limit must be at least 1");
}

OpenDatagram open_pair(Network& network, std::optional<Address> local, std::optional<Address> remote,
                       DatagramSocketOptions options) {
    if (!options.allow_broadcast) return OpenDatagram(network.open_datagram(local, remote, options));
    // A socket that may broadcast hears from everybody.
    if (remote) options.family = remote->family();
    return OpenDatagram(network.open_datagram(local, std::nullopt, options), remote);
}

}  // namespace

Coro<OpenDatagram> open_datagram(DatagramOptions options) {
    check_options(options);
    Network& network = get_running_loop().backend().network();
    if (options.sock() >= 0) co_return OpenDatagram(network.adopt_datagram(options.sock()));
    DatagramSocketOptions socket = options.socket_options();
    socket.family = options.family();
    const std::vector<Address> locals = co_await places(options.local(), options.family(), true);
    const std::vector<Address> remotes = co_await places(options.remote(), options.family(), false);
    std::vector<std::pair<std::optional<Address>, std::optional<Address>>> pairs;
    for (const Address& remote : remotes) {
        if (locals.empty()) pairs.emplace_back(std::nullopt, remote);
        for (const Address& local : locals)
            if (local.family() == remote.family()) pairs.emplace_back(local, remote);
    }
    if (!options.remote())
        for (const Address& local : locals)
            pairs.emplace_back(local, std::nullopt);
    if (!options.local() && !options.remote()) pairs.emplace_back();
    if (pairs.empty()) throw ValueError("can not get address information: no family has both addresses");
    std::exception_ptr first_error;
    for (auto& [local, remote] : pairs) {
        try {
            co_return open_pair(network, local, remote, socket);
        } catch (const OSError&) {
            if (!first_error) first_error = std::current_exception();
        }
    }
    std::rethrow_exception(first_error);
}

Coro<std::shared_ptr<DatagramTransport>> open_datagram_transport(OpenDatagram& socket,
                                                                 std::shared_ptr<DatagramProtocol> protocol) {
    EventLoop& loop = get_running_loop();
    Future<> ready = loop.create_future<void>();
    auto tell_ready = [ready]() mutable {
        if (!ready.done()) ready.set_result();
    };
    std::shared_ptr<DatagramTransport> transport =
        SocketDatagramTransport::open(loop, socket, std::move(protocol), std::move(tell_ready));
    std::exception_ptr cancelled;
    try {
        co_await ready;
    } catch (const CancelledError&) {
        cancelled = std::current_exception();
    }
    if (cancelled) {
        transport->close();
        std::rethrow_exception(cancelled);
    }
    co_return std::move(transport);
}

}  // namespace io
}  // namespace weft
