#include <weft/backends/asio/channel.hpp>

#include <weft/backends/asio/socket.hpp>
#include <weft/base/exceptions.hpp>

#include <unistd.h>

namespace weft::asio_backend {

namespace asio = boost::asio;

#ifdef WEFT_ASIO_REACTOR_CHANNEL

ReactorChannel::ReactorChannel(asio::io_context& context, int descriptor, AsioStreamSocket& socket)
    : reactor_(asio::use_service<Reactor>(context)), socket_(socket), descriptor_(descriptor), read_(socket) {
    reactor_.init_task();
}

void ReactorChannel::start(int kind, Operation& operation, bool try_now) {
    if (!std::exchange(registered_, true)) {
        // Made here and not earlier, so that no event can come before the operation that waits for it.
        if (const int error = reactor_.register_descriptor(descriptor_, registration_))
            operation.ec_ = boost::system::error_code(error, asio::error::get_system_category());
    }
    reactor_.start_op(kind, descriptor_, registration_, &operation, true, try_now);
}

void ReactorChannel::wait_read() {
    if (!registered_) socket_.expect_event();
    socket_.add_ref();  // the operation's
    read_.ec_ = {};
    start(Reactor::read_op, read_, true);
}

void ReactorChannel::wait_write() {
    auto* operation = new WriteOperation(detail::Ref<AsioStreamSocket>(&socket_));
    start(Reactor::write_op, *operation, false);
}

void ReactorChannel::close() noexcept {
    if (registered_) reactor_.deregister_descriptor(descriptor_, registration_, true);
    ::close(descriptor_);
    if (registered_) reactor_.cleanup_descriptor_data(registration_);
}

ReactorChannel::Operation::status ReactorChannel::ReadOperation::perform(Operation* base) {
    return static_cast<ReadOperation*>(base)->socket_.perform_read() ? done : not_done;
}

void ReactorChannel::ReadOperation::complete(void* owner, asio::detail::scheduler_operation* base,
                                             const boost::system::error_code&, std::size_t) {
    const auto* self = static_cast<ReadOperation*>(base);
    const auto socket = detail::Ref<AsioStreamSocket>::adopt(&self->socket_);
    if (!owner) return;  // the io_context is ending
    if (self->ec_) socket->fail_read(self->ec_.value());
    socket->finish_read();
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

WaitChannel::WaitChannel(asio::io_context& context, int descriptor, AsioStreamSocket& socket)
    : socket_(socket), waiter_(context.get_executor()) {
    // The family only matters to calls that are not made here.
    boost::system::error_code error;
    waiter_.assign(asio::ip::tcp::v4(), descriptor, error);
    if (error) throw_os_error(to_std(error), "cannot watch socket");
}

void WaitChannel::wait_read() {
    waiter_.async_wait(asio::socket_base::wait_read, [socket = detail::Ref<AsioStreamSocket>(&socket_)](
                                                         const boost::system::error_code&) { socket->try_read(); });
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
