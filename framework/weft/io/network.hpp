#pragma once
// Network: the part of the backend seam that makes connections. A backend gives raw stream sockets; the transport on
// top of them (buffering, water marks, closing) is the same for all backends.

#include <weft/io/address.hpp>
#include <weft/io/resolver.hpp>
#include <weft/tasks/future.hpp>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <vector>

namespace weft::io {

/// Who is told what happens on a socket.
class SocketEvents {
public:
    /// `data` is valid during the call only.
    virtual void on_data(std::span<const std::byte> data) = 0;
    /// Where a socket may put what it reads next, of which it tells by on_data(), also if it is nothing; empty if it is
    /// to use its own memory.
    virtual std::span<std::byte> read_space() noexcept { return {}; }
    /// Data is about to come: asks for memory that it needs. Of this itself `size_hint` bytes have been asked for,
    /// which is what a SocketTransport has.
    virtual void prefetch() const noexcept {}
    static constexpr std::size_t size_hint = 136;
    virtual void on_end_of_stream() = 0;
    virtual void on_read_error(std::error_code error) = 0;
    /// Answers one wait_writable().
    virtual void on_writable() = 0;
    /// Of a pipe's writing end: nobody reads any more.
    virtual void on_hang_up() = 0;

protected:
    ~SocketEvents() = default;
};

/// One end of a connection. It counts its references; operations in flight hold one.
class StreamSocket {
public:
    void add_ref() noexcept { ++refs_; }
    void release() noexcept {
        if (--refs_ == 0) delete this;
    }

    void set_events(SocketEvents* events) noexcept { events_ = events; }
    /// Calls on_data, on_end_of_stream or on_read_error from the backend's poll until stop_reading(), the end of the
    /// stream, or an error. What arrives while stopped is kept.
    virtual void start_reading() = 0;
    virtual void stop_reading() noexcept = 0;
    /// Sends what the socket takes now. 0 without an error means none: see wait_writable().
    virtual std::size_t write_some(std::span<const std::byte> data, std::error_code& error) noexcept = 0;
    /// Calls on_writable once, when the socket takes bytes again or has failed.
    virtual void wait_writable() = 0;
    /// Sends up to `count` bytes of a file from `offset` on without copying them. 0 without an error means that the
    /// file ends there. std::errc::operation_would_block: see wait_writable(); std::errc::operation_not_supported: not
    /// this socket, or not this file.
    virtual std::size_t send_file(int file, std::uint64_t offset, std::size_t count, std::error_code& error) noexcept;
    virtual void shutdown_write() noexcept = 0;
    /// Ends the connection; no event is called afterwards.
    virtual void close() noexcept = 0;
    virtual std::optional<Address> local_address() const = 0;
    virtual std::optional<Address> remote_address() const = 0;
    virtual int native_handle() const noexcept { return -1; }
    /// A pipe goes one way: its end of stream is its end.
    virtual bool is_pipe() const noexcept { return false; }

protected:
    StreamSocket() = default;
    StreamSocket(const StreamSocket&) = delete;
    StreamSocket& operator=(const StreamSocket&) = delete;
    virtual ~StreamSocket() = default;

    SocketEvents* events_ = nullptr;

private:
    std::uint32_t refs_ = 1;
};

using SocketRef = detail::Ref<StreamSocket>;

/// Who is told what happens on a datagram socket.
class DatagramEvents {
public:
    /// `data` is valid during the call only; `from` is a socket without a name if the sender has none.
    virtual void on_datagram(std::span<const std::byte> data, const Address& from) = 0;
    /// Receiving or an earlier send failed; the socket goes on.
    virtual void on_datagram_error(std::error_code error) = 0;
    /// Answers one wait_writable().
    virtual void on_writable() = 0;

protected:
    ~DatagramEvents() = default;
};

/// A datagram socket. It counts its references; operations in flight hold one.
class DatagramSocket {
public:
    void add_ref() noexcept { ++refs_; }
    void release() noexcept {
        if (--refs_ == 0) delete this;
    }

    void set_events(DatagramEvents* events) noexcept { events_ = events; }
    /// Calls on_datagram and on_datagram_error from the backend's poll until close().
    virtual void start_receiving() = 0;
    /// Sends one datagram, to the connected peer if `to` is null. std::errc::operation_would_block: see
    /// wait_writable().
    virtual void send(std::span<const std::byte> data, const Address* to, std::error_code& error) noexcept = 0;
    /// Calls on_writable once, when the socket takes datagrams again.
    virtual void wait_writable() = 0;
    /// No event is called afterwards.
    virtual void close() noexcept = 0;
    virtual std::optional<Address> local_address() const = 0;
    virtual std::optional<Address> remote_address() const = 0;
    virtual int native_handle() const noexcept { return -1; }

protected:
    DatagramSocket() = default;
    DatagramSocket(const DatagramSocket&) = delete;
    DatagramSocket& operator=(const DatagramSocket&) = delete;
    virtual ~DatagramSocket() = default;

    DatagramEvents* events_ = nullptr;

private:
    std::uint32_t refs_ = 1;
};

using DatagramRef = detail::Ref<DatagramSocket>;

/// A multicast group, and the interface by which it is joined: by the address it has there, or the one that the system
/// chooses if that is Address::any() (of IPv6: its scope is the interface's number).
class MulticastGroup {
public:
    MulticastGroup(Address group, Address interface) : group(std::move(group)), interface(std::move(interface)) {}
    Address group;
    Address interface;
};

class DatagramSocketOptions {
public:
    DatagramSocketOptions() = default;
    Family family = Family::unspecified;  // of a socket with neither a local nor a remote address
    bool reuse_port = false;
    bool allow_broadcast = false;
    std::vector<MulticastGroup> groups;
    std::optional<Address> multicast_interface;
    std::optional<int> multicast_ttl;
    std::optional<bool> multicast_loopback;
};

/// Closes a connected socket unless a transport took it.
class SocketGuard {
public:
    explicit SocketGuard(SocketRef socket) : socket_(std::move(socket)) {}
    SocketGuard(const SocketGuard&) = delete;
    SocketGuard& operator=(const SocketGuard&) = delete;
    ~SocketGuard() {
        if (socket_) socket_->close();
    }
    SocketRef take() { return std::move(socket_); }

private:
    SocketRef socket_;
};

/// Who is told of a listener's connections.
class ListenerEvents {
public:
    virtual void on_accept(SocketRef socket) = 0;
    virtual void on_accept_error(std::error_code error) = 0;

protected:
    ~ListenerEvents() = default;
};

class Listener {
public:
    virtual ~Listener() = default;
    /// Calls on_accept from the backend's poll for each connection, on_accept_error when accepting failed; after an
    /// error it is stopped and must be started again.
    virtual void start() = 0;
    virtual void stop() noexcept = 0;
    virtual Address address() const = 0;
    virtual int native_handle() const noexcept { return -1; }
};

class ListenOptions {
public:
    ListenOptions() = default;
    int backlog = 100;
    bool reuse_address = true;
    bool reuse_port = false;
    bool keep_alive = false;
    bool cleanup_socket = false;  // a Unix socket's file goes with the listener, if it is still the listener's
};

enum class PipeEnd : std::uint8_t { reading, writing };

class Network {
public:
    virtual ~Network() = default;
    /// A connected socket (TCP, with TCP_NODELAY set, or a Unix socket if `remote` is one); throws the typed OS error.
    /// Cancelling closes the socket.
    virtual Coro<SocketRef> connect(Address remote, std::optional<Address> local) = 0;
    /// A bound and listening socket (TCP or Unix) that is not started; throws the typed OS error.
    virtual std::unique_ptr<Listener> listen(const Address& address, const ListenOptions& options,
                                             ListenerEvents& events) = 0;
    // A backend may lack what follows: RuntimeError then.

    /// A datagram socket, bound to `local` if there is one, connected to `remote` if there is one; throws the typed OS
    /// error.
    virtual DatagramRef open_datagram(const std::optional<Address>& local, const std::optional<Address>& remote,
                                      const DatagramSocketOptions& options);
    /// Takes over the descriptor of a connected stream socket: it is closed by the result, and here if this throws.
    virtual SocketRef adopt_stream(int fd);
    /// The same for a datagram socket.
    virtual DatagramRef adopt_datagram(int fd);
    /// The same for a socket that listens.
    virtual std::unique_ptr<Listener> adopt_listener(int fd, const ListenOptions& options, ListenerEvents& events);

    /// Takes over one end of a pipe, or a device that behaves like one.
    virtual SocketRef adopt_pipe(int fd, PipeEnd end);
    /// Whether the backend has descriptors of the system, and so processes and pipes.
    virtual bool has_descriptors() const noexcept { return false; }
    /// The addresses of a name, off the loop's thread; GaiError. See ResolverService.
    virtual Coro<std::vector<AddrInfo>> getaddrinfo(std::string host, std::string service, AddrInfoHints hints) = 0;
    virtual Coro<std::pair<std::string, std::string>> getnameinfo(Address address, int flags) = 0;
};

}  // namespace weft::io
