#include <weft/io/datagram.hpp>

#include <weft/io/datagram_transport.hpp>
#include <weft/io/resolver.hpp>
#include <weft/sync/queue.hpp>

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

// The awaitable form

/// Collects what arrives in a bounded queue.
class EndpointProtocol final : public DatagramProtocol {
public:
    EndpointProtocol(EventLoop& loop, std::size_t limit)
        : loop_(loop), incoming_(static_cast<std::ptrdiff_t>(limit)), lost_(loop.create_future<void>()) {}

    void connection_made(std::shared_ptr<DatagramTransport> transport) override { transport_ = std::move(transport); }
    void datagram_received(std::span<const std::byte> data, const Address& from) override {
        if (has_room()) incoming_.put_nowait(Incoming(Datagram(Bytes(data), from), nullptr));
    }
    void error_received(std::exception_ptr error) override {
        if (transport_ && transport_->is_closing()) return;  // nobody receives any more
        if (sending_)
            send_error_ = std::move(error);
        else if (has_room())
            incoming_.put_nowait(Incoming(Datagram(), std::move(error)));
    }
    void pause_writing() override { paused_ = true; }
    void resume_writing() override {
        paused_ = false;
        wake_senders();
    }
    void connection_lost(std::exception_ptr) override {
        incoming_.shutdown();
        wake_senders();
        if (!lost_.done()) lost_.set_result();
    }

    static Coro<Datagram> receive(std::shared_ptr<EndpointProtocol> self) {
        std::optional<Incoming> next;
        try {
            next = co_await self->incoming_.get();
        } catch (const QueueShutDown&) {
            throw ConnectionAbortedError("the datagram endpoint is closed");
        }
        if (next->second) std::rethrow_exception(next->second);
        co_return std::move(next->first);
    }
    static Coro<> send(std::shared_ptr<EndpointProtocol> self, std::span<const std::byte> data,
                       std::optional<Address> to) {
        if (self->transport_->is_closing()) throw ConnectionAbortedError("the datagram endpoint is closed");
        self->send_now(data, to);
        while (self->paused_ && !self->lost_.done()) {
            Future<> room = self->loop_.create_future<void>();
            self->senders_.push_back(room);
            co_await room;
        }
    }
    static Coro<> wait_closed(std::shared_ptr<EndpointProtocol> self) {
        if (self->lost_.done()) co_return;
        Future<> lost = self->loop_.create_future<void>();
        self->lost_.add_done_callback([lost]() mutable {
            if (!lost.done()) lost.set_result();
        });
        co_await lost;
    }
    void close() {
        transport_->close();
        incoming_.shutdown();
    }
    DatagramTransport& transport() const noexcept { return *transport_; }
    std::size_t dropped() const noexcept { return dropped_; }
    std::size_t queued() const noexcept { return incoming_.qsize(); }

private:
    using Incoming = std::pair<Datagram, std::exception_ptr>;

    bool has_room() noexcept {
        if (!incoming_.full()) return true;
        ++dropped_;
        return false;
    }
    void send_now(std::span<const std::byte> data, const std::optional<Address>& to) {
        sending_ = true;
        try {
            if (to)
                transport_->sendto(data, *to);
            else
                transport_->sendto(data);
        } catch (...) {
            sending_ = false;
            throw;
        }
        sending_ = false;
        if (send_error_) std::rethrow_exception(std::exchange(send_error_, nullptr));
    }
    void wake_senders() {
        for (auto& room : std::exchange(senders_, {}))
            if (!room.done()) room.set_result();
    }

    EventLoop& loop_;
    std::shared_ptr<DatagramTransport> transport_;
    Queue<Incoming> incoming_;
    std::vector<Future<>> senders_;
    Future<> lost_;
    std::exception_ptr send_error_;
    std::size_t dropped_ = 0;
    bool sending_ = false;
    bool paused_ = false;
};

}  // namespace io

/// Shared by the copies of an endpoint.
class DatagramEndpoint::Owner {
public:
    explicit Owner(std::shared_ptr<io::EndpointProtocol> state) noexcept : state(std::move(state)) {}
    Owner(const Owner&) = delete;
    Owner& operator=(const Owner&) = delete;
    ~Owner() {
        if (!state->transport().is_closing()) state->close();
    }
    const std::shared_ptr<io::EndpointProtocol> state;
};

DatagramEndpoint::DatagramEndpoint(std::shared_ptr<io::EndpointProtocol> state)
    : owner_(std::make_shared<Owner>(std::move(state))) {}

namespace {

/// The endpoint lives as long as the call.
template <class T>
Coro<T> hold(DatagramEndpoint endpoint, Coro<T> call) {
    (void)endpoint;
    co_return co_await std::move(call);
}

}  // namespace

Coro<Datagram> DatagramEndpoint::receive() {
    return hold(*this, io::EndpointProtocol::receive(owner_->state));
}
Coro<void> DatagramEndpoint::send(std::span<const std::byte> data) {
    return io::EndpointProtocol::send(owner_->state, data, std::nullopt);
}
Coro<void> DatagramEndpoint::send(std::span<const std::byte> data, Address to) {
    return io::EndpointProtocol::send(owner_->state, data, std::move(to));
}
Coro<void> DatagramEndpoint::send(std::string_view text) {
    return send(as_byte_span(text));
}
Coro<void> DatagramEndpoint::send(std::string_view text, Address to) {
    return send(as_byte_span(text), std::move(to));
}
std::size_t DatagramEndpoint::dropped() const noexcept {
    return owner_->state->dropped();
}
std::size_t DatagramEndpoint::queued() const noexcept {
    return owner_->state->queued();
}
void DatagramEndpoint::close() {
    owner_->state->close();
}
bool DatagramEndpoint::is_closing() const noexcept {
    return owner_->state->transport().is_closing();
}
Coro<void> DatagramEndpoint::wait_closed() {
    return io::EndpointProtocol::wait_closed(owner_->state);
}
DatagramTransport& DatagramEndpoint::transport() const noexcept {
    return owner_->state->transport();
}

Coro<DatagramEndpoint> open_datagram_endpoint(DatagramOptions options) {
    EventLoop& loop = get_running_loop();
    const std::size_t limit = options.queue_limit();
    auto factory = [&loop, limit] { return std::make_shared<io::EndpointProtocol>(loop, limit); };
    auto connection = co_await loop.create_datagram_endpoint(std::move(factory), std::move(options));
    co_return DatagramEndpoint(std::move(connection.protocol));
}

}  // namespace weft
