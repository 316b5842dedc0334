#include <weft/io/server.hpp>

#include <weft/io/registry.hpp>
#include <weft/io/socket_transport.hpp>
#include <weft/tasks/shield.hpp>
#include <weft/tasks/sleep.hpp>

#include <algorithm>

namespace weft {

namespace io {

void ServerState::listen(const std::vector<Address>& addresses, const ListenOptions& options) {
    for (const Address& address : addresses)
        listeners_.push_back(loop_.backend().network().listen(address, options, *this));
    IoRegistry::of(loop_).add(detail::Ref<ServerState>(this));
}

void ServerState::adopt(int descriptor, const ListenOptions& options) {
    listeners_.push_back(loop_.backend().network().adopt_listener(descriptor, options, *this));
    IoRegistry::of(loop_).add(detail::Ref<ServerState>(this));
}

void ServerState::start_serving() {
    if (serving_ || closed_) return;
    serving_ = true;
    for (auto& listener : listeners_)
        listener->start();
}

void ServerState::on_accept(SocketRef socket) {
    const detail::ContextScope scope(context_);
    detail::run_guarded(
        [&] { SocketTransport::open(loop_, socket, factory_(), detail::Ref<ServerState>(this), nullptr); },
        [&](const std::exception_ptr& error) {
            socket->close();
            loop_.report_error(
                error, [&] { return ExceptionContext("Error on transport creation for incoming connection", error); });
        });
}

void ServerState::on_accept_error(std::error_code error) {
    const bool exhausted = error == std::errc::too_many_files_open ||
                           error == std::errc::too_many_files_open_in_system || error == std::errc::no_buffer_space ||
                           error == std::errc::not_enough_memory;
    loop_.call_exception_handler(
        ExceptionContext(exhausted ? "socket.accept() out of system resource" : "socket.accept() failed",
                         make_os_error(error, "accept")));
    // Either way: a moment of rest instead of a loop that spins.
    retry_.cancel();
    retry_ = loop_.call_later(constants::accept_retry_delay, [self = detail::Ref<ServerState>(this)] {
        if (!self->serving_) return;
        for (auto& listener : self->listeners_)
            listener->start();
    });
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

Coro<> ServerState::wait_closed() {
    const detail::Ref<ServerState> keep(this);
    if (closed_ && active_ == 0) co_return;
    Future<> waiter = loop_.create_future<void>();
    closed_waiters_.push_back(waiter);
    co_await waiter;
}

Coro<> ServerState::serve_forever() {
    const detail::Ref<ServerState> keep(this);
    if (serving_forever_) throw RuntimeError("server is already being awaited on serve_forever()");
    if (closed_) throw RuntimeError("server is closed");
    start_serving();
    serving_forever_ = loop_.create_future<void>();
    std::exception_ptr cancelled;
    try {
        co_await serving_forever_;
    } catch (const CancelledError&) {
        cancelled = std::current_exception();
    }
    serving_forever_ = Future<>();
    close();
    co_await wait_closed();
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

Coro<std::vector<Address>> resolve_all(std::string host, int port, Family family, bool passive) {
    if (port < 0 || port > 65535) throw ValueError("port " + std::to_string(port) + " is not within 0..65535");
    const auto number = static_cast<std::uint16_t>(port);
    std::vector<Address> addresses;
    if (host.empty()) {
        if (!passive) throw ValueError("host and port was not specified");
        if (family != Family::ipv6) addresses.push_back(Address::any(Family::ipv4, number));
        if (family != Family::ipv4) addresses.push_back(Address::any(Family::ipv6, number));
        co_return std::move(addresses);
    }
    if (const auto numeric = Address::parse(host, number)) {
        if (family != Family::unspecified && numeric->family() != family)
            throw GaiError(std::make_error_code(std::errc::address_family_not_supported), host);
        addresses.push_back(*numeric);
        co_return std::move(addresses);
    }
    addresses = co_await get_running_loop().backend().network().resolve(std::move(host), number, family);
    co_return std::move(addresses);
}

ListenOptions listen_options(const ServerOptions& options) {
    ListenOptions listen;
    listen.backlog = options.backlog();
    listen.reuse_address = options.reuse_address();
    listen.reuse_port = options.reuse_port();
    listen.keep_alive = options.keep_alive();
    return listen;
}

Coro<> begin_serving(detail::Ref<ServerState> state, bool now) {
    if (!now) co_return;
    state->start_serving();
    // As asyncio: the backend starts in the loop's next poll.
    co_await sleep(Duration::zero());
}

Coro<detail::Ref<ServerState>> make_server(ProtocolFactory factory, std::string host, int port, ServerOptions options) {
    EventLoop& loop = get_running_loop();
    if (options.sock() >= 0) {
        if (!host.empty() || port != 0) throw ValueError("host/port and sock can not be specified at the same time");
        auto state = detail::Ref<ServerState>::adopt(new ServerState(loop, std::move(factory)));
        state->adopt(options.sock(), listen_options(options));
        co_await begin_serving(state, options.start_serving());
        co_return std::move(state);
    }
    const bool every_interface = host.empty();
    std::vector<Address> addresses = co_await resolve_all(std::move(host), port, options.family(), true);
    const ListenOptions listen = listen_options(options);
    auto state = detail::Ref<ServerState>::adopt(new ServerState(loop, std::move(factory)));
    if (every_interface && addresses.size() == 2) {
        // A machine may lack one of the families.
        std::exception_ptr first_error;
        std::vector<Address> usable;
        for (const Address& address : addresses) {
            try {
                (void)loop.backend().network().listen(address.with_port(0), listen, *state);
                usable.push_back(address);
            } catch (const OSError&) {
                first_error = std::current_exception();
            }
        }
        if (usable.empty()) std::rethrow_exception(first_error);
        addresses = std::move(usable);
    }
    state->listen(addresses, listen);
    co_await begin_serving(state, options.start_serving());
    co_return std::move(state);
}

}  // namespace io

Coro<> Server::start_serving() {
    const detail::Ref<io::ServerState> state = state_;
    state->start_serving();
    co_await sleep(Duration::zero());
}

std::string Server::repr() const {
    std::string text;
    for (const Address& address : sockets())
        text += (text.empty() ? "" : ", ") + address.to_string();
    return "<Server sockets=[" + text + "]>";
}

}  // namespace weft
