#pragma once
// Datagrams: UDP and Unix datagram sockets, by callbacks (asyncio's create_datagram_endpoint). datagram_endpoint.hpp
// has the form that is awaited.
//
//     DatagramOptions options = DatagramOptions().local_addr("127.0.0.1", 9999);
//     auto [transport, protocol] = co_await loop.create_datagram_endpoint(
//         [] { return std::make_shared<Echo>(); }, options);      // Echo is a DatagramProtocol
//
// Errors of the system (a port that nobody listens on, a datagram that is too long) go to error_received; the socket
// goes on.

#include <weft/base/bytes.hpp>
#include <weft/io/connection.hpp>
#include <weft/io/network.hpp>
#include <weft/io/protocol.hpp>
#include <weft/io/transport.hpp>
#include <weft/tasks/coro.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weft {

/// The abstract datagram socket under a protocol (asyncio.DatagramTransport). Used on the loop's thread.
class DatagramTransport : public BaseTransport {
public:
    /// Sends a copy of `data` as one datagram, which may be empty: at once, or, if the socket takes none, once it does.
    /// Without an address to the connected peer, or to the remote address of the options. ValueError for another
    /// address than that one. Dropped silently after close() has ended the transport.
    void sendto(std::span<const std::byte> data) { send_datagram(data, nullptr); }
    void sendto(std::span<const std::byte> data, const Address& to) { send_datagram(data, &to); }
    void sendto(std::string_view text) { sendto(as_byte_span(text)); }
    void sendto(std::string_view text, const Address& to) { sendto(as_byte_span(text), to); }
    /// Drops what is buffered and closes; connection_lost(nullptr) through the loop.
    virtual void abort() = 0;
    /// Water marks as Transport has them; each buffered datagram counts for 8 bytes more than it has.
    virtual void set_write_buffer_limits(std::optional<std::size_t> high = std::nullopt,
                                         std::optional<std::size_t> low = std::nullopt) = 0;
    /// {low, high}
    virtual std::pair<std::size_t, std::size_t> get_write_buffer_limits() const noexcept = 0;
    virtual std::size_t get_write_buffer_size() const noexcept = 0;
    /// The connected peer's address; nothing if the socket is not connected.
    virtual std::optional<Address> peername() const = 0;
    virtual std::optional<Address> sockname() const = 0;
    /// The descriptor, or -1. It belongs to the transport.
    virtual int fileno() const noexcept = 0;
    /// As Transport's: "peername", "sockname", "socket".
    std::optional<std::string> get_extra_info(std::string_view key) const;
    /// "<DatagramTransport fd=7 read=polling write=<idle, bufsize=0>>"
    std::string repr() const;

protected:
    /// `to` may be null.
    virtual void send_datagram(std::span<const std::byte> data, const Address* to) = 0;
};

/// What an application derives to handle datagrams (asyncio.DatagramProtocol). connection_lost, pause_writing and
/// resume_writing are as in other protocols.
class DatagramProtocol : public BaseProtocol {
public:
    /// The socket is open. Keep the transport to send.
    virtual void connection_made(std::shared_ptr<DatagramTransport> transport) { (void)transport; }
    /// `data` is valid during the call only. What this throws is reported; the socket goes on.
    virtual void datagram_received(std::span<const std::byte> data, const Address& from) { (void)data, (void)from; }
    /// Sending or receiving failed: an OSError. The socket goes on.
    virtual void error_received(std::exception_ptr error) { (void)error; }

private:
    using BaseProtocol::connection_made;  // that of streams
};

/// How create_datagram_endpoint() and open_datagram_endpoint() open a socket. At least one of local_addr(),
/// remote_addr(), family() and sock() must be given.
class DatagramOptions {
public:
    /// A host to be resolved and a port, or an address.
    class Place {
    public:
        Place(std::string host, int port) : host(std::move(host)), port(port) {}
        explicit Place(Address address) : port(address.port()), address(std::move(address)) {}
        std::string host;
        int port;
        std::optional<Address> address;
    };

    DatagramOptions() = default;
    /// Where to receive; "" is every interface, port 0 lets the system choose. Of a Unix socket: Address::local(path);
    /// a stale socket there is removed first, and the new one's file goes when it is closed.
    DatagramOptions& local_addr(std::string host, int port) & { return local_.emplace(std::move(host), port), *this; }
    DatagramOptions&& local_addr(std::string host, int port) && { return std::move(local_addr(std::move(host), port)); }
    DatagramOptions& local_addr(Address value) & { return local_.emplace(std::move(value)), *this; }
    DatagramOptions&& local_addr(Address value) && { return std::move(local_addr(std::move(value))); }
    /// The peer: the socket is connected to it, receives from nobody else, and is told when nobody listens there.
    DatagramOptions& remote_addr(std::string host, int port) & { return remote_.emplace(std::move(host), port), *this; }
    DatagramOptions&& remote_addr(std::string host, int port) && {
        return std::move(remote_addr(std::move(host), port));
    }
    DatagramOptions& remote_addr(Address value) & { return remote_.emplace(std::move(value)), *this; }
    DatagramOptions&& remote_addr(Address value) && { return std::move(remote_addr(std::move(value))); }
    /// Only this family; default any.
    DatagramOptions& family(Family value) & { return family_ = value, *this; }
    DatagramOptions&& family(Family value) && { return std::move(family(value)); }
    /// SO_REUSEPORT: several sockets share an address; default false.
    DatagramOptions& reuse_port(bool value) & { return socket_.reuse_port = value, *this; }
    DatagramOptions&& reuse_port(bool value) && { return std::move(reuse_port(value)); }
    /// SO_BROADCAST; default false. The socket is then not connected to remote_addr(), which is where it sends.
    DatagramOptions& allow_broadcast(bool value) & { return socket_.allow_broadcast = value, *this; }
    DatagramOptions&& allow_broadcast(bool value) && { return std::move(allow_broadcast(value)); }
    /// Receives what is sent to `group`, by the interface that has the address `interface` (IPv6: whose number is its
    /// scope), else by the one that the system chooses. May be called for several groups.
    DatagramOptions& multicast_group(Address group, std::optional<Address> interface = std::nullopt) & {
        Address by = interface ? *std::move(interface) : Address::any(group.family(), 0);
        return socket_.groups.emplace_back(std::move(group), std::move(by)), *this;
    }
    DatagramOptions&& multicast_group(Address group, std::optional<Address> interface = std::nullopt) && {
        return std::move(multicast_group(std::move(group), std::move(interface)));
    }
    /// The interface by which multicast datagrams are sent.
    DatagramOptions& multicast_interface(Address value) & {
        return socket_.multicast_interface = std::move(value), *this;
    }
    DatagramOptions&& multicast_interface(Address value) && { return std::move(multicast_interface(std::move(value))); }
    /// How many routers a multicast datagram passes, 0 to 255; the system's default is 1.
    DatagramOptions& multicast_ttl(int hops) & { return socket_.multicast_ttl = hops, *this; }
    DatagramOptions&& multicast_ttl(int hops) && { return std::move(multicast_ttl(hops)); }
    /// Whether this machine receives what it sends to a group; the system's default is true.
    DatagramOptions& multicast_loopback(bool value) & { return socket_.multicast_loopback = value, *this; }
    DatagramOptions&& multicast_loopback(bool value) && { return std::move(multicast_loopback(value)); }
    /// A datagram socket of the application's: its descriptor becomes the transport's, also if opening fails.
    /// ValueError together with any of the above.
    DatagramOptions& sock(int descriptor) & { return sock_ = descriptor, *this; }
    DatagramOptions&& sock(int descriptor) && { return std::move(sock(descriptor)); }
    /// Awaitable endpoints: datagrams kept for receive() before later ones are dropped, at least 1; default 256.
    DatagramOptions& queue_limit(std::size_t value) & { return queue_limit_ = value, *this; }
    DatagramOptions&& queue_limit(std::size_t value) && { return std::move(queue_limit(value)); }

    const std::optional<Place>& local() const noexcept { return local_; }
    const std::optional<Place>& remote() const noexcept { return remote_; }
    Family family() const noexcept { return family_; }
    const io::DatagramSocketOptions& socket_options() const noexcept { return socket_; }
    int sock() const noexcept { return sock_; }
    std::size_t queue_limit() const noexcept { return queue_limit_; }

private:
    std::optional<Place> local_;
    std::optional<Place> remote_;
    Family family_ = Family::unspecified;
    io::DatagramSocketOptions socket_;
    int sock_ = -1;
    std::size_t queue_limit_ = constants::datagram_queue;
};

/// What create_datagram_endpoint() gives.
template <class P>
class DatagramConnection {
public:
    DatagramConnection(std::shared_ptr<DatagramTransport> transport, std::shared_ptr<P> protocol) noexcept
        : transport(std::move(transport)), protocol(std::move(protocol)) {}
    std::shared_ptr<DatagramTransport> transport;
    std::shared_ptr<P> protocol;
};

namespace io {

/// An open datagram socket, and where it sends if it is not told and not connected.
class OpenDatagram {
public:
    explicit OpenDatagram(DatagramRef socket, std::optional<Address> to = std::nullopt)
        : socket_(std::move(socket)), to_(std::move(to)) {}
    OpenDatagram(OpenDatagram&&) noexcept = default;
    OpenDatagram& operator=(OpenDatagram&&) = delete;
    ~OpenDatagram() {
        if (socket_) socket_->close();
    }
    DatagramRef take() { return std::move(socket_); }
    const std::optional<Address>& to() const noexcept { return to_; }

private:
    DatagramRef socket_;
    std::optional<Address> to_;
};

Coro<OpenDatagram> open_datagram(DatagramOptions options);
/// Puts a transport on the socket and waits until connection_made has returned.
Coro<std::shared_ptr<DatagramTransport>> open_datagram_transport(OpenDatagram& socket,
                                                                 std::shared_ptr<DatagramProtocol> protocol);

template <class F>
Coro<DatagramConnection<ProtocolOf<F>>> open_datagram_protocol(F factory, DatagramOptions options) {
    using P = ProtocolOf<F>;
    OpenDatagram socket = co_await open_datagram(std::move(options));
    std::shared_ptr<P> protocol = factory();
    std::shared_ptr<DatagramTransport> transport = co_await open_datagram_transport(socket, protocol);
    co_return DatagramConnection<P>(std::move(transport), std::move(protocol));
}

}  // namespace io

/// Opens a datagram socket for a DatagramProtocol (loop.create_datagram_endpoint). Names are resolved; of several
/// addresses the first that can be opened is used. Throws the typed OSError; ValueError for options that exclude each
/// other. Cancelling closes the socket.
template <class F>
auto EventLoop::create_datagram_endpoint(F protocol_factory, DatagramOptions options) {
    return io::open_datagram_protocol(std::move(protocol_factory), std::move(options));
}

}  // namespace weft

#include <weft/io/datagram_endpoint.hpp>
