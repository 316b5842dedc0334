#pragma once
// SocketContext: what the sockets of one loop share: the reactor, and the one buffer that they read into. What an event
// has brought is delivered at once; so one buffer serves all, and idle connections own none.

#include <weft/base/ref.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/version.hpp>

#include <cstddef>
#include <cstdint>

#if defined(BOOST_ASIO_HAS_EPOLL) && !defined(BOOST_ASIO_HAS_IO_URING_AS_DEFAULT)
#define WEFT_ASIO_EPOLL 1
#include <memory>
#else
#include <weft/base/unique_function.hpp>

#include <utility>
#include <vector>
#if BOOST_ASIO_VERSION == 102600
#define WEFT_ASIO_INTERNALS 1
#endif
#endif

namespace weft {
class EventLoop;
}

namespace weft::asio_backend {

using IoContext = boost::asio::io_context;
#ifdef WEFT_ASIO_EPOLL
class EpollSet;
#endif

/// Everything that waits for the system holds a reference: sockets, listeners, operations in flight, watches of
/// descriptors and signals. They may outlive the network.
class SocketContext {
public:
    explicit SocketContext(IoContext& io);
    void add_ref() noexcept { ++refs_; }
    void release() noexcept {
        if (--refs_ == 0) delete this;
    }

    /// False if nothing waits for the system, so that there is nothing to ask it.
    bool in_use() const noexcept { return refs_ > 1; }
#ifndef WEFT_ASIO_EPOLL
    /// Whose waits these are; null once it closes.
    void set_loop(EventLoop* loop) noexcept;
    /// Ends a wait. While the loop does not run, and somebody else runs the io_context, the handler is kept for it.
    template <class Handler>
    void call(Handler handler, const boost::system::error_code& error) {
        if (loop_rests())
            late_.emplace_back([handler = std::move(handler), error]() mutable { handler(error); });
        else
            handler(error);
    }
    /// Calls what was kept; false if there is nothing.
    bool call_late();
#endif
    /// Where to receive: read_buffer_size bytes, free between two events. Null if there is no memory for it.
    std::byte* buffer() noexcept;

    IoContext& io;
#ifdef WEFT_ASIO_EPOLL
private:
    const std::unique_ptr<EpollSet> events_;

public:
    EpollSet& events;
#endif

private:
    ~SocketContext();

#ifndef WEFT_ASIO_EPOLL
    bool loop_rests() const noexcept;

    EventLoop* loop_ = nullptr;
    std::vector<UniqueFunction<void()>> late_;
#endif
    std::byte* buffer_ = nullptr;  // made by the first read
    std::uint32_t refs_ = 1;
};

}  // namespace weft::asio_backend
