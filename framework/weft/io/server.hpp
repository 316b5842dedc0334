#pragma once
// Server: listening sockets and the connections they accepted (asyncio.Server).
//
//     Server server = co_await start_server(handler, "127.0.0.1", 8888);
//     co_await server.serve_forever();              // until its task is cancelled
//
// Copies mean the same server. It goes on accepting until close(), also if every handle is dropped.

#include <weft/base/constants.hpp>
#include <weft/io/network.hpp>
#include <weft/io/protocol.hpp>
#include <weft/io/tls.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace weft {

/// How create_server() and start_server() listen.
class ServerOptions {
public:
    ServerOptions() = default;
    /// Pending connections the system queues; default 100.
    ServerOptions& backlog(int value) & { return backlog_ = value, *this; }
    ServerOptions&& backlog(int value) && { return std::move(backlog(value)); }
    /// SO_REUSEADDR; default true.
    ServerOptions& reuse_address(bool value) & { return reuse_address_ = value, *this; }
    ServerOptions&& reuse_address(bool value) && { return std::move(reuse_address(value)); }
    /// SO_REUSEPORT; default false.
    ServerOptions& reuse_port(bool value) & { return reuse_port_ = value, *this; }
    ServerOptions&& reuse_port(bool value) && { return std::move(reuse_port(value)); }
    /// SO_KEEPALIVE on accepted connections; default false.
    ServerOptions& keep_alive(bool value) & { return keep_alive_ = value, *this; }
    ServerOptions&& keep_alive(bool value) && { return std::move(keep_alive(value)); }
    /// Only this family; default both.
    ServerOptions& family(Family value) & { return family_ = value, *this; }
    ServerOptions&& family(Family value) && { return std::move(family(value)); }
    /// False: listen and accept only after start_serving() or serve_forever(); default true.
    ServerOptions& start_serving(bool value) & { return start_serving_ = value, *this; }
    ServerOptions&& start_serving(bool value) && { return std::move(start_serving(value)); }
    /// Unix servers: the socket's file is removed on close(), if it is still this server's; default true.
    ServerOptions& cleanup_socket(bool value) & { return cleanup_socket_ = value, *this; }
    ServerOptions&& cleanup_socket(bool value) && { return std::move(cleanup_socket(value)); }
    /// A bound stream socket to listen on in place of host and port or of a path; the server takes it over.
    ServerOptions& sock(int fd) & { return sock_ = fd, *this; }
    ServerOptions&& sock(int fd) && { return std::move(sock(fd)); }
    /// Speaks TLS; see io/tls.hpp.
    ServerOptions& tls(TlsContext value) & { return tls_ = std::move(value), *this; }
    ServerOptions&& tls(TlsContext value) && { return std::move(tls(std::move(value))); }
    /// Default 60 s; must be positive. A handshake that takes longer is a ConnectionAbortedError.
    ServerOptions& tls_handshake_timeout(Duration value) & { return tls_handshake_timeout_ = value, *this; }
    ServerOptions&& tls_handshake_timeout(Duration value) && { return std::move(tls_handshake_timeout(value)); }
    /// How long closing waits for the peer's close_notify; default 30 s; must be positive.
    ServerOptions& tls_shutdown_timeout(Duration value) & { return tls_shutdown_timeout_ = value, *this; }
    ServerOptions&& tls_shutdown_timeout(Duration value) && { return std::move(tls_shutdown_timeout(value)); }
    /// Stream servers: bytes a reader buffers before it pauses the peer (at twice this); default 64 KiB.
    ServerOptions& limit(std::size_t value) & { return limit_ = value, *this; }
    ServerOptions&& limit(std::size_t value) && { return std::move(limit(value)); }

    int backlog() const noexcept { return backlog_; }
    bool reuse_address() const noexcept { return reuse_address_; }
    bool reuse_port() const noexcept { return reuse_port_; }
    bool keep_alive() const noexcept { return keep_alive_; }
    Family family() const noexcept { return family_; }
    bool start_serving() const noexcept { return start_serving_; }
    std::size_t limit() const noexcept { return limit_; }
    const TlsContext& tls() const noexcept { return tls_; }
    Duration tls_handshake_timeout() const noexcept {
        return tls_handshake_timeout_.value_or(constants::tls_handshake_timeout);
    }
    Duration tls_shutdown_timeout() const noexcept {
        return tls_shutdown_timeout_.value_or(constants::tls_shutdown_timeout);
    }
    /// ValueError for what means nothing for a Unix socket.
    void check_unix() const {
        if (family_ != Family::unspecified && family_ != Family::local)
            throw ValueError("family means nothing for a Unix socket");
        if (reuse_port_) throw ValueError("reuse_port means nothing for a Unix socket");
        if (keep_alive_) throw ValueError("keep_alive means nothing for a Unix socket");
    }
    /// ValueError for what means nothing without tls().
    void check_tls() const { detail::check_tls_options(tls_, tls_handshake_timeout_, tls_shutdown_timeout_); }
    bool cleanup_socket() const noexcept { return cleanup_socket_; }
    std::optional<int> sock() const noexcept { return sock_; }

private:
    int backlog_ = constants::listen_backlog;
    TlsContext tls_;
    std::optional<Duration> tls_handshake_timeout_;
    std::optional<Duration> tls_shutdown_timeout_;
    bool reuse_address_ = true;
    bool reuse_port_ = false;
    bool keep_alive_ = false;
    bool start_serving_ = true;
    bool cleanup_socket_ = true;
    std::optional<int> sock_;
    Family family_ = Family::unspecified;
    std::size_t limit_ = constants::stream_limit;
};

namespace io {

using ProtocolFactory = std::function<std::shared_ptr<BaseProtocol>()>;

/// A factory of any protocol as one of BaseProtocol; it may be move-only.
template <class F>
ProtocolFactory erase_factory(F factory) {
    if constexpr (std::is_copy_constructible_v<F>) {
        return [factory = std::move(factory)]() mutable -> std::shared_ptr<BaseProtocol> { return factory(); };
    } else {
        auto shared = std::make_shared<F>(std::move(factory));
        return [shared]() -> std::shared_ptr<BaseProtocol> { return (*shared)(); };
    }
}

/// The state behind a Server.
class ServerState final : public ListenerEvents {
public:
    ServerState(EventLoop& loop, ProtocolFactory factory, std::optional<TlsParameters> tls)
        : loop_(loop), factory_(std::move(factory)), tls_(std::move(tls)) {}
    void add_ref() noexcept { ++refs_; }
    void release() noexcept {
        if (--refs_ == 0) delete this;
    }

    /// Binds to those of the addresses that this machine has; OSError if it has none of them, or if one cannot be had
    /// for another reason.
    void bind(const std::vector<Address>& addresses, const ListenOptions& options);
    void take_over(int fd, const ListenOptions& options);
    /// Listens. OSError, and the server is closed.
    void start_serving();
    void close();
    bool is_serving() const noexcept { return serving_; }
    static Coro<> wait_closed(detail::Ref<ServerState> self);
    static Coro<> serve_forever(detail::Ref<ServerState> self);
    void close_clients();
    void abort_clients();
    std::vector<Address> addresses() const;
    std::vector<int> descriptors() const;
    std::string repr() const;
    EventLoop& loop() const noexcept { return loop_; }
    std::size_t active() const noexcept { return active_; }

    // For transports.
    void attach() noexcept { ++active_; }
    void detach();
    /// The loop closes.
    void drop() noexcept;

private:
    ~ServerState() = default;
    void on_accept(SocketRef socket) override;
    void on_accept_error(std::error_code error) override;
    void wake_waiters();

    EventLoop& loop_;
    ProtocolFactory factory_;
    const std::optional<TlsParameters> tls_;
    detail::ContextSlot context_ = detail::ContextSlot::copy_of_current();  // connections are made in it
    std::vector<std::unique_ptr<Listener>> listeners_;
    std::vector<Future<>> closed_waiters_;
    Future<> serving_forever_;
    TimerHandle retry_;
    std::size_t active_ = 0;
    std::uint32_t refs_ = 1;
    bool serving_ = false;
    bool closed_ = false;
};

/// Listens on every address of every host; "" is every interface.
Coro<detail::Ref<ServerState>> make_server(ProtocolFactory factory, std::vector<std::string> hosts, int port,
                                           ServerOptions options);
/// ValueError unless it is a Unix socket; OSError for a descriptor that is none. It stays the caller's.
void check_unix_socket(int fd);
/// Listens on a Unix socket.
Coro<detail::Ref<ServerState>> make_unix_server(ProtocolFactory factory, std::string path, ServerOptions options);

}  // namespace io

class Server {
public:
    Server() = default;
    explicit Server(detail::Ref<io::ServerState> state) noexcept : state_(std::move(state)) {}

    /// Stops listening now; accepted connections live on. Ends serve_forever() with CancelledError.
    void close() { state_->close(); }
    /// Waits until the server is closed and its last connection is gone.
    Coro<> wait_closed() { return io::ServerState::wait_closed(state_); }
    /// Starts to listen and accept, if it was made with start_serving(false). OSError if that fails.
    Coro<> start_serving();
    /// Accepts until the task is cancelled; then closes and waits for the connections.
    Coro<> serve_forever() { return io::ServerState::serve_forever(state_); }
    bool is_serving() const noexcept { return state_->is_serving(); }
    /// transport.close() on each connection of this server.
    void close_clients() { state_->close_clients(); }
    /// transport.abort() on each.
    void abort_clients() { state_->abort_clients(); }
    /// The addresses listened on, with the ports the system chose; empty once closed.
    std::vector<Address> sockets() const { return state_->addresses(); }
    /// As asyncio's repr: "<Server sockets=[127.0.0.1:8888]>".
    std::string repr() const;
    /// Their descriptors, in the same order (-1 where there is none).
    std::vector<int> filenos() const { return state_->descriptors(); }
    EventLoop& get_loop() const noexcept { return state_->loop(); }

private:
    detail::Ref<io::ServerState> state_;
};

/// Listens at `host`:`port` and makes a protocol by `protocol_factory()` for each connection (loop.create_server).
/// "" listens on every interface; port 0 lets the system choose, for each address another one. A host with several
/// addresses is listened on at each of them; one that this machine has not is passed over if there is another.
template <class F>
Coro<Server> EventLoop::create_server(F protocol_factory, std::string host, int port, ServerOptions options) {
    std::vector<std::string> hosts;
    hosts.push_back(std::move(host));
    return create_server(std::move(protocol_factory), std::move(hosts), port, std::move(options));
}
template <class F>
Coro<Server> EventLoop::create_server(F protocol_factory, std::vector<std::string> hosts, int port,
                                      ServerOptions options) {
    io::ProtocolFactory factory = io::erase_factory(std::move(protocol_factory));
    auto state = co_await io::make_server(std::move(factory), std::move(hosts), port, options);
    co_return Server(std::move(state));
}
template <class F>
Coro<Server> EventLoop::create_server(F protocol_factory, std::vector<std::string> hosts, int port) {
    return create_server(std::move(protocol_factory), std::move(hosts), port, ServerOptions());
}
template <class F>
Coro<Server> EventLoop::create_server(F protocol_factory, std::initializer_list<const char*> hosts, int port,
                                      ServerOptions options) {
    return create_server(std::move(protocol_factory), std::vector<std::string>(hosts.begin(), hosts.end()), port,
                         std::move(options));
}
template <class F>
Coro<Server> EventLoop::create_server(F protocol_factory, std::initializer_list<const char*> hosts, int port) {
    return create_server(std::move(protocol_factory), hosts, port, ServerOptions());
}
template <class F>
Coro<Server> EventLoop::create_server(F protocol_factory, ServerOptions options) {
    if (!options.sock()) throw ValueError("create_server: neither host and port nor sock were specified");
    Server server = co_await create_server(std::move(protocol_factory), std::string(), 0, options);
    co_return std::move(server);
}
/// Listens on a Unix socket (loop.create_unix_server); a path that starts with a zero byte is an abstract name. A
/// socket file that is there already is replaced, anything else is an error. Never a path longer than 107 bytes:
/// ValueError.
template <class F>
Coro<Server> EventLoop::create_unix_server(F protocol_factory, std::string path, ServerOptions options) {
    io::ProtocolFactory factory = io::erase_factory(std::move(protocol_factory));
    auto state = co_await io::make_unix_server(std::move(factory), std::move(path), options);
    co_return Server(std::move(state));
}
template <class F>
Coro<Server> EventLoop::create_unix_server(F protocol_factory, std::string path) {
    return create_unix_server(std::move(protocol_factory), std::move(path), ServerOptions());
}
template <class F>
Coro<Server> EventLoop::create_server(F protocol_factory, std::string host, int port) {
    return create_server(std::move(protocol_factory), std::move(host), port, ServerOptions());
}

}  // namespace weft
