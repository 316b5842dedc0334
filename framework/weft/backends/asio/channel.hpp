#pragma once
// Channel: how a socket waits. EpollChannel is an entry of the loop's epoll set and lives inside the socket;
// WaitChannel does the same by Asio's async_wait, for other reactors: there a watch() is for one event. Both are
// level-triggered: while something is there to be read and the socket is watched, each poll tells it.

#include <weft/backends/asio/epoll_set.hpp>
#include <weft/backends/asio/socket_context.hpp>
#include <weft/base/ref.hpp>

#ifndef WEFT_ASIO_EPOLL
#include <weft/backends/asio/waiter.hpp>
#endif

#include <cstdint>

namespace weft::asio_backend {

#ifdef WEFT_ASIO_EPOLL

/// A Socket has context(), native_handle(), references, and the functions named here.
template <class Socket>
class EpollChannel : private EpollEntry {
public:
    /// The descriptor stays the socket's until close().
    explicit EpollChannel(Socket& socket) noexcept : socket_(socket) {}
    /// From now on socket.take_event() is called whenever there is data, the end of the stream, or an error. Throws the
    /// typed OS error.
    void watch() {
        if (!reading_) tell_set(true, writing_);
    }
    /// In take_event(): it is not called any more.
    void stop_watching() noexcept { reading_ = false; }
    /// In take_event(): whether there was something. Where there was nothing although the system says so, as while
    /// something is in the queue of a socket's errors, it is called again only when something comes.
    void note_read(bool something) noexcept { edge_ = !something; }
    /// Calls socket.write_ready() once.
    void wait_write() { tell_set(reading_, true); }
    /// Ends the waits and closes the descriptor.
    void close() noexcept;

private:
    void handle_events(std::uint32_t events) override;
    void prefetch(int step) const noexcept override { socket_.prefetch(step); }
    void tell_set(bool reading, bool writing);
    /// What is not wanted any more is told when it comes: it may be wanted again by then.
    void tell_set_later() noexcept;

    bool reading_ = false;
    bool writing_ = false;
    bool edge_ = false;  // told of what comes, not of what is there
    bool closed_ = false;
    std::uint32_t told_ = 0;  // what the set tells of; 0 while the socket is not in it
    Socket& socket_;
};
template <class Socket>
using Channel = EpollChannel<Socket>;

#else

template <class Socket>
class WaitChannel {
public:
    explicit WaitChannel(Socket& socket);
    void watch();
    void stop_watching() noexcept {}
    void note_read(bool) noexcept {}
    void wait_write();
    void close() noexcept;

private:
    Socket& socket_;
    Waiter waiter_;
    bool watching_ = false;
};
template <class Socket>
using Channel = WaitChannel<Socket>;

#endif

}  // namespace weft::asio_backend
