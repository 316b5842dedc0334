#include <weft/io/server.hpp>

#include <weft/io/registry.hpp>
#include <weft/io/resolver.hpp>
#include <weft/io/socket_transport.hpp>
#include <weft/io/tls_layer.hpp>
#include <weft/tasks/shield.hpp>
#include <weft/tasks/sleep.hpp>

#include <algorithm>

namespace weft {

namespace io {

void ServerState::bind(const std::vector<Address>& addresses, const ListenOptions& options) {
    std::exception_ptr passed_over;
    for (const Address& address : addresses) {
        try {
            listeners_.push_back(loop_.backend().network().listen(address, options, *this));
        } catch (const OSError& error) {
            if (error.code() != std::errc::address_not_available &&
                error.code() != std::errc::address_family_not_supported)
                throw;
            passed_over = std::current_exception();
            if (loop_.get_debug()) loop_.log("create_server(): " + describe_exception(passed_over));
        }
    }
    if (listeners_.empty()) std::rethrow_exception(passed_over);
    IoRegistry::of(loop_).add(detail::Ref<ServerState>(this));
}

void ServerState::take_over(int fd, const ListenOptions& options) {
    listeners_.push_back(loop_.backend().network().adopt_listener(fd, options, *this));
    IoRegistry::of(loop_).add(detail::Ref<ServerState>(this));
}

void ServerState::start_serving() {
    if (serving_ || closed_) return;
    serving_ = true;
    try {
        for (auto& listener : listeners_)
            listener->start();
    } catch (...) {
        close();
        throw;
    }
}

void ServerState::on_accept(SocketRef socket) {
    const detail::ContextScope scope(context_);
    std::shared_ptr<TlsLayer> layer;
    detail::run_guarded(
        [&] {
            std::shared_ptr<BaseProtocol> protocol = factory_();
            if (tls_) protocol = layer = TlsLayer::make(loop_, std::move(protocol), *tls_, true, nullptr);
            SocketTransport::open(loop_, socket, std::move(protocol), detail::Ref<ServerState>(this), nullptr);
        },
        [&](const std::exception_ptr& error) {
            if (layer) layer->abandon();
            socket->close();
            loop_.report_error(
                error, [&] { return ExceptionContext("Error on transport creation for incoming connection", error); });
        });
}

void ServerState::on_accept_error(std::error_code error) {
    const bool exhausted = error == std::errc::too_many_files_open ||
                           error == std::errc::too_many_files_open_in_system || error == std::errc::no_buffer_space ||
                           error == std::errc::not_enough_memory;
    // Either way: a moment of rest instead of a loop that spins.
    retry_.cancel();
    retry_ = loop_.call_later(constants::accept_retry_delay, [self = detail::Ref<ServerState>(this)] {
        if (!self->serving_) return;
        detail::run_guarded(
            [&] {
                for (auto& listener : self->listeners_)
                    listener->start();
            },
            // As it is for a wait: nothing else would ever start it again.
            [&](const std::exception_ptr&) {
                self->on_accept_error(std::make_error_code(std::errc::not_enough_memory));
            });
    });
    const std::exception_ptr reason = make_os_error(error, "accept");
    loop_.report_error(reason, [&] {
        ExceptionContext context(exhausted ? "socket.accept() out of system resource" : "socket.accept() failed",
                                 reason);
        context.transport = repr();
        return context;
    });
}

std::string ServerState::repr() const {
    std::string text;
    for (const Address& address : addresses())
        text += (text.empty() ? "" : ", ") + address.to_string();
    return "<Server sockets=[" + text + "]>";
}

void ServerState::close() {
    if (closed_) return;
    closed_ = true;
    const detail::Ref<ServerState> keep(this);
    serving_ = false;
    retry_.cancel();
    for (auto& listener : listeners_)
        listener->stop();
    listeners_.clear();
    if (serving_forever_ && !serving_forever_.done()) serving_forever_.cancel();
    if (active_ == 0) wake_waiters();
    IoRegistry::of(loop_).remove(*this);
}

void ServerState::drop() noexcept {
    closed_ = true;
    serving_ = false;
    retry_ = TimerHandle();
    listeners_.clear();
    closed_waiters_.clear();
    serving_forever_ = Future<>();
}

void ServerState::detach() {
    if (--active_ == 0 && closed_) wake_waiters();
}

void ServerState::wake_waiters() {
    for (auto& waiter : std::exchange(closed_waiters_, {}))
        if (!waiter.done()) waiter.set_result();
}

Coro<> ServerState::wait_closed(detail::Ref<ServerState> self) {
    if (self->closed_ && self->active_ == 0) co_return;
    Future<> waiter = self->loop_.create_future<void>();
    self->closed_waiters_.push_back(waiter);
    co_await waiter;
}

Coro<> ServerState::serve_forever(detail::Ref<ServerState> self) {
    if (self->serving_forever_) throw RuntimeError("server is already being awaited on serve_forever()");
    if (self->closed_) throw RuntimeError("server is closed");
    self->start_serving();
    self->serving_forever_ = self->loop_.create_future<void>();
    std::exception_ptr cancelled;
    try {
        co_await self->serving_forever_;
    } catch (const CancelledError&) {
        cancelled = std::current_exception();
    }
    self->serving_forever_ = Future<>();
    self->close();
    co_await wait_closed(self);
    if (cancelled) std::rethrow_exception(cancelled);
}

void ServerState::close_clients() {
    for (auto& client : IoRegistry::of(loop_).clients_of(*this))
        client->close();
}

void ServerState::abort_clients() {
    for (auto& client : IoRegistry::of(loop_).clients_of(*this))
        client->abort();
}

std::vector<Address> ServerState::addresses() const {
    std::vector<Address> result;
    for (const auto& listener : listeners_)
        result.push_back(listener->address());
    return result;
}

std::vector<int> ServerState::descriptors() const {
    std::vector<int> result;
    for (const auto& listener : listeners_)
        result.push_back(listener->native_handle());
    return result;
}

namespace {

Coro<std::vector<Address>> addresses_to_listen_on(std::vector<std::string> hosts, std::uint16_t port, Family family) {
    std::vector<Address> addresses;
    const auto add = [&addresses](const Address& address) {
        if (std::find(addresses.begin(), addresses.end(), address) == addresses.end()) addresses.push_back(address);
    };
    for (const std::string& host : hosts) {
        if (host.empty()) {
            if (family != Family::ipv6) add(Address::any(Family::ipv4, port));
            if (family != Family::ipv4) add(Address::any(Family::ipv6, port));
            continue;
        }
        AddrInfoHints hints;
        hints.family(family).kind(SocketKind::stream);
        const std::vector<Address> found = co_await resolve(host, port, hints);
        for (const Address& address : found)
            add(address);
    }
    co_return std::move(addresses);
}

}  // namespace

namespace {

ListenOptions listen_options(const ServerOptions& options) {
    ListenOptions listen;
    listen.backlog = options.backlog();
    listen.reuse_address = options.reuse_address();
    listen.reuse_port = options.reuse_port();
    listen.keep_alive = options.keep_alive();
    listen.cleanup_socket = options.cleanup_socket();
    return listen;
}

/// Listens on the socket of the options or else on `addresses`, and starts as they say.
Coro<detail::Ref<ServerState>> start_server_on(std::vector<Address> addresses, ProtocolFactory factory,
                                               ServerOptions options) {
    options.check_tls();
    std::optional<TlsParameters> tls;
    if (options.tls()) {
        tls.emplace();
        tls->context = options.tls();
        tls->server_side = true;
        tls->handshake_timeout = options.tls_handshake_timeout();
        tls->shutdown_timeout = options.tls_shutdown_timeout();
        check_tls_parameters(*tls);
    }
    auto state =
        detail::Ref<ServerState>::adopt(new ServerState(get_running_loop(), std::move(factory), std::move(tls)));
    if (options.sock())
        state->take_over(*options.sock(), listen_options(options));
    else
        state->bind(addresses, listen_options(options));
    if (options.start_serving()) {
        state->start_serving();
        // As asyncio: the backend starts in the loop's next poll.
        co_await sleep(Duration::zero());
    }
    co_return std::move(state);
}

}  // namespace

Coro<detail::Ref<ServerState>> make_server(ProtocolFactory factory, std::vector<std::string> hosts, int port,
                                           ServerOptions options) {
    std::vector<Address> addresses;
    if (options.sock()) {
        const bool no_host = hosts.empty() || (hosts.size() == 1 && hosts.front().empty());
        if (!no_host || port != 0) throw ValueError("host/port and sock can not be specified at the same time");
    } else {
        if (hosts.empty()) throw ValueError("create_server: no host to listen on");
        addresses = co_await addresses_to_listen_on(std::move(hosts), checked_port(port), options.family());
    }
    co_return co_await start_server_on(std::move(addresses), std::move(factory), options);
}

Coro<detail::Ref<ServerState>> make_unix_server(ProtocolFactory factory, std::string path, ServerOptions options) {
    if (path.empty() == !options.sock())
        throw ValueError(path.empty() ? "no path and sock were specified"
                                      : "path and sock can not be specified at the same time");
    options.check_unix();
    std::vector<Address> addresses;
    if (options.sock())
        check_unix_socket(*options.sock());
    else
        addresses.push_back(Address::local(std::move(path)));
    co_return co_await start_server_on(std::move(addresses), std::move(factory), options);
}

}  // namespace io

namespace {

Coro<> start_server_of(detail::Ref<io::ServerState> state) {
    state->start_serving();
    co_await sleep(Duration::zero());
}

}  // namespace

Coro<> Server::start_serving() {
    return start_server_of(state_);
}

std::string Server::repr() const {
    return state_->repr();
}

}  // namespace weft
