#pragma once
// Channel: how a socket waits.
//
// Asio's reactors are edge-triggered and each wait is a new operation: a message costs one more system call, which
// finds that nothing is left, and one more registration. EpollChannel is registered once and hears of every event; it
// lives inside the socket. WaitChannel does the same by Asio's public async_wait, for other reactors and versions.

#include <weft/backends/asio/epoll_set.hpp>
#include <weft/backends/asio/socket_context.hpp>
#include <weft/backends/asio/waiter.hpp>
#include <weft/base/ref.hpp>

#include <cstddef>
#include <cstdint>

namespace weft::asio_backend {

#ifdef WEFT_ASIO_EPOLL

/// A Socket has context(), native_handle(), references, and the functions named here.
template <class Socket>
class EpollChannel : private Operation {
public:
    /// The descriptor stays the socket's until close().
    explicit EpollChannel(Socket& socket) noexcept : Operation(&complete), socket_(socket) {}
    /// From now on socket.take_event() is called whenever there may be data, and socket.note_failure() before it if
    /// there is an error. True if this is the first watch, so that an event will tell of what is there already.
    bool watch() {
        if (registered_) return false;
        start();
        return true;
    }
    /// Calls socket.write_ready() once.
    void wait_write();
    /// Ends the waits and closes the descriptor. The socket may go with it, unless somebody else has a reference.
    void close() noexcept;
    /// In take_event(): the end of the stream is not there, and will be another event.
    bool end_is_not_there() const noexcept;

private:
    static void complete(void* owner, Operation* base, const boost::system::error_code&, std::size_t);
    void start();
    bool event_is_queued() const noexcept { return task_result_ != 0; }
    void handle_event();
    void tell_writable();

    bool registered_ = false;  // until close(); it holds a reference to the socket
    bool waits_to_write_ = false;
    Socket& socket_;
};
template <class Socket>
using Channel = EpollChannel<Socket>;

#else

template <class Socket>
class WaitChannel {
public:
    explicit WaitChannel(Socket& socket);
    bool watch();
    void wait_write();
    void close() noexcept;
    bool end_is_not_there() const noexcept { return false; }

private:
    Socket& socket_;
    Waiter waiter_;
    bool watching_ = false;
};
template <class Socket>
using Channel = WaitChannel<Socket>;

#endif

}  // namespace weft::asio_backend
