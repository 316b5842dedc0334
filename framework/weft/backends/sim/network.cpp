#include <weft/backends/sim/network.hpp>

#include <weft/backends/sim/backend.hpp>
#include <weft/backends/sim/datagram.hpp>
#include <weft/tasks/sleep.hpp>

#include <algorithm>
#include <charconv>
#include <list>

namespace weft::sim {

/// One end of a connection. What the other end wrote waits in `inbound_`.
class SimSocket final : public io::StreamSocket {
public:
    SimSocket(SimNetwork& network, Address local, Address remote)
        : network_(network),
          local_(local),
          remote_(remote),
          capacity_(network.capacity()),
          room_for_end_(Room::reserve()),
          room_for_close_(Room::reserve()) {}

    static void join(const detail::Ref<SimSocket>& a, const detail::Ref<SimSocket>& b) {
        a->peer_ = b;
        b->peer_ = a;
    }

    void start_reading() override {
        schedule_delivery(Duration::zero());
        wants_data_ = true;
    }
    void stop_reading() noexcept override { wants_data_ = false; }

    std::size_t write_some(std::span<const std::byte> data, std::error_code& error) noexcept override {
        if (reset_ || !peer_ || peer_->closed_) {
            error = std::make_error_code(reset_ ? std::errc::connection_reset : std::errc::broken_pipe);
            return 0;
        }
        const std::size_t count = std::min(data.size(), peer_->capacity_ - std::min(peer_->capacity_, peer_->used_));
        if (count == 0) return 0;
        try {
            send(data.first(count));
        } catch (...) {
            error = std::make_error_code(std::errc::not_enough_memory);
            return 0;
        }
        peer_->used_ += count;
        return count;
    }
    void wait_writable() override {
        room_for_writable_ = Room::reserve();
        waits_to_write_ = true;
        if (!peer_ || peer_->closed_ || peer_->used_ < peer_->capacity_) schedule_writable();
    }
    void shutdown_write() noexcept override {
        if (write_ended_ || !peer_) return;
        write_ended_ = true;
        network_.backend().post(
            network_.latency(), [peer = peer_] { peer->arrived({}, true); }, std::move(room_for_end_));
    }
    void close() noexcept override {
        if (closed_) return;
        closed_ = true;
        wants_data_ = false;
        detail::Ref<SimSocket> peer = std::move(peer_);
        if (!peer) return;
        // Unread bytes make the end a reset, as TCP does.
        const bool unread = !inbound_.empty();
        if (unread || !write_ended_) {
            const auto ended = [peer, unread] {
                if (unread && !peer->closed_) peer->reset_ = true;
                peer->arrived({}, true);
            };
            network_.backend().post(network_.latency(), ended, std::move(room_for_close_));
        }
        if (peer->waits_to_write_) peer->schedule_writable();
        inbound_.clear();
    }
    std::optional<Address> local_address() const override { return local_; }
    std::optional<Address> remote_address() const override { return remote_; }

private:
    using Room = SimBackend::EventRoom;
    /// What arrives moves from list to list: that cannot fail.
    using Pieces = std::list<Bytes>;

    void send(std::span<const std::byte> data) {
        Pieces piece;
        piece.emplace_back(data);
        network_.backend().post(network_.latency(), [peer = peer_, piece = std::move(piece)]() mutable {
            peer->arrived(std::move(piece), false);
        });
    }
    void arrived(Pieces pieces, bool end) {
        if (closed_) return;
        inbound_.splice(inbound_.end(), pieces);
        end_arrived_ |= end;
        deliver();
    }
    void schedule_delivery(Duration delay) {
        network_.backend().post(delay, [self = detail::Ref<SimSocket>(this)] { self->deliver(); });
    }
    void deliver() {
        const detail::Ref<SimSocket> keep(this);
        while (wants_data_ && !closed_ && !reset_ && !inbound_.empty()) {
            const Bytes data = std::move(inbound_.front());
            inbound_.pop_front();
            used_ -= data.size();
            if (peer_ && peer_->waits_to_write_) peer_->schedule_writable();
            events_->on_data(data.span());
        }
        if (!wants_data_ || closed_ || end_delivered_) return;
        if (reset_) {
            end_delivered_ = true;
            events_->on_read_error(std::make_error_code(std::errc::connection_reset));
        } else if (end_arrived_) {
            end_delivered_ = true;
            events_->on_end_of_stream();
        }
    }
    void schedule_writable() noexcept {
        waits_to_write_ = false;
        const auto writable = [self = detail::Ref<SimSocket>(this)] {
            if (!self->closed_) self->events_->on_writable();
        };
        network_.backend().post(Duration::zero(), writable, std::move(room_for_writable_));
    }

    SimNetwork& network_;
    const Address local_;
    const Address remote_;
    const std::size_t capacity_;
    detail::Ref<SimSocket> peer_;
    Pieces inbound_;
    Room room_for_end_;
    Room room_for_close_;
    Room room_for_writable_;  // while it waits to write
    std::size_t used_ = 0;    // bytes sent to this end and not read by it
    bool wants_data_ = false;
    bool waits_to_write_ = false;
    bool write_ended_ = false;
    bool end_arrived_ = false;
    bool end_delivered_ = false;
    bool reset_ = false;
    bool closed_ = false;
};

class SimListener final : public io::Listener {
public:
    SimListener(SimNetwork& network, Address address, io::ListenerEvents& events)
        : network_(network), address_(address), events_(events) {
        network_.listeners_[address_] = this;
    }
    ~SimListener() override { stop(); }

    void start() override { started_ = true; }
    void stop() noexcept override {
        started_ = false;
        auto found = network_.listeners_.find(address_);
        if (found != network_.listeners_.end() && found->second == this) network_.listeners_.erase(found);
    }
    Address address() const override { return address_; }

    /// False while it does not listen.
    bool offer(io::SocketRef socket) {
        if (started_) events_.on_accept(std::move(socket));
        return started_;
    }

private:
    SimNetwork& network_;
    const Address address_;
    io::ListenerEvents& events_;
    bool started_ = false;
};

SimListener* SimNetwork::find_listener(const Address& address) const {
    if (auto found = listeners_.find(address); found != listeners_.end()) return found->second;
    if (address.family() == Family::local) return nullptr;
    auto any = listeners_.find(Address::any(address.family(), address.port()));
    return any != listeners_.end() ? any->second : nullptr;
}

/// The client's end of a new connection with who listens at `remote`.
io::SocketRef SimNetwork::join_listener(const Address& own, const Address& remote) {
    auto client = detail::Ref<SimSocket>::adopt(new SimSocket(*this, own, remote));
    auto server = detail::Ref<SimSocket>::adopt(new SimSocket(*this, remote, own));
    SimSocket::join(client, server);
    io::SocketGuard client_guard(client);
    io::SocketGuard server_guard(server);
    SimListener* listener = find_listener(remote);
    if (!listener && !remote.path().empty() && remote.path().front() != '\0')
        throw_os_error(std::make_error_code(std::errc::no_such_file_or_directory),
                       "Connect call failed " + remote.to_string());
    if (!listener || !listener->offer(server))
        throw_os_error(std::make_error_code(std::errc::connection_refused),
                       "Connect call failed " + remote.to_string());
    server_guard.take();
    return client_guard.take();
}

std::uint16_t SimNetwork::free_port() {
    last_port_ = last_port_ == 65535 ? 49152 : static_cast<std::uint16_t>(last_port_ + 1);
    return last_port_;
}

/// Where a connection comes from: with a port.
Address SimNetwork::local_name(const std::optional<Address>& wanted, const Address& remote) {
    Address own = wanted.value_or(remote.with_port(0));
    return own.port() == 0 ? own.with_port(free_port()) : own;
}

Coro<io::SocketRef> SimNetwork::connect(Address remote, std::optional<Address> local) {
    EventLoop& loop = backend_.loop();
    Address own = remote.family() == Family::local ? local.value_or(Address::local({})) : local_name(local, remote);
    Future<io::SocketRef> connected = loop.create_future<io::SocketRef>();
    const auto slow = connect_latency_.find(remote.with_port(0));
    const Duration latency = slow == connect_latency_.end() ? latency_ : slow->second;
    const auto arrived = [this, connected, remote, own]() mutable {
        if (connected.done()) return;
        try {
            connected.set_result(join_listener(own, remote));
        } catch (...) {
            connected.set_exception(std::current_exception());
        }
    };
    if (latency != Duration::max()) backend_.post(latency, arrived);
    std::exception_ptr cancelled;
    try {
        co_await connected;
    } catch (const CancelledError&) {
        cancelled = std::current_exception();
    }
    if (cancelled) {
        // The connection may have come in the very step of the cancellation.
        if (!connected.cancelled() && connected.done()) connected.result()->close();
        std::rethrow_exception(cancelled);
    }
    co_return connected.result();
}

std::unique_ptr<io::Listener> SimNetwork::listen(const Address& address, const io::ListenOptions&,
                                                 io::ListenerEvents& events) {
    Address bound = address;
    // A simulated Unix socket is a name in the network: it has no file, so none is ever stale.
    while (address.family() != Family::local &&
           (bound.port() == 0 || (address.port() == 0 && listeners_.contains(bound))))
        bound = address.with_port(free_port());
    if (listeners_.contains(bound))
        throw_os_error(std::make_error_code(std::errc::address_in_use),
                       "error while attempting to bind on address " + bound.to_string());
    return std::make_unique<SimListener>(*this, bound, events);
}

// Datagrams

io::DatagramRef SimNetwork::open_datagram(const std::optional<Address>& local, const std::optional<Address>& remote,
                                          const io::DatagramSocketOptions& options) {
    auto socket = detail::Ref<SimDatagramSocket>::adopt(new SimDatagramSocket(*this, local, remote, options));
    if (remote && remote->family() == Family::local && datagram_receivers(*remote, *socket->local_address()).empty())
        throw_os_error(std::make_error_code(std::errc::no_such_file_or_directory),
                       "Connect call failed " + remote->to_string());
    return socket;
}

Address SimNetwork::with_free_datagram_port(Address address) {
    do
        address = address.with_port(free_port());
    while (datagram_sockets_.contains(address));
    return address;
}

void SimNetwork::add_datagram_socket(const Address& address, SimDatagramSocket& socket) {
    const bool has_name = address.family() != Family::local || !address.path().empty();
    for (auto [at, end] = datagram_sockets_.equal_range(address); has_name && at != end; ++at)
        if (!at->second->shares_port() || !socket.shares_port())
            throw_os_error(std::make_error_code(std::errc::address_in_use),
                           "error while attempting to bind on address " + address.to_string());
    datagram_sockets_.emplace(address, &socket);
}

void SimNetwork::remove_datagram_socket(const Address& address, SimDatagramSocket& socket) noexcept {
    for (auto [at, end] = datagram_sockets_.equal_range(address); at != end; ++at) {
        if (at->second != &socket) continue;
        datagram_sockets_.erase(at);
        return;
    }
}

std::vector<detail::Ref<SimDatagramSocket>> SimNetwork::datagram_receivers(const Address& to,
                                                                           const Address& from) const {
    std::vector<detail::Ref<SimDatagramSocket>> receivers;
    for (const auto& [address, socket] : datagram_sockets_)
        if (socket->accepts(to, from)) receivers.emplace_back(socket);
    // A socket of this very address before one of every interface; the connected one before the others.
    if (receivers.size() < 2 || SimDatagramSocket::is_addressed_with_others(to)) return receivers;
    const auto best = std::max_element(receivers.begin(), receivers.end(),
                                       [](const auto& a, const auto& b) { return a->rank() < b->rank(); });
    detail::Ref<SimDatagramSocket> chosen = *best;
    receivers.assign(1, std::move(chosen));
    return receivers;
}

Coro<std::vector<AddrInfo>> SimNetwork::getaddrinfo(std::string host, std::string service, AddrInfoHints hints) {
    co_await sleep(std::max(latency_, Duration::zero()));
    std::uint16_t port = 0;
    const char* const end = service.data() + service.size();
    const auto [stop, error] = std::from_chars(service.data(), end, port);
    if (!service.empty() && (error != std::errc() || stop != end))
        throw GaiError(std::make_error_code(std::errc::invalid_argument), "getaddrinfo service '" + service + "'");
    std::vector<Address> addresses;
    if (host == "localhost") {
        addresses.push_back(*Address::parse("127.0.0.1", port));
        addresses.push_back(*Address::parse("::1", port));
    }
    for (auto [at, last] = names_.equal_range(host); at != last; ++at)
        addresses.push_back(at->second.with_port(port));
    std::vector<AddrInfo> found;
    for (const Address& address : addresses) {
        if (hints.family() != Family::unspecified && address.family() != hints.family()) continue;
        for (const SocketKind kind : {SocketKind::stream, SocketKind::datagram})
            if (hints.kind() == SocketKind::any || hints.kind() == kind)
                found.emplace_back(address, kind, hints.protocol(), "");
    }
    if (found.empty()) throw GaiError(std::make_error_code(std::errc::host_unreachable), "getaddrinfo '" + host + "'");
    co_return std::move(found);
}

Coro<std::pair<std::string, std::string>> SimNetwork::getnameinfo(Address address, int) {
    co_await sleep(std::max(latency_, Duration::zero()));
    std::string host = address.host();
    for (const auto& [name, known] : names_) {
        if (known.with_port(0) != address.with_port(0)) continue;
        host = name;
        break;
    }
    co_return std::make_pair(std::move(host), std::to_string(address.port()));
}

}  // namespace weft::sim
