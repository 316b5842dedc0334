#include <weft/backends/asio/network.hpp>

#include <weft/backends/asio/listener.hpp>
#include <weft/backends/asio/pipe.hpp>
#include <weft/backends/asio/socket.hpp>
#include <weft/backends/asio/socket_address.hpp>
#include <weft/loop/event_loop.hpp>
#include <weft/tasks/sleep.hpp>

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/generic/stream_protocol.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace weft::asio_backend {

namespace asio = boost::asio;
using Socket = asio::basic_stream_socket<asio::generic::stream_protocol, IoExecutor>;

std::error_code to_std(const boost::system::error_code& error) {
    // Asio's system errors carry errno values in a category of Boost's.
    if (error.category() == asio::error::get_system_category())
        return std::error_code(error.value(), std::system_category());
    return error;
}

namespace {

constexpr std::chrono::milliseconds longest_pause{50};

std::error_code last_error() noexcept {
    return std::error_code(errno, std::system_category());
}

void check(const boost::system::error_code& error, const std::string& what) {
    if (error) throw_os_error(to_std(error), what);
}

}  // namespace

io::SocketRef open_socket(SocketContext& context, int descriptor) {
    try {
        return io::SocketRef::adopt(new AsioStreamSocket(context, descriptor));
    } catch (...) {
        ::close(descriptor);
        throw;
    }
}

namespace {

/// A Unix socket connects at once, unless its server has too many connections to accept; nothing tells when it has
/// room.
Coro<> connect_local(int fd, Address remote) {
    const SystemAddress target(remote);
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
    for (Duration pause = std::chrono::milliseconds(1);; pause = std::min<Duration>(2 * pause, longest_pause)) {
        if (::connect(fd, target.data(), target.size()) == 0) co_return;
        if (errno != EAGAIN) throw_os_error(last_error(), "Connect call failed " + remote.to_string());
        co_await sleep(pause);
    }
}

/// Closes a socket that was not released.
class CloseAtEnd {
public:
    explicit CloseAtEnd(Socket& socket) noexcept : socket_(socket) {}
    CloseAtEnd(const CloseAtEnd&) = delete;
    CloseAtEnd& operator=(const CloseAtEnd&) = delete;
    ~CloseAtEnd() {
        boost::system::error_code ignored;  // the descriptor is gone in any case
        if (socket_.is_open()) socket_.close(ignored);
    }

private:
    Socket& socket_;
};

}  // namespace

// AsioNetwork

AsioNetwork::AsioNetwork(IoContext& context)
    : context_(context), sockets_(detail::Ref<SocketContext>::adopt(new SocketContext(context))) {}

AsioNetwork::~AsioNetwork() = default;

void AsioNetwork::close() noexcept {
    names_.close();
    sockets_->clear();
}

Coro<io::SocketRef> AsioNetwork::connect(Address remote, std::optional<Address> local) {
    // Shared with the operation in flight; if this coroutine ends first, the socket is closed at once.
    auto socket = std::make_shared<Socket>(context_.get_executor());
    const CloseAtEnd guard(*socket);
    const SystemAddress target(remote);
    const int family = target.data()->sa_family;
    boost::system::error_code error;
    const int created = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (created < 0) throw_os_error(last_error(), "socket");
    socket->assign(asio::generic::stream_protocol(family, 0), created, error);
    if (error) ::close(created);
    check(error, "socket");
    if (local) {
        const int on = 1;
        if (local->family() != Family::local) ::setsockopt(created, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        const SystemAddress own(*local);
        if (::bind(created, own.data(), own.size()) != 0)
            throw_os_error(last_error(), "error while attempting to bind on address " + local->to_string());
    }
    if (remote.family() == Family::local) {
        co_await connect_local(created, remote);
    } else {
        Future<> connected = loop_->create_future<void>();
        const asio::generic::stream_protocol::endpoint endpoint(target.data(), target.size());
        socket->async_connect(
            endpoint, [connected, remote, socket, sockets = sockets_](const boost::system::error_code& result) mutable {
                if (connected.done()) return;
                if (result)
                    connected.set_exception(make_os_error(to_std(result), "Connect call failed " + remote.to_string()));
                else
                    connected.set_result();
            });
        co_await connected;
    }
    const int descriptor = socket->release(error);
    check(error, "connect");
    co_return open_socket(*sockets_, descriptor);
}

std::unique_ptr<io::Listener> AsioNetwork::listen(const Address& address, const io::ListenOptions& options,
                                                  io::ListenerEvents& events) {
    return std::make_unique<AsioListener>(context_, *sockets_, address, options, events);
}

std::unique_ptr<io::Listener> AsioNetwork::adopt_listener(int fd, const io::ListenOptions& options,
                                                          io::ListenerEvents& events) {
    return std::make_unique<AsioListener>(context_, *sockets_, fd, options, events);
}

io::SocketRef AsioNetwork::adopt_stream(int fd) {
    int type = 0;
    socklen_t size = sizeof type;
    const bool is_socket = ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
    if (!is_socket || type != SOCK_STREAM) {
        const std::error_code error = last_error();
        ::close(fd);
        if (!is_socket) throw_os_error(error, "file descriptor " + std::to_string(fd));
        throw ValueError("a stream socket was expected: file descriptor " + std::to_string(fd));
    }
    return open_socket(*sockets_, fd);
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
