#include <weft/backends/asio/channel.hpp>

#include <weft/backends/asio/datagram_socket.hpp>
#include <weft/backends/asio/socket.hpp>
#include <weft/base/exceptions.hpp>

#ifdef WEFT_ASIO_EPOLL
#include <sys/epoll.h>
#endif
#include <unistd.h>

#include <utility>

namespace weft::asio_backend {

#ifdef WEFT_ASIO_EPOLL

namespace {

constexpr std::uint32_t failures = EPOLLERR | EPOLLHUP;
constexpr std::uint32_t readable = EPOLLIN | EPOLLRDHUP | failures;
constexpr std::uint32_t writable = EPOLLOUT | failures;

}  // namespace

template <class Socket>
void EpollChannel<Socket>::start() {
    Reactor& reactor = socket_.context().reactor;
    if (const int error = control_epoll(reactor, EPOLL_CTL_ADD, socket_.native_handle(), readable | EPOLLET, this))
        throw_os_error(std::error_code(error, std::system_category()), "cannot watch socket");
    registered_ = true;
    socket_.add_ref();
}

template <class Socket>
void EpollChannel<Socket>::wait_write() {
    watch();
    Reactor& reactor = socket_.context().reactor;
    // Each time, as Asio does: it asks the socket anew, which not every kind tells by itself.
    if (const int error =
            control_epoll(reactor, EPOLL_CTL_MOD, socket_.native_handle(), readable | EPOLLOUT | EPOLLET, this))
        throw_os_error(std::error_code(error, std::system_category()), "cannot watch socket");
    waits_to_write_ = true;
}

template <class Socket>
void EpollChannel<Socket>::close() noexcept {
    const int descriptor = socket_.native_handle();
    if (!registered_) {
        ::close(descriptor);
        return;
    }
    // By name: a copy of it in a child that is just being started would keep it there.
    control_epoll(socket_.context().reactor, EPOLL_CTL_DEL, descriptor, 0, nullptr);
    ::close(descriptor);
    registered_ = waits_to_write_ = false;
    if (!event_is_queued()) socket_.release();
}

template <class Socket>
bool EpollChannel<Socket>::end_is_not_there() const noexcept {
    return (task_result_ & (EPOLLRDHUP | failures)) == 0;
}

template <class Socket>
void EpollChannel<Socket>::complete(void* owner, Operation* base, const boost::system::error_code&, std::size_t) {
    auto& self = *static_cast<EpollChannel*>(base);
    // It was no work to Asio's scheduler, which takes it for done now.
    if (owner) self.socket_.context().scheduler.compensating_work_started();
    if (self.registered_ && owner) {
        self.handle_event();
        return;
    }
    self.task_result_ = 0;
    if (!self.registered_) self.socket_.release();  // see close()
}

template <class Socket>
void EpollChannel<Socket>::handle_event() {
    const detail::Ref<Socket> keep(&socket_);
    const std::uint32_t events = task_result_;
    if ((events & failures) != 0) socket_.note_failure();
    if ((events & readable) != 0) socket_.take_event();
    task_result_ = 0;
    if (waits_to_write_ && (events & writable) != 0) tell_writable();
}

template <class Socket>
void EpollChannel<Socket>::tell_writable() {
    waits_to_write_ = false;
    try {
        socket_.context().deliver();  // what was read by then: who is told of the room may pause or close
    } catch (...) {
        if (registered_) wait_write();
        throw;
    }
    socket_.write_ready();
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

#ifdef WEFT_ASIO_EPOLL
template class EpollChannel<AsioStreamSocket>;
template class EpollChannel<AsioDatagramSocket>;
#else
template class WaitChannel<AsioStreamSocket>;
template class WaitChannel<AsioDatagramSocket>;
#endif

}  // namespace weft::asio_backend
