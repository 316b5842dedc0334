#pragma once
// create_connection: opens a stream connection for a protocol (loop.create_connection).
//
//     auto [transport, protocol] = co_await loop.create_connection([] { return std::make_shared<Client>(); },
//                                                                  "127.0.0.1", 8888);
//
// The addresses of a name are tried in turn, or, with happy_eyeballs_delay(), overlapping. One error is thrown as it
// is; several different ones as one OSError that lists them. Cancelling closes the socket.

#include <weft/io/server.hpp>
#include <weft/io/transport.hpp>
#include <weft/tasks/sleep.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace weft {

/// How create_connection() and open_connection() connect.
class ConnectionOptions {
public:
    ConnectionOptions() = default;
    /// The local address to connect from; the port may be 0.
    ConnectionOptions& local_addr(Address value) & { return local_addr_ = value, *this; }
    ConnectionOptions&& local_addr(Address value) && { return std::move(local_addr(value)); }
    /// Only this family; default both.
    ConnectionOptions& family(Family value) & { return family_ = value, *this; }
    ConnectionOptions&& family(Family value) && { return std::move(family(value)); }
    /// Begin with the next address if the last one has not answered within this (RFC 8305, which recommends 250 ms);
    /// the first to answer is taken. Default: try the next one when the last one has failed.
    template <class Rep, class Period>
    ConnectionOptions& happy_eyeballs_delay(std::chrono::duration<Rep, Period> value) & {
        return happy_eyeballs_delay_ = detail::to_duration(value), *this;
    }
    template <class Rep, class Period>
    ConnectionOptions&& happy_eyeballs_delay(std::chrono::duration<Rep, Period> value) && {
        return std::move(happy_eyeballs_delay(value));
    }
    /// So many addresses of the first family before families alternate; 0 keeps the resolver's order. Default: 1 with
    /// happy_eyeballs_delay(), else 0.
    ConnectionOptions& interleave(std::size_t value) & { return interleave_ = value, *this; }
    ConnectionOptions&& interleave(std::size_t value) && { return std::move(interleave(value)); }
    /// Throws an ExceptionGroup of all errors if no address answers. Default false.
    ConnectionOptions& all_errors(bool value) & { return all_errors_ = value, *this; }
    ConnectionOptions&& all_errors(bool value) && { return std::move(all_errors(value)); }
    /// A connected stream socket in place of host and port or of a path; the transport takes it over.
    ConnectionOptions& sock(int fd) & { return sock_ = fd, *this; }
    ConnectionOptions&& sock(int fd) && { return std::move(sock(fd)); }
    /// Speaks TLS; see io/tls.hpp.
    ConnectionOptions& tls(TlsContext value) & { return tls_ = std::move(value), *this; }
    ConnectionOptions&& tls(TlsContext value) && { return std::move(tls(std::move(value))); }
    /// The name that the server's certificate must have, and that the server is asked for; default: the host. An empty
    /// one asks for none, which the context must allow (check_hostname(false)).
    ConnectionOptions& server_hostname(std::string value) & { return server_hostname_ = std::move(value), *this; }
    ConnectionOptions&& server_hostname(std::string value) && { return std::move(server_hostname(std::move(value))); }
    /// Default 60 s; must be positive. A handshake that takes longer is a ConnectionAbortedError.
    ConnectionOptions& tls_handshake_timeout(Duration value) & { return tls_handshake_timeout_ = value, *this; }
    ConnectionOptions&& tls_handshake_timeout(Duration value) && { return std::move(tls_handshake_timeout(value)); }
    /// How long closing waits for the peer's close_notify; default 30 s; must be positive.
    ConnectionOptions& tls_shutdown_timeout(Duration value) & { return tls_shutdown_timeout_ = value, *this; }
    ConnectionOptions&& tls_shutdown_timeout(Duration value) && { return std::move(tls_shutdown_timeout(value)); }
    /// Streams: bytes the reader buffers before it pauses the peer (at twice this); default 64 KiB.
    ConnectionOptions& limit(std::size_t value) & { return limit_ = value, *this; }
    ConnectionOptions&& limit(std::size_t value) && { return std::move(limit(value)); }

    const std::optional<Address>& local_addr() const noexcept { return local_addr_; }
    Family family() const noexcept { return family_; }
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
        if (happy_eyeballs_delay_) throw ValueError("happy_eyeballs_delay means nothing for a Unix socket");
        if (interleave_) throw ValueError("interleave means nothing for a Unix socket");
        if (all_errors_) throw ValueError("all_errors means nothing for a Unix socket");
    }
    /// ValueError for what means nothing without tls().
    void check_tls() const { detail::check_tls_options(tls_, tls_handshake_timeout_, tls_shutdown_timeout_); }
    const std::optional<std::string>& server_hostname() const noexcept { return server_hostname_; }
    std::optional<int> sock() const noexcept { return sock_; }
    std::optional<Duration> happy_eyeballs_delay() const noexcept { return happy_eyeballs_delay_; }
    std::size_t interleave() const noexcept { return interleave_.value_or(happy_eyeballs_delay_ ? 1 : 0); }
    bool all_errors() const noexcept { return all_errors_; }

private:
    std::optional<Address> local_addr_;
    Family family_ = Family::unspecified;
    std::size_t limit_ = constants::stream_limit;
    TlsContext tls_;
    std::optional<Duration> tls_handshake_timeout_;
    std::optional<Duration> tls_shutdown_timeout_;
    std::optional<std::string> server_hostname_;
    std::optional<int> sock_;
    std::optional<Duration> happy_eyeballs_delay_;
    std::optional<std::size_t> interleave_;
    bool all_errors_ = false;
};

/// What create_connection() gives.
template <class P>
class Connection {
public:
    Connection(std::shared_ptr<Transport> transport, std::shared_ptr<P> protocol) noexcept
        : transport(std::move(transport)), protocol(std::move(protocol)) {}
    std::shared_ptr<Transport> transport;
    std::shared_ptr<P> protocol;
};

namespace io {

/// A connected socket to the first address that answers, or the options' own.
Coro<SocketRef> connect_any(std::string host, int port, ConnectionOptions options);
/// The same to a Unix socket.
Coro<SocketRef> connect_unix(std::string path, ConnectionOptions options);
/// A socket that was accepted elsewhere.
Coro<SocketRef> adopt_accepted(int fd);
/// How the options want TLS on a connection to `host`, which may be empty, or, without a host, on one that was
/// accepted; nothing if they do not. ValueError if they do not fit together.
std::optional<TlsParameters> tls_parameters(const ConnectionOptions& options, const std::optional<std::string>& host);
/// Puts a transport on the guard's socket, with TLS if there are parameters, and waits until connection_made has
/// returned.
Coro<std::shared_ptr<Transport>> open_transport(SocketGuard& socket, std::shared_ptr<BaseProtocol> protocol,
                                                std::optional<TlsParameters> tls);

template <class F>
using ProtocolOf = typename std::pointer_traits<std::invoke_result_t<F&>>::element_type;

/// Makes the protocol once the socket is there, and its transport.
template <class F>
Coro<Connection<ProtocolOf<F>>> connect_protocol(F factory, Coro<SocketRef> connecting, ConnectionOptions options,
                                                 std::optional<std::string> host) {
    std::optional<TlsParameters> tls = tls_parameters(options, host);
    SocketGuard socket(co_await std::move(connecting));
    std::shared_ptr<ProtocolOf<F>> protocol = factory();
    std::shared_ptr<Transport> transport = co_await open_transport(socket, protocol, std::move(tls));
    co_return Connection<ProtocolOf<F>>(std::move(transport), std::move(protocol));
}

}  // namespace io

template <class F>
auto EventLoop::create_connection(F protocol_factory, std::string host, int port, ConnectionOptions options) {
    return io::connect_protocol(std::move(protocol_factory), io::connect_any(host, port, options), options,
                                std::optional<std::string>(host));
}
template <class F>
auto EventLoop::create_connection(F protocol_factory, std::string host, int port) {
    return create_connection(std::move(protocol_factory), std::move(host), port, ConnectionOptions());
}

template <class F>
auto EventLoop::create_connection(F protocol_factory, ConnectionOptions options) {
    return create_connection(std::move(protocol_factory), std::string(), 0, std::move(options));
}

/// Connects to a Unix socket (loop.create_unix_connection); see create_unix_server() for paths.
template <class F>
auto EventLoop::create_unix_connection(F protocol_factory, std::string path, ConnectionOptions options) {
    return io::connect_protocol(std::move(protocol_factory), io::connect_unix(std::move(path), options), options,
                                std::optional<std::string>(std::string()));
}
template <class F>
auto EventLoop::create_unix_connection(F protocol_factory, std::string path) {
    return create_unix_connection(std::move(protocol_factory), std::move(path), ConnectionOptions());
}

/// Serves a connection that was accepted elsewhere (loop.connect_accepted_socket). Takes the descriptor over.
template <class F>
auto EventLoop::connect_accepted_socket(F protocol_factory, int fd, ConnectionOptions options) {
    return io::connect_protocol(std::move(protocol_factory), io::adopt_accepted(fd), options, std::nullopt);
}
template <class F>
auto EventLoop::connect_accepted_socket(F protocol_factory, int fd) {
    return connect_accepted_socket(std::move(protocol_factory), fd, ConnectionOptions());
}

}  // namespace weft
