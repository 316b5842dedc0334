#include <weft/backends/asio/channel.hpp>

#include <weft/backends/asio/socket.hpp>
#include <weft/base/exceptions.hpp>

#include <unistd.h>

namespace weft::asio_backend {

namespace asio = boost::asio;

#ifdef WEFT_ASIO_REACTOR_CHANNEL

namespace {
/// Whether a wait must end with what it read, for the poll to return. To the epoll reactor each event is a completion;
/// the select reactor waits on unless an operation has completed.
#ifdef BOOST_ASIO_HAS_EPOLL
constexpr bool wait_is_over = false;
#else
constexpr bool wait_is_over = true;
#endif
}  // namespace

void ReactorChannel::start(int kind, Operation& operation, bool try_now) {
    AsioStreamSocket& socket = read_.socket;
    Reactor& reactor = socket.context().reactor;
    if (!std::exchange(registered_, true)) {
        // Made here and not earlier, so that no event can come before the operation that waits for it.
        if (const int error = reactor.register_descriptor(socket.native_handle(), registration_))
            operation.ec_ = boost::system::error_code(error, asio::error::get_system_category());
    }
    reactor.start_op(kind, socket.native_handle(), registration_, &operation, true, try_now);
}

bool ReactorChannel::watch() {
    if (watching_) return false;
    const bool first = !registered_;
    watching_ = true;
    read_.socket.add_ref();  // the operation's
    read_.ec_ = {};
    starting_ = true;
    start(Reactor::read_op, read_, true);
    starting_ = false;
    return first;
}

void ReactorChannel::wait_write() {
    auto* operation = new WriteOperation(detail::Ref<AsioStreamSocket>(&read_.socket));
    start(Reactor::write_op, *operation, false);
}

void ReactorChannel::close() noexcept {
    AsioStreamSocket& socket = read_.socket;
    Reactor& reactor = socket.context().reactor;
    if (registered_) reactor.deregister_descriptor(socket.native_handle(), registration_, true);
    ::close(socket.native_handle());
    if (registered_) reactor.cleanup_descriptor_data(registration_);
}

ReactorChannel::Operation::status ReactorChannel::ReadOperation::perform(Operation* base) {
    AsioStreamSocket& socket = static_cast<ReadOperation*>(base)->socket;
    // Asio tries at once when a wait begins; what is there is read in its turn.
    if (socket.channel().starting_) return not_done;
    switch (socket.take_event()) {
    case AsioStreamSocket::Event::nothing: return not_done;
    case AsioStreamSocket::Event::received: return wait_is_over ? done : not_done;
    case AsioStreamSocket::Event::stop: break;
    }
    return done;
}

void ReactorChannel::ReadOperation::complete(void* owner, asio::detail::scheduler_operation* base,
                                             const boost::system::error_code&, std::size_t) {
    const auto* self = static_cast<ReadOperation*>(base);
    const auto socket = detail::Ref<AsioStreamSocket>::adopt(&self->socket);
    if (!owner) return;  // the io_context is ending
    socket->channel().watching_ = false;
    if (self->ec_)
        socket->fail_watch(self->ec_.value());
    else
        socket->watch_ended();
}

ReactorChannel::WriteOperation::WriteOperation(detail::Ref<AsioStreamSocket> socket) noexcept
    : Operation(boost::system::error_code(), &perform, &complete), socket_(std::move(socket)) {}

void ReactorChannel::WriteOperation::complete(void* owner, asio::detail::scheduler_operation* base,
                                              const boost::system::error_code&, std::size_t) {
    const std::unique_ptr<WriteOperation> self(static_cast<WriteOperation*>(base));
    const auto socket = self->socket_;
    if (owner) socket->write_ready();
}

#else

WaitChannel::WaitChannel(AsioStreamSocket& socket) : socket_(socket), waiter_(socket.context().io.get_executor()) {
    // The family only matters to calls that are not made here.
    boost::system::error_code error;
    waiter_.assign(asio::ip::tcp::v4(), socket.native_handle(), error);
    if (error) throw_os_error(to_std(error), "cannot watch socket");
}

bool WaitChannel::watch() {
    if (std::exchange(watching_, true)) return true;
    waiter_.async_wait(asio::socket_base::wait_read,
                       [this, socket = detail::Ref<AsioStreamSocket>(&socket_)](const boost::system::error_code&) {
                           watching_ = false;
                           socket->take_event();
                       });
    return true;
}

void WaitChannel::wait_write() {
    waiter_.async_wait(asio::socket_base::wait_write, [socket = detail::Ref<AsioStreamSocket>(&socket_)](
                                                          const boost::system::error_code&) { socket->write_ready(); });
}

void WaitChannel::close() noexcept {
    boost::system::error_code ignored;  // the descriptor is gone in any case
    waiter_.close(ignored);
}

#endif

}  // namespace weft::asio_backend
