#include <weft/backends/asio/channel.hpp>

#include <weft/backends/asio/datagram_socket.hpp>
#include <weft/backends/asio/hang_up.hpp>
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

/// With the first wait and not earlier, so that no event can come before the operation that waits for it. True if this
/// is it.
template <class Socket>
bool ReactorChannel<Socket>::register_once() {
    if (registered_) return false;
    Socket& socket = read_.socket;
    Reactor& reactor = socket.context().reactor;
    if (const int error = reactor.register_descriptor(socket.native_handle(), registration_)) {
        reactor.deregister_descriptor(socket.native_handle(), registration_, true);
        reactor.cleanup_descriptor_data(registration_);
        throw_os_error(std::error_code(error, std::system_category()), "cannot watch socket");
    }
    registered_ = true;
#ifdef WEFT_ASIO_HANG_UP
    if constexpr (requires { socket.tells_rest(); }) {
        if (!socket.tells_rest()) tells_end_ = watch_hang_up(reactor, socket.native_handle(), registration_);
    }
#endif
    return true;
}

template <class Socket>
bool ReactorChannel<Socket>::end_is_not_there() const noexcept {
#ifdef WEFT_ASIO_HANG_UP
    return tells_end_ && !saw_hang_up(registration_);
#else
    return false;
#endif
}

/// The reactor has the operation, and it a reference to the socket.
template <class Socket>
void ReactorChannel<Socket>::start(int kind, Operation& operation, bool try_now) {
    Socket& socket = read_.socket;
    detail::Ref<Socket> reference(&socket);
    socket.context().reactor.start_op(kind, socket.native_handle(), registration_, &operation, true, try_now);
    reference.detach();
}

template <class Socket>
bool ReactorChannel<Socket>::watch() {
    if (watching_) return false;
    const bool first = register_once();
    read_.ec_ = {};
    starting_ = true;
    try {
        start(Reactor::read_op, read_, true);
    } catch (...) {
        starting_ = false;
        throw;
    }
    watching_ = true;
    starting_ = false;
    return first;
}

template <class Socket>
void ReactorChannel<Socket>::wait_write() {
    // An error that comes before the first watch is seen by nobody.
    if (register_once()) read_.socket.note_failure();
    auto operation = std::make_unique<WriteOperation>(read_.socket);
    start(Reactor::write_op, *operation, false);
    operation.release();
}

template <class Socket>
void ReactorChannel<Socket>::close() noexcept {
    Socket& socket = read_.socket;
    Reactor& reactor = socket.context().reactor;
    if (registered_) reactor.deregister_descriptor(socket.native_handle(), registration_, true);
    ::close(socket.native_handle());
    if (registered_) reactor.cleanup_descriptor_data(registration_);
}

template <class Socket>
typename ReactorChannel<Socket>::Operation::status ReactorChannel<Socket>::ReadOperation::perform(Operation* base) {
    Socket& socket = static_cast<ReadOperation*>(base)->socket;
    // Asio tries at once when a wait begins; what is there is read in its turn.
    if (socket.channel().starting_) return Operation::not_done;
#ifdef WEFT_ASIO_HANG_UP
    // Of which a read that gets data says nothing.
    if (saw_failure(socket.channel().registration_)) socket.note_failure();
#endif
    switch (socket.take_event()) {
    case ReadEvent::nothing: return Operation::not_done;
    case ReadEvent::received: return wait_is_over ? Operation::done : Operation::not_done;
    case ReadEvent::stop: break;
    }
    return Operation::done;
}

template <class Socket>
void ReactorChannel<Socket>::ReadOperation::complete(void* owner, asio::detail::scheduler_operation* base,
                                                     const boost::system::error_code&, std::size_t) {
    const auto* self = static_cast<ReadOperation*>(base);
    const auto socket = detail::Ref<Socket>::adopt(&self->socket);
    if (!owner) return;  // the io_context is ending
    socket->channel().watching_ = false;
    if (self->ec_)
        socket->fail_watch(self->ec_.value());
    else
        socket->watch_ended();
}

template <class Socket>
void ReactorChannel<Socket>::WriteOperation::complete(void* owner, asio::detail::scheduler_operation* base,
                                                      const boost::system::error_code&, std::size_t) {
    const std::unique_ptr<WriteOperation> self(static_cast<WriteOperation*>(base));
    const auto socket = detail::Ref<Socket>::adopt(&self->socket);
    if (!owner) return;
    try {
        socket->context().deliver();  // what was read by then: who is told of the room may pause or close
    } catch (...) {
        socket->wait_writable();
        throw;
    }
    socket->write_ready();
}

#else

template <class Socket>
WaitChannel<Socket>::WaitChannel(Socket& socket) : socket_(socket), waiter_(socket.context().io) {
    if (const auto error = waiter_.assign(socket.native_handle())) throw_os_error(to_std(error), "cannot watch socket");
}

template <class Socket>
bool WaitChannel<Socket>::watch() {
    if (watching_) return true;
    waiter_.async_wait(Wait::read, [this, socket = detail::Ref<Socket>(&socket_)](const boost::system::error_code&) {
        watching_ = false;
        socket->take_event();
    });
    watching_ = true;
    return true;
}

template <class Socket>
void WaitChannel<Socket>::wait_write() {
    waiter_.async_wait(Wait::write, [socket = detail::Ref<Socket>(&socket_)](const boost::system::error_code&) {
        socket->write_ready();
    });
}

template <class Socket>
void WaitChannel<Socket>::close() noexcept {
    waiter_.close();
}

#endif

#ifdef WEFT_ASIO_REACTOR_CHANNEL
template class ReactorChannel<AsioStreamSocket>;
template class ReactorChannel<AsioDatagramSocket>;
#else
template class WaitChannel<AsioStreamSocket>;
template class WaitChannel<AsioDatagramSocket>;
#endif

}  // namespace weft::asio_backend
