#include <weft/backends/asio/network.hpp>

#include <weft/backends/asio/socket.hpp>
#include <weft/loop/event_loop.hpp>

#include <boost/asio/ip/v6_only.hpp>

#include <netinet/in.h>
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

/// A stream socket on the descriptor, which is closed if that fails.
io::SocketRef open_socket(SocketContext& context, int descriptor) {
    try {
        return io::SocketRef::adopt(new AsioStreamSocket(context, descriptor));
    } catch (...) {
        ::close(descriptor);
        throw;
    }
}

class AsioListener final : public io::Listener {
public:
    AsioListener(AsioNetwork& network, const Address& address, const io::ListenOptions& options,
                 io::ListenerEvents& events)
        : state_(std::make_shared<State>(network, options, events)) {
        const tcp::endpoint endpoint = to_endpoint(address);
        const std::string what = "error while attempting to bind on address " + address.to_string();
        TcpAcceptor& acceptor = state_->acceptor;
        boost::system::error_code error;
        acceptor.open(endpoint.protocol(), error);
        check(error, what);
        if (options.reuse_address) acceptor.set_option(tcp::acceptor::reuse_address(true));
        if (options.reuse_port) {
            const int on = 1;
            if (::setsockopt(acceptor.native_handle(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0)
                throw_os_error(std::error_code(errno, std::system_category()), "SO_REUSEPORT");
        }
        if (address.family() == Family::ipv6) acceptor.set_option(asio::ip::v6_only(true));
        acceptor.bind(endpoint, error);
        check(error, what);
        acceptor.listen(options.backlog, error);
        check(error, what);
        acceptor.non_blocking(true);
    }
    ~AsioListener() override { stop(); }

    void start() override {
        if (state_->waiting || !state_->acceptor.is_open()) return;
        State::wait(state_);
    }
    void stop() noexcept override {
        state_->events = nullptr;
        boost::system::error_code ignored;  // the descriptor is gone in any case
        state_->acceptor.close(ignored);
    }
    Address address() const override { return to_address(state_->acceptor.local_endpoint()); }
    int native_handle() const noexcept override { return state_->acceptor.native_handle(); }

private:
    /// What an accept in flight needs; it may end after the listener.
    struct State {
        State(AsioNetwork& network, const io::ListenOptions& options, io::ListenerEvents& events)
            : acceptor(network.context().get_executor()),
              sockets(&network.sockets()),
              events(&events),
              backlog(std::max(options.backlog, 1)),
              keep_alive(options.keep_alive) {}

        static void wait(const std::shared_ptr<State>& self) {
            self->waiting = true;
            self->acceptor.async_wait(tcp::acceptor::wait_read, [self](const boost::system::error_code& error) {
                self->waiting = false;
                if (error || !self->events) return;
                if (self->accept_ready() && self->events) wait(self);
            });
        }
        /// Up to `backlog` connections; false after an error, which was reported.
        bool accept_ready() {
            for (int i = 0; i < backlog && events; ++i) {
                const int descriptor =
                    ::accept4(acceptor.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (descriptor < 0) {
                    if (errno == EAGAIN || errno == EWOULDBLOCK) return true;
                    // The connection went before it was taken, or a signal came: nothing is wrong here.
                    if (errno == ECONNABORTED || errno == EINTR) continue;
                    events->on_accept_error(std::error_code(errno, std::system_category()));
                    return false;
                }
                const int on = 1;
                if (keep_alive) ::setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
                events->on_accept(open_socket(*sockets, descriptor));
            }
            return true;
        }

        TcpAcceptor acceptor;
        detail::Ref<SocketContext> sockets;
        io::ListenerEvents* events;
        int backlog;
        bool keep_alive;
        bool waiting = false;
    };

    std::shared_ptr<State> state_;
};

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
    co_return open_socket(*sockets_, descriptor);
}

std::unique_ptr<io::Listener> AsioNetwork::listen(const Address& address, const io::ListenOptions& options,
                                                  io::ListenerEvents& events) {
    return std::make_unique<AsioListener>(*this, address, options, events);
}

io::SocketRef AsioNetwork::adopt_stream(int fd) {
    return open_socket(*sockets_, fd);
}

Coro<std::vector<AddrInfo>> AsioNetwork::getaddrinfo(std::string host, std::string service, AddrInfoHints hints) {
    return names_.getaddrinfo(*loop_, std::move(host), std::move(service), hints);
}

Coro<std::pair<std::string, std::string>> AsioNetwork::getnameinfo(Address address, int flags) {
    return names_.getnameinfo(*loop_, std::move(address), flags);
}

}  // namespace weft::asio_backend
