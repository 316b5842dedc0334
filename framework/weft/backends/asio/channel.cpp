#include <weft/backends/asio/channel.hpp>

#include <weft/backends/asio/datagram_socket.hpp>
#include <weft/backends/asio/network.hpp>
#include <weft/backends/asio/socket.hpp>
#include <weft/base/exceptions.hpp>

#include <unistd.h>

namespace weft::asio_backend {

#ifdef WEFT_ASIO_EPOLL

namespace {

constexpr std::uint32_t failures = EPOLLERR | EPOLLHUP;

constexpr std::uint32_t wanted_events(bool reading, bool writing, bool edge) noexcept {
    const std::uint32_t events = (reading ? EPOLLIN : 0U) | (writing ? EPOLLOUT : 0U);
    // Failures are told in any case: where nobody acts on them, once.
    return events != 0 && !edge ? events : events | EPOLLET;
}

}  // namespace

template <class Socket>
void EpollChannel<Socket>::tell_set(bool reading, bool writing) {
    if (closed_) return;
    const std::uint32_t events = wanted_events(reading, writing, edge_);
    EpollSet& set = socket_.context().events;
    const int descriptor = socket_.native_handle();
    const int error = told_ == 0        ? set.add(descriptor, events, *this)
                      : told_ != events ? set.change(descriptor, events, *this)
                                        : 0;
    if (error != 0) throw_os_error(std::error_code(error, std::system_category()), "cannot watch socket");
    reading_ = reading;
    writing_ = writing;
    told_ = events;
}

template <class Socket>
void EpollChannel<Socket>::tell_set_later() noexcept {
    const std::uint32_t events = wanted_events(reading_, writing_, edge_);
    if (told_ == events) return;
    if (socket_.context().events.change(socket_.native_handle(), events, *this) == 0) told_ = events;
}

template <class Socket>
void EpollChannel<Socket>::close() noexcept {
    const int descriptor = socket_.native_handle();
    if (told_ != 0) socket_.context().events.remove(descriptor, *this);
    reading_ = writing_ = false;
    closed_ = true;
    ::close(descriptor);
}

template <class Socket>
void EpollChannel<Socket>::handle_events(std::uint32_t events) {
    const detail::Ref<Socket> keep(&socket_);
    if (reading_ && (events & (EPOLLIN | failures)) != 0) socket_.take_event();
    if (writing_ && (events & (EPOLLOUT | failures)) != 0) {
        writing_ = false;
        socket_.write_ready();
        // It waits again for what is not there: see note_read().
        if (writing_ && (events & EPOLLOUT) == 0) edge_ = true;
    }
    if (!closed_) tell_set_later();
}

#else

template <class Socket>
WaitChannel<Socket>::WaitChannel(Socket& socket) : socket_(socket), waiter_(socket.context()) {
    if (const auto error = waiter_.assign(socket.native_handle())) throw_os_error(to_std(error), "cannot watch socket");
}

template <class Socket>
void WaitChannel<Socket>::watch() {
    if (watching_) return;
    waiter_.async_wait(Wait::read, [this, socket = detail::Ref<Socket>(&socket_)](const boost::system::error_code&) {
        watching_ = false;
        socket->take_event();
    });
    watching_ = true;
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
