#include <weft/backends/asio/network.hpp>

#include <weft/backends/asio/datagram_socket.hpp>
#include <weft/backends/asio/descriptor.hpp>
#include <weft/backends/asio/listener.hpp>
#include <weft/backends/asio/socket.hpp>
#include <weft/base/constants.hpp>
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

/// Names of getaddrinfo's errors, whichever of Asio's categories they came in.
std::exception_ptr make_gai_error(const boost::system::error_code& error, const std::string& host) {
    return std::make_exception_ptr(GaiError(to_std(error), "getaddrinfo '" + host + "'"));
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
    : context_(context), sockets_(detail::Ref<SocketContext>::adopt(new SocketContext(context))), resolver_(context) {}

AsioNetwork::~AsioNetwork() = default;

void AsioNetwork::close() noexcept {
    resolver_.cancel();
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
            if (result)
                connected.set_exception(make_os_error(to_std(result), "Connect call failed " + remote.to_string()));
            else
                connected.set_result();
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
    OwnedDescriptor socket(check_call(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), what));
    if (local) {
        const io::SocketName own(*local);
        check_call(::bind(socket.get(), own.data(), own.size()),
                   "error while attempting to bind on address " + local->to_string());
    }
    const io::SocketName name(remote);
    auto pause = constants::local_connect_first_pause;
    while (::connect(socket.get(), name.data(), name.size()) != 0) {
        if (errno == EINTR) continue;
        if (errno != EAGAIN) throw_os_error(last_error(), what);
        // The listener's queue is full, and the system does not tell when there is room.
        co_await sleep(pause);
        pause = std::min(pause * 2, constants::local_connect_last_pause);
    }
    co_return open_stream_socket(*sockets_, socket.take());
}

io::SocketRef AsioNetwork::adopt_stream(int fd) {
    OwnedDescriptor socket(fd);
    const int flags = check_call(::fcntl(fd, F_GETFL), "socket");
    check_call(::fcntl(fd, F_SETFL, flags | O_NONBLOCK), "socket");
    io::SocketName peer;
    check_call(::getpeername(fd, peer.data(), peer.size_address()), "socket");
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

Coro<std::vector<Address>> AsioNetwork::resolve(std::string host, std::uint16_t port, Family family) {
    using Results = TcpResolver::results_type;
    Future<std::vector<Address>> resolved = loop_->create_future<std::vector<Address>>();
    auto done = [resolved, host, port, sockets = sockets_](const boost::system::error_code& error,
                                                           const Results& results) mutable {
        if (resolved.done()) return;
        if (error) {
            resolved.set_exception(make_gai_error(error, host));
            return;
        }
        std::vector<Address> addresses;
        for (const auto& entry : results) {
            const Address address = to_address(entry.endpoint()).with_port(port);
            if (std::find(addresses.begin(), addresses.end(), address) == addresses.end()) addresses.push_back(address);
        }
        resolved.set_result(std::move(addresses));
    };
    if (family == Family::unspecified)
        resolver_.async_resolve(host, std::to_string(port), tcp::resolver::numeric_service, std::move(done));
    else
        resolver_.async_resolve(family == Family::ipv4 ? tcp::v4() : tcp::v6(), host, std::to_string(port),
                                tcp::resolver::numeric_service, std::move(done));
    co_return co_await resolved;
}

}  // namespace weft::asio_backend
