#include <weft/backends/asio/listener.hpp>

#include <weft/backends/asio/network.hpp>
#include <weft/backends/asio/socket_address.hpp>
#include <weft/base/exceptions.hpp>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace weft::asio_backend {

namespace asio = boost::asio;
using Acceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol, IoContext::executor_type>;

namespace {

std::error_code last_error() noexcept {
    return std::error_code(errno, std::system_category());
}

/// Closes a descriptor that nobody has taken over.
class OwnedDescriptor {
public:
    explicit OwnedDescriptor(int fd) noexcept : fd_(fd) {}
    OwnedDescriptor(const OwnedDescriptor&) = delete;
    OwnedDescriptor& operator=(const OwnedDescriptor&) = delete;
    ~OwnedDescriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    int get() const noexcept { return fd_; }
    int release() noexcept { return std::exchange(fd_, -1); }

private:
    int fd_;
};

void set_option(int fd, int level, int option, const char* name) {
    const int on = 1;
    if (::setsockopt(fd, level, option, &on, sizeof on) != 0) throw_os_error(last_error(), name);
}

bool is_file(const Address& address) {
    return address.family() == Family::local && !address.path().empty() && address.path().front() != '\0';
}

/// A socket that an earlier server left behind; anything else stays, and binding fails.
void remove_stale_socket(const std::string& path) noexcept {
    struct stat status{};
    if (::stat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) ::unlink(path.c_str());
}

int bound_socket(const Address& address, const io::ListenOptions& options) {
    const SystemAddress system(address);
    const std::string what = "error while attempting to bind on address " + address.to_string();
    OwnedDescriptor fd(::socket(system.data()->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (fd.get() < 0) throw_os_error(last_error(), what);
    if (address.family() == Family::local) {
        if (is_file(address)) remove_stale_socket(address.path());
    } else {
        if (options.reuse_address) set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR");
        if (options.reuse_port) set_option(fd.get(), SOL_SOCKET, SO_REUSEPORT, "SO_REUSEPORT");
        if (address.family() == Family::ipv6) set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, "IPV6_V6ONLY");
    }
    if (::bind(fd.get(), system.data(), system.size()) != 0) throw_os_error(last_error(), what);
    return fd.release();
}

}  // namespace

/// What an accept in flight needs; it may end after the listener.
class AsioListener::State {
public:
    State(IoContext& context, SocketContext& sockets, const io::ListenOptions& options, io::ListenerEvents& events)
        : acceptor(context.get_executor()),
          sockets(&sockets),
          events(&events),
          backlog(std::max(options.backlog, 1)),
          keep_alive(options.keep_alive) {}

    static void wait(const std::shared_ptr<State>& self) {
        self->waiting = true;
        self->acceptor.async_wait(Acceptor::wait_read, [self](const boost::system::error_code& error) {
            self->waiting = false;
            if (error || !self->events) return;
            if (self->accept_ready() && self->events) wait(self);
        });
    }
    /// Up to `backlog` connections; false after an error, which was reported.
    bool accept_ready() {
        for (int i = 0; i < backlog && events; ++i) {
            const int descriptor = ::accept4(acceptor.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (descriptor < 0) {
                if (errno == EAGAIN || errno == EWOULDBLOCK) return true;
                // The connection went before it was taken, or a signal came: nothing is wrong here.
                if (errno == ECONNABORTED || errno == EINTR) continue;
                events->on_accept_error(last_error());
                return false;
            }
            const int on = 1;
            if (keep_alive) ::setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
            events->on_accept(open_socket(*sockets, descriptor));
        }
        return true;
    }

    Acceptor acceptor;
    detail::Ref<SocketContext> sockets;
    io::ListenerEvents* events;
    int backlog;
    bool keep_alive;
    bool waiting = false;
};

AsioListener::AsioListener(IoContext& context, SocketContext& sockets, const Address& address,
                           const io::ListenOptions& options, io::ListenerEvents& events) {
    const int fd = bound_socket(address, options);
    listen(context, sockets, fd, options, events);
    if (!is_file(address) || !options.cleanup_socket) return;
    // The file is the same as long as its number is.
    struct stat status{};
    if (::stat(address.path().c_str(), &status) != 0) return;
    owned_path_ = address.path();
    device_ = status.st_dev;
    inode_ = status.st_ino;
}

AsioListener::AsioListener(IoContext& context, SocketContext& sockets, int fd, const io::ListenOptions& options,
                           io::ListenerEvents& events) {
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
    listen(context, sockets, fd, options, events);
}

void AsioListener::listen(IoContext& context, SocketContext& sockets, int fd, const io::ListenOptions& options,
                          io::ListenerEvents& events) {
    OwnedDescriptor owned(fd);
    sockaddr_storage name{};
    socklen_t size = sizeof name;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0) throw_os_error(last_error(), "listen");
    if (::listen(fd, options.backlog) != 0) throw_os_error(last_error(), "listen");
    state_ = std::make_shared<State>(context, sockets, options, events);
    boost::system::error_code error;
    state_->acceptor.assign(asio::generic::stream_protocol(name.ss_family, 0), fd, error);
    if (error) throw_os_error(to_std(error), "listen");
    owned.release();
}

void AsioListener::start() {
    if (state_->waiting || !state_->acceptor.is_open()) return;
    State::wait(state_);
}

void AsioListener::stop() noexcept {
    if (!state_) return;
    state_->events = nullptr;
    boost::system::error_code ignored;  // the descriptor is gone in any case
    state_->acceptor.close(ignored);
    struct stat status{};
    const std::string path = std::exchange(owned_path_, {});
    if (!path.empty() && ::stat(path.c_str(), &status) == 0 && status.st_ino == inode_ && status.st_dev == device_)
        ::unlink(path.c_str());
}

Address AsioListener::address() const {
    sockaddr_storage name{};
    socklen_t size = sizeof name;
    if (::getsockname(native_handle(), reinterpret_cast<sockaddr*>(&name), &size) != 0)
        throw_os_error(last_error(), "getsockname");
    return address_of(reinterpret_cast<const sockaddr&>(name), size).value_or(Address());
}

int AsioListener::native_handle() const noexcept {
    return state_->acceptor.native_handle();
}

}  // namespace weft::asio_backend
