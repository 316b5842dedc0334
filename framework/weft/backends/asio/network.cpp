#include <weft/backends/asio/network.hpp>

#include <weft/backends/asio/socket.hpp>
#include <weft/base/constants.hpp>
#include <weft/loop/event_loop.hpp>

#include <boost/asio/ip/v6_only.hpp>

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <new>

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
              buffers(network.buffers()),
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
                boost::system::error_code error;
                TcpSocket socket(acceptor.get_executor());
                acceptor.accept(socket, error);
                if (error == asio::error::would_block || error == asio::error::try_again) return true;
                // The connection went before it was taken, or a signal came: nothing is wrong here.
                if (error == asio::error::connection_aborted || error == asio::error::interrupted) continue;
                if (error) {
                    events->on_accept_error(to_std(error));
                    return false;
                }
                socket.set_option(tcp::no_delay(true), error);
                if (keep_alive) socket.set_option(tcp::socket::keep_alive(true), error);
                events->on_accept(io::SocketRef::adopt(new AsioStreamSocket(std::move(socket), buffers)));
            }
            return true;
        }

        TcpAcceptor acceptor;
        std::shared_ptr<ReadBuffers> buffers;
        io::ListenerEvents* events;
        int backlog;
        bool keep_alive;
        bool waiting = false;
    };

    std::shared_ptr<State> state_;
};

/// Closes a socket whose connect did not come to its end.
class CloseUnlessTaken {
public:
    explicit CloseUnlessTaken(detail::Ref<AsioStreamSocket> socket) : socket_(std::move(socket)) {}
    CloseUnlessTaken(const CloseUnlessTaken&) = delete;
    CloseUnlessTaken& operator=(const CloseUnlessTaken&) = delete;
    ~CloseUnlessTaken() {
        if (socket_) socket_->close();
    }
    AsioStreamSocket& operator*() const noexcept { return *socket_; }
    const detail::Ref<AsioStreamSocket>& get() const noexcept { return socket_; }
    io::SocketRef take() { return std::move(socket_); }

private:
    detail::Ref<AsioStreamSocket> socket_;
};

}  // namespace

// ReadBuffers

std::byte* ReadBuffers::make() {
    return static_cast<std::byte*>(
        ::operator new(constants::read_buffer_size, std::align_val_t(constants::read_buffer_alignment)));
}
void ReadBuffers::destroy(std::byte* buffer) noexcept {
    ::operator delete(buffer, std::align_val_t(constants::read_buffer_alignment));
}

ReadBuffers::~ReadBuffers() {
    for (std::byte* buffer : free_)
        destroy(buffer);
}

std::byte* ReadBuffers::borrow() {
    if (free_.empty()) {
        free_.reserve(4);
        return make();
    }
    std::byte* buffer = free_.back();
    free_.pop_back();
    return buffer;
}

void ReadBuffers::give_back(std::byte* buffer) noexcept {
    // Room for four was reserved: pushing cannot throw. Rare bursts go back to the heap.
    if (free_.size() < 4)
        free_.push_back(buffer);
    else
        destroy(buffer);
}

// AsioNetwork

void AsioNetwork::close() noexcept {
    resolver_.cancel();
}

Coro<io::SocketRef> AsioNetwork::connect(Address remote, std::optional<Address> local) {
    TcpSocket socket(context_.get_executor());
    const tcp::endpoint endpoint = to_endpoint(remote);
    boost::system::error_code error;
    socket.open(endpoint.protocol(), error);
    check(error, "socket");
    socket.set_option(tcp::no_delay(true), error);
    if (local) {
        socket.set_option(tcp::socket::reuse_address(true), error);
        socket.bind(to_endpoint(*local), error);
        check(error, "error while attempting to bind on address " + local->to_string());
    }
    CloseUnlessTaken guard(detail::Ref<AsioStreamSocket>::adopt(new AsioStreamSocket(std::move(socket), buffers_)));
    Future<> connected = loop_->create_future<void>();
    (*guard).socket().async_connect(
        endpoint, [connected, remote, keep = guard.get()](const boost::system::error_code& result) mutable {
            if (connected.done()) return;
            if (result)
                connected.set_exception(make_os_error(to_std(result), "Connect call failed " + remote.to_string()));
            else
                connected.set_result();
        });
    co_await connected;
    co_return guard.take();
}

std::unique_ptr<io::Listener> AsioNetwork::listen(const Address& address, const io::ListenOptions& options,
                                                  io::ListenerEvents& events) {
    return std::make_unique<AsioListener>(*this, address, options, events);
}

Coro<std::vector<Address>> AsioNetwork::resolve(std::string host, std::uint16_t port, Family family) {
    using Results = TcpResolver::results_type;
    Future<std::vector<Address>> resolved = loop_->create_future<std::vector<Address>>();
    auto done = [resolved, host, port](const boost::system::error_code& error, const Results& results) mutable {
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
