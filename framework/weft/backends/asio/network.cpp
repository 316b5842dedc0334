#include <weft/backends/asio/network.hpp>

#include <weft/backends/asio/datagram_socket.hpp>
#include <weft/backends/asio/listener.hpp>
#include <weft/backends/asio/pipe.hpp>
#include <weft/backends/asio/socket.hpp>
#include <weft/base/constants.hpp>
#include <weft/io/descriptor.hpp>
#include <weft/io/socket_name.hpp>
#include <weft/loop/event_loop.hpp>
#include <weft/tasks/sleep.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace weft::asio_backend {

namespace asio = boost::asio;
using asio::ip::tcp;

std::error_code to_std(const boost::system::error_code& error) {
    // Asio's system errors carry errno values in a category of Boost's.
    if (error.category() == asio::error::get_system_category())
        return std::error_code(error.value(), std::system_category());
    return error;
}

tcp::endpoint to_endpoint(const Address& address) {
    if (address.family() == Family::ipv4) {
        asio::ip::address_v4::bytes_type bytes{};
        std::copy_n(address.bytes().begin(), bytes.size(), bytes.begin());
        return tcp::endpoint(asio::ip::address_v4(bytes), address.port());
    }
    asio::ip::address_v6::bytes_type bytes{};
    std::copy_n(address.bytes().begin(), bytes.size(), bytes.begin());
    return tcp::endpoint(asio::ip::address_v6(bytes, address.scope()), address.port());
}

Address to_address(const tcp::endpoint& endpoint) {
    std::array<std::uint8_t, 16> bytes{};
    if (endpoint.address().is_v4()) {
        const auto source = endpoint.address().to_v4().to_bytes();
        std::copy(source.begin(), source.end(), bytes.begin());
        return Address(Family::ipv4, bytes, endpoint.port());
    }
    const asio::ip::address_v6 v6 = endpoint.address().to_v6();
    const auto source = v6.to_bytes();
    std::copy(source.begin(), source.end(), bytes.begin());
    return Address(Family::ipv6, bytes, endpoint.port(), static_cast<std::uint32_t>(v6.scope_id()));
}

namespace {

void check(const boost::system::error_code& error, const std::string& what) {
    if (error) throw_os_error(to_std(error), what);
}

/// Closes a socket that was not released.
class CloseAtEnd {
public:
    explicit CloseAtEnd(TcpSocket& socket) noexcept : socket_(socket) {}
    CloseAtEnd(const CloseAtEnd&) = delete;
    CloseAtEnd& operator=(const CloseAtEnd&) = delete;
    ~CloseAtEnd() {
        boost::system::error_code ignored;  // the descriptor is gone in any case
        if (socket_.is_open()) socket_.close(ignored);
    }

private:
    TcpSocket& socket_;
};

}  // namespace

io::SocketRef open_stream_socket(SocketContext& context, int descriptor) {
    try {
        return io::SocketRef::adopt(new AsioStreamSocket(context, descriptor));
    } catch (...) {
        ::close(descriptor);
        throw;
    }
}

// AsioNetwork

AsioNetwork::AsioNetwork(IoContext& context)
    : context_(context), sockets_(detail::Ref<SocketContext>::adopt(new SocketContext(context))) {}

AsioNetwork::~AsioNetwork() = default;

void AsioNetwork::close() noexcept {
    names_.close();
    sockets_->clear();
}

Coro<io::SocketRef> AsioNetwork::connect(Address remote, std::optional<Address> local) {
    if (remote.family() == Family::local) co_return co_await connect_local(std::move(remote), std::move(local));
    // Shared with the operation in flight; if this coroutine ends first, the socket is closed at once.
    auto socket = std::make_shared<TcpSocket>(context_.get_executor());
    const CloseAtEnd guard(*socket);
    const tcp::endpoint endpoint = to_endpoint(remote);
    boost::system::error_code error;
    socket->open(endpoint.protocol(), error);
    check(error, "socket");
    if (local) {
        socket->set_option(tcp::socket::reuse_address(true), error);
        socket->bind(to_endpoint(*local), error);
        check(error, "error while attempting to bind on address " + local->to_string());
    }
    Future<> connected = loop_->create_future<void>();
    socket->async_connect(
        endpoint, [connected, remote, socket, sockets = sockets_](const boost::system::error_code& result) mutable {
            if (connected.done()) return;
            detail::run_guarded(
                [&] {
                    if (result) throw_os_error(to_std(result), "Connect call failed " + remote.to_string());
                    connected.set_result();
                },
                [&](std::exception_ptr thrown) { connected.set_exception(std::move(thrown)); });
        });
    co_await connected;
    const int descriptor = socket->release(error);
    check(error, "connect");
    co_return open_stream_socket(*sockets_, descriptor);
}

std::unique_ptr<io::Listener> AsioNetwork::listen(const Address& address, const io::ListenOptions& options,
                                                  io::ListenerEvents& events) {
    return std::make_unique<AsioListener>(*sockets_, address, options, events);
}

std::unique_ptr<io::Listener> AsioNetwork::adopt_listener(int fd, const io::ListenOptions& options,
                                                          io::ListenerEvents& events) {
    return std::make_unique<AsioListener>(*sockets_, fd, options, events);
}

Coro<io::SocketRef> AsioNetwork::connect_local(Address remote, std::optional<Address> local) {
    const std::string what = "Connect call failed " + remote.to_string();
    io::OwnedDescriptor socket(io::check_call(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), what));
    if (local) {
        const io::SocketName own(*local);
        io::check_call(::bind(socket.get(), own.data(), own.size()),
                       "error while attempting to bind on address " + local->to_string());
    }
    const io::SocketName name(remote);
    auto pause = constants::local_connect_first_pause;
    while (::connect(socket.get(), name.data(), name.size()) != 0) {
        if (errno == EINTR) continue;
        if (errno != EAGAIN) throw_os_error(io::last_error(), what);
        // The listener's queue is full, and the system does not tell when there is room.
        co_await sleep(pause);
        pause = std::min(pause * 2, constants::local_connect_last_pause);
    }
    co_return open_stream_socket(*sockets_, socket.take());
}

io::SocketRef AsioNetwork::adopt_stream(int fd) {
    io::OwnedDescriptor socket(fd);
    const int flags = io::check_call(::fcntl(fd, F_GETFL), "socket");
    io::check_call(::fcntl(fd, F_SETFL, flags | O_NONBLOCK), "socket");
    int type = 0;
    socklen_t size = sizeof type;
    io::check_call(::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size), "socket");
    if (type != SOCK_STREAM) throw ValueError("a stream socket was expected: file descriptor " + std::to_string(fd));
    io::SocketName peer;
    io::check_call(::getpeername(fd, peer.data(), peer.size_address()), "socket");
    socket.take();
    return open_stream_socket(*sockets_, fd);
}

io::DatagramRef AsioNetwork::open_datagram(const std::optional<Address>& local, const std::optional<Address>& remote,
                                           const io::DatagramSocketOptions& options) {
    return open_datagram_socket(*sockets_, local, remote, options);
}

io::DatagramRef AsioNetwork::adopt_datagram(int fd) {
    return adopt_datagram_socket(*sockets_, fd);
}

io::SocketRef AsioNetwork::adopt_pipe(int fd, io::PipeEnd end) {
    return make_pipe(*sockets_, fd, end);
}

Coro<std::vector<AddrInfo>> AsioNetwork::getaddrinfo(std::string host, std::string service, AddrInfoHints hints) {
    return names_.getaddrinfo(*loop_, std::move(host), std::move(service), hints);
}

Coro<std::pair<std::string, std::string>> AsioNetwork::getnameinfo(Address address, int flags) {
    return names_.getnameinfo(*loop_, std::move(address), flags);
}

}  // namespace weft::asio_backend
