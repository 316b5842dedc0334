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
    /// Streams: bytes the reader buffers before it pauses the peer (at twice this); default 64 KiB.
    ConnectionOptions& limit(std::size_t value) & { return limit_ = value, *this; }
    ConnectionOptions&& limit(std::size_t value) && { return std::move(limit(value)); }

    const std::optional<Address>& local_addr() const noexcept { return local_addr_; }
    Family family() const noexcept { return family_; }
    std::size_t limit() const noexcept { return limit_; }
    std::optional<Duration> happy_eyeballs_delay() const noexcept { return happy_eyeballs_delay_; }
    std::size_t interleave() const noexcept { return interleave_.value_or(happy_eyeballs_delay_ ? 1 : 0); }
    bool all_errors() const noexcept { return all_errors_; }

private:
    std::optional<Address> local_addr_;
    Family family_ = Family::unspecified;
    std::size_t limit_ = constants::stream_limit;
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

/// A connected socket to the first address that answers.
Coro<SocketRef> connect_any(std::string host, int port, ConnectionOptions options);
/// Puts a transport on the guard's socket and waits until connection_made has returned.
Coro<std::shared_ptr<Transport>> open_transport(SocketGuard& socket, std::shared_ptr<BaseProtocol> protocol);

template <class F>
auto connect_protocol(F factory, std::string host, int port, ConnectionOptions options)
    -> Coro<Connection<typename std::pointer_traits<std::invoke_result_t<F&>>::element_type>> {
    using P = typename std::pointer_traits<std::invoke_result_t<F&>>::element_type;
    SocketGuard socket(co_await connect_any(std::move(host), port, options));
    std::shared_ptr<P> protocol = factory();
    std::shared_ptr<Transport> transport = co_await open_transport(socket, protocol);
    co_return Connection<P>(std::move(transport), std::move(protocol));
}

}  // namespace io

template <class F>
auto EventLoop::create_connection(F protocol_factory, std::string host, int port, ConnectionOptions options) {
    return io::connect_protocol(std::move(protocol_factory), std::move(host), port, std::move(options));
}
template <class F>
auto EventLoop::create_connection(F protocol_factory, std::string host, int port) {
    return io::connect_protocol(std::move(protocol_factory), std::move(host), port, ConnectionOptions());
}

}  // namespace weft
