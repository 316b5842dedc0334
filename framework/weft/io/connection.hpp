#pragma once
// create_connection: opens a stream connection for a protocol (loop.create_connection).
//
//     auto [transport, protocol] = co_await loop.create_connection([] { return std::make_shared<Client>(); },
//                                                                  "127.0.0.1", 8888);
//
// The addresses of a name are tried in turn. One error is thrown as it is; several different ones as one OSError that
// lists them. Cancelling closes the socket.

#include <weft/io/server.hpp>
#include <weft/io/transport.hpp>

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
    /// A connected stream socket to use instead of a host: its descriptor becomes the transport's, also if connecting
    /// fails. ValueError together with a host, port or path.
    ConnectionOptions& sock(int descriptor) & { return sock_ = descriptor, *this; }
    ConnectionOptions&& sock(int descriptor) && { return std::move(sock(descriptor)); }
    /// Streams: bytes the reader buffers before it pauses the peer (at twice this); default 64 KiB.
    ConnectionOptions& limit(std::size_t value) & { return limit_ = value, *this; }
    ConnectionOptions&& limit(std::size_t value) && { return std::move(limit(value)); }

    const std::optional<Address>& local_addr() const noexcept { return local_addr_; }
    Family family() const noexcept { return family_; }
    /// -1 if there is none.
    int sock() const noexcept { return sock_; }
    std::size_t limit() const noexcept { return limit_; }

private:
    std::optional<Address> local_addr_;
    Family family_ = Family::unspecified;
    int sock_ = -1;
    std::size_t limit_ = constants::stream_limit;
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

/// A connected socket to the first address that answers, or the one of the options.
Coro<SocketRef> connect_any(std::string host, int port, ConnectionOptions options);
/// The descriptor as a socket of the running loop, which owns it once this is awaited.
Coro<SocketRef> adopt_connected(int descriptor);
/// Puts a transport on the guard's socket and waits until connection_made has returned.
Coro<std::shared_ptr<Transport>> open_transport(SocketGuard& socket, std::shared_ptr<BaseProtocol> protocol);

/// What a factory of protocols makes.
template <class F>
using made_by_t = typename std::pointer_traits<std::invoke_result_t<F&>>::element_type;

/// A transport and a protocol on the socket that `connecting` gives.
template <class F>
Coro<Connection<made_by_t<F>>> connect_protocol(F factory, Coro<SocketRef> connecting) {
    using P = made_by_t<F>;
    SocketGuard socket(co_await std::move(connecting));
    std::shared_ptr<P> protocol = factory();
    std::shared_ptr<Transport> transport = co_await open_transport(socket, protocol);
    co_return Connection<P>(std::move(transport), std::move(protocol));
}

}  // namespace io

template <class F>
auto EventLoop::create_connection(F protocol_factory, std::string host, int port, ConnectionOptions options) {
    return io::connect_protocol(std::move(protocol_factory),
                                io::connect_any(std::move(host), port, std::move(options)));
}
template <class F>
auto EventLoop::create_connection(F protocol_factory, std::string host, int port) {
    return create_connection(std::move(protocol_factory), std::move(host), port, ConnectionOptions());
}
template <class F>
auto EventLoop::create_connection(F protocol_factory, ConnectionOptions options) {
    return create_connection(std::move(protocol_factory), std::string(), 0, std::move(options));
}
/// Makes a transport on a connected stream socket that the application accepted itself (loop.connect_accepted_socket).
/// The descriptor is the transport's once this is awaited, and closed if it fails.
template <class F>
auto EventLoop::connect_accepted_socket(F protocol_factory, int fd, ConnectionOptions options) {
    (void)options;
    return io::connect_protocol(std::move(protocol_factory), io::adopt_connected(fd));
}
template <class F>
auto EventLoop::connect_accepted_socket(F protocol_factory, int fd) {
    return connect_accepted_socket(std::move(protocol_factory), fd, ConnectionOptions());
}

}  // namespace weft
