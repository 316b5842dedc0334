#include <weft/backends/asio/network.hpp>

#include <weft/backends/asio/datagram_socket.hpp>
#include <weft/backends/asio/listener.hpp>
#include <weft/backends/asio/pipe.hpp>
#include <weft/backends/asio/socket.hpp>
#include <weft/backends/asio/waiter.hpp>
#include <weft/base/constants.hpp>
#include <weft/io/descriptor.hpp>
#include <weft/io/socket_name.hpp>
#include <weft/loop/event_loop.hpp>
#include <weft/tasks/sleep.hpp>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace weft::asio_backend {

namespace asio = boost::asio;

std::error_code to_std(const boost::system::error_code& error) {
    // Asio's system errors carry errno values in a category of Boost's.
    if (error.category() == asio::error::get_system_category())
        return std::error_code(error.value(), std::system_category());
    return error;
}

io::SocketRef open_stream_socket(SocketContext& context, int descriptor, const io::SocketName& peer) {
    try {
        return io::SocketRef::adopt(new AsioStreamSocket(context, descriptor, peer.address()));
    } catch (...) {
        ::close(descriptor);
        throw;
    }
}

void check_stream_socket(int fd) {
    int type = 0;
    socklen_t size = sizeof type;
    io::check_call(::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size), "socket");
    if (type != SOCK_STREAM) throw ValueError("a stream socket was expected: file descriptor " + std::to_string(fd));
}

// AsioNetwork

AsioNetwork::AsioNetwork(IoContext& context)
    : sockets_(detail::Ref<SocketContext>::adopt(new SocketContext(context))) {}

AsioNetwork::~AsioNetwork() = default;

void AsioNetwork::close() noexcept {
    names_.close();
}

namespace {

/// With the name that its peer has, if it has one: a connection that was reset has none.
io::SocketRef open_connected_socket(SocketContext& context, int descriptor) {
    io::SocketName peer;
    if (::getpeername(descriptor, peer.data(), peer.size_address()) != 0) peer.reset();
    return open_stream_socket(context, descriptor, peer);
}

void bind_to(int socket, const Address& local) {
    const io::SocketName name(local);
    io::check_call(::bind(socket, name.data(), name.size()),
                   "error while attempting to bind on address " + local.to_string());
}

/// A connection that is being made. Its wait holds it, and may end after the coroutine that began it.
struct Connecting {
    explicit Connecting(SocketContext& context) : context(&context), waiter(context) {}
    const detail::Ref<SocketContext> context;
    Waiter waiter;
    boost::system::error_code error;  // of the wait itself
};

/// Closes the socket at once if the coroutine ends first.
class CloseAtEnd {
public:
    explicit CloseAtEnd(Waiter& waiter) noexcept : waiter_(waiter) {}
    CloseAtEnd(const CloseAtEnd&) = delete;
    CloseAtEnd& operator=(const CloseAtEnd&) = delete;
    ~CloseAtEnd() { waiter_.close(); }

private:
    Waiter& waiter_;
};

}  // namespace

Coro<io::SocketRef> AsioNetwork::connect(Address remote, std::optional<Address> local) {
    if (remote.family() == Family::local) co_return co_await connect_local(std::move(remote), std::move(local));
    io::OwnedDescriptor socket(io::check_call(
        ::socket(io::system_family(remote.family()), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket"));
    if (local) {
        const int on = 1;
        ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        bind_to(socket.get(), *local);
    }
    const io::SocketName name(remote);
    int error = ::connect(socket.get(), name.data(), name.size()) == 0 ? 0 : errno;
    if (error == EINPROGRESS || error == EINTR) {
        const auto connecting = std::make_shared<Connecting>(*sockets_);
        if (const auto failed = connecting->waiter.assign(socket.get())) throw_os_error(to_std(failed), "connect");
        socket.take();
        const CloseAtEnd guard(connecting->waiter);
        Future<> decided = loop_->create_future<void>();
        auto ended = [decided, connecting](const boost::system::error_code& failure) mutable {
            connecting->error = failure;
            if (!decided.done()) decided.set_result();
        };
        connecting->waiter.async_wait(Wait::write, std::move(ended));
        co_await decided;
        if (connecting->error) throw_os_error(to_std(connecting->error), "connect");
        socklen_t size = sizeof error;
        io::check_call(::getsockopt(connecting->waiter.native_handle(), SOL_SOCKET, SO_ERROR, &error, &size),
                       "connect");
        socket = io::OwnedDescriptor(connecting->waiter.release());
    }
    if (error != 0)
        throw_os_error(std::error_code(error, std::system_category()), "Connect call failed " + remote.to_string());
    co_return open_connected_socket(*sockets_, socket.take());
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
    if (local) bind_to(socket.get(), *local);
    const io::SocketName name(remote);
    auto pause = constants::local_connect_first_pause;
    while (::connect(socket.get(), name.data(), name.size()) != 0) {
        if (errno == EINTR) continue;
        if (errno != EAGAIN) throw_os_error(io::last_error(), what);
        // The listener's queue is full, and the system does not tell when there is room.
        co_await sleep(pause);
        pause = std::min(pause * 2, constants::local_connect_last_pause);
    }
    co_return open_connected_socket(*sockets_, socket.take());
}

io::SocketRef AsioNetwork::adopt_stream(int fd) {
    io::OwnedDescriptor socket(fd);
    io::stop_blocking(fd, "socket");
    check_stream_socket(fd);
    io::SocketName peer;
    if (::getpeername(fd, peer.data(), peer.size_address()) != 0) {
        const std::error_code error = io::last_error();
        // One that was reset has no peer any more, but an error to be read.
        pollfd state{fd, 0, 0};
        if (::poll(&state, 1, 0) != 1 || (state.revents & POLLERR) == 0) throw_os_error(error, "socket");
        peer.reset();
    }
    return open_stream_socket(*sockets_, socket.take(), peer);
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
