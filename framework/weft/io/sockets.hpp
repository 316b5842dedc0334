#pragma once
// Sockets by descriptor: asyncio's sock_* functions, for programs that make their own sockets.
//
//     int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
//     co_await loop.sock_connect(fd, *Address::parse("127.0.0.1", 8888));
//     co_await loop.sock_sendall(fd, "hello");
//     Bytes answer = co_await loop.sock_recv(fd, 100);
//
// The descriptor stays the caller's, who closes it when nobody waits on it any more. It must not block: in debug mode
// one that does is refused with ValueError. Each function tries the system call first and waits only if it must, so it
// may not suspend at all. Cancelling ends the wait at once: the descriptor may be closed in the very next statement.
// One coroutine may read a descriptor at a time and one write (RuntimeError for a second that has to wait), and none
// that belongs to a transport (RuntimeError). Spans must stay valid until the call has returned. A simulated loop has
// no descriptors: RuntimeError.
//
//   sock_recv(fd, n)           up to n bytes; empty at the end of the stream. Cancelling loses no byte.
//   sock_recv_into(fd, span)   the same into memory of the caller's; how many.
//   sock_recvfrom(fd, n)       a datagram, cut to n bytes, and where it came from. Cancelling loses no datagram.
//   sock_recvfrom_into(fd, span)
//   sock_sendall(fd, data)     sends it all. After an error or cancellation nobody knows how much was sent.
//   sock_sendto(fd, data, to)  one datagram; how many bytes.
//   sock_connect(fd, address)  ConnectionRefusedError and its kin, "Connect call failed 127.0.0.1:80".
//   sock_accept(fd)            {a descriptor that does not block and is the caller's, the peer}. Cancelling loses no
//                              connection: it stays in the queue for the next accept.
//   sock_sendfile(fd, file)    see io/sendfile.hpp

#include <weft/base/bytes.hpp>
#include <weft/io/address.hpp>
#include <weft/loop/event_loop.hpp>
#include <weft/tasks/coro.hpp>
#include <weft/tasks/waiter.hpp>

namespace weft::io {

/// Waits until a descriptor can be read or written.
class DescriptorWait final : public detail::TaskWaiter, public detail::LeafAwaitable<DescriptorWait, void> {
public:
    DescriptorWait(EventLoop& loop, int fd, FdEvent event) noexcept : loop_(loop), fd_(fd), event_(event) {}
    DescriptorWait(DescriptorWait&&) noexcept = default;
    ~DescriptorWait() {
        if (is_waiting()) unwatch();
    }

    std::string_view waiter_kind() const noexcept override {
        return event_ == FdEvent::readable ? "a socket to be read" : "a socket to be written";
    }
    bool await_ready() const noexcept { return false; }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) {
        start(handle.promise());
    }
    void await_resume() { end_wait(); }

private:
    void start(detail::PromiseBase& promise);
    void unwatch() noexcept;
    void on_cancel_wait() noexcept override { unwatch(); }

    EventLoop& loop_;
    const int fd_;
    const FdEvent event_;
};

/// Throws unless the descriptor may be used by sock_recv() and its kin.
void check_socket(EventLoop& loop, int fd);

}  // namespace weft::io
