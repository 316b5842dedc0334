#include <weft/backends/asio/listener.hpp>

#include <weft/backends/asio/network.hpp>
#include <weft/backends/asio/socket_file.hpp>
#include <weft/backends/asio/waiter.hpp>
#include <weft/io/descriptor.hpp>
#include <weft/io/socket_name.hpp>

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>

namespace weft::asio_backend {

namespace {

void turn_on(int descriptor, int level, int option, const char* what) {
    const int on = 1;
    io::check_call(::setsockopt(descriptor, level, option, &on, sizeof on), what);
}

io::OwnedDescriptor open_bound(const Address& address, const io::ListenOptions& options) {
    const std::string what = "error while attempting to bind on address " + address.to_string();
    io::OwnedDescriptor descriptor(io::check_call(
        ::socket(io::system_family(address.family()), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), what));
    if (address.family() == Family::local) {
        // What a server that ended badly left behind. Anything but a socket stays, and bind says that it is there.
        SocketFile::remove_stale(address);
    } else {
        if (options.reuse_address) turn_on(descriptor.get(), SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR");
        if (options.reuse_port) turn_on(descriptor.get(), SOL_SOCKET, SO_REUSEPORT, "SO_REUSEPORT");
        if (address.family() == Family::ipv6) turn_on(descriptor.get(), IPPROTO_IPV6, IPV6_V6ONLY, "IPV6_V6ONLY");
    }
    const io::SocketName name(address);
    io::check_call(::bind(descriptor.get(), name.data(), name.size()), what);
    return descriptor;
}

Address name_of(int descriptor) {
    io::SocketName name;
    if (::getsockname(descriptor, name.data(), name.size_address()) != 0) return Address();
    return name.address();
}

}  // namespace

/// What an accept in flight needs; it may end after the listener.
class AsioListener::State {
public:
    State(SocketContext& context, io::OwnedDescriptor socket, const io::ListenOptions& options,
          io::ListenerEvents& events)
        : context_(&context),
          descriptor_(context),
          events_(&events),
          backlog_(options.backlog),
          keep_alive_(options.keep_alive),
          address_(name_of(socket.get())) {
        if (options.cleanup_socket) file_.remember(address_);
        if (const auto error = descriptor_.assign(socket.get()))
            throw_os_error(to_std(error), "listen on " + address_.to_string());
        socket.take();
    }
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    void start(const std::shared_ptr<State>& self) {
        if (waiting_ || !descriptor_.is_open()) return;
        if (!listening_)
            io::check_call(::listen(descriptor_.native_handle(), backlog_), "listen on " + address_.to_string());
        listening_ = true;
        wait(self);
    }
    void stop() noexcept {
        events_ = nullptr;
        descriptor_.close();
        file_.remove();
    }
    const Address& address() const noexcept { return address_; }
    int native_handle() noexcept { return descriptor_.is_open() ? descriptor_.native_handle() : -1; }

private:
    void wait(const std::shared_ptr<State>& self) {
        descriptor_.async_wait(Wait::read, [self](const boost::system::error_code& error) {
            self->waiting_ = false;
            if (error || !self->events_) return;
            bool goes_on = false;
            try {
                goes_on = self->accept_ready();
            } catch (...) {
                // An interrupt, after which the loop may run again.
                if (self->events_) self->wait_again(self);
                throw;
            }
            if (goes_on && self->events_) self->wait_again(self);
        });
        waiting_ = true;
    }
    void wait_again(const std::shared_ptr<State>& self) {
        try {
            wait(self);
        } catch (const std::bad_alloc&) {
            events_->on_accept_error(std::make_error_code(std::errc::not_enough_memory));
        }
    }
    /// Up to `backlog` connections; false after an error, which was reported.
    bool accept_ready() {
        for (int i = 0; i < std::max(backlog_, 1) && events_; ++i) {
            io::SocketName peer;
            const int descriptor =
                ::accept4(descriptor_.native_handle(), peer.data(), peer.size_address(), SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (descriptor < 0) {
                if (errno == EAGAIN || errno == EWOULDBLOCK) return true;
                // The connection went before it was taken, or a signal came: nothing is wrong here.
                if (errno == ECONNABORTED || errno == EINTR) continue;
                events_->on_accept_error(io::last_error());
                return false;
            }
            const int on = 1;
            if (keep_alive_) ::setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
            if (!hand_over(descriptor, peer)) return false;
        }
        return true;
    }

    /// False if there was nothing to make a socket of: the connection is closed, and that was reported.
    bool hand_over(int descriptor, const io::SocketName& peer) {
        io::SocketRef socket;
        try {
            socket = open_stream_socket(*context_, descriptor, peer);
        } catch (const std::system_error& error) {
            events_->on_accept_error(error.code());
            return false;
        } catch (const std::bad_alloc&) {
            events_->on_accept_error(std::make_error_code(std::errc::not_enough_memory));
            return false;
        }
        events_->on_accept(std::move(socket));
        return true;
    }

    const detail::Ref<SocketContext> context_;
    Waiter descriptor_;
    io::ListenerEvents* events_;
    const int backlog_;
    const bool keep_alive_;
    bool waiting_ = false;
    bool listening_ = false;
    const Address address_;
    SocketFile file_;
};

AsioListener::AsioListener(SocketContext& context, const Address& address, const io::ListenOptions& options,
                           io::ListenerEvents& events)
    : state_(std::make_shared<State>(context, open_bound(address, options), options, events)) {}

AsioListener::AsioListener(SocketContext& context, int descriptor, const io::ListenOptions& options,
                           io::ListenerEvents& events) {
    io::OwnedDescriptor socket(descriptor);
    check_stream_socket(descriptor);
    io::stop_blocking(descriptor, "listen");
    state_ = std::make_shared<State>(context, std::move(socket), options, events);
}

AsioListener::~AsioListener() {
    stop();
}

void AsioListener::start() {
    state_->start(state_);
}
void AsioListener::stop() noexcept {
    if (state_) state_->stop();
}
Address AsioListener::address() const {
    return state_->address();
}
int AsioListener::native_handle() const noexcept {
    return state_->native_handle();
}

}  // namespace weft::asio_backend
