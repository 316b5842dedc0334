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
#elif BOOST_ASIO_VERSION == 102600
#define WEFT_ASIO_INTERNALS 1
#endif

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

    std::byte* buffer_ = nullptr;  // made by the first read
    std::uint32_t refs_ = 1;
};

}  // namespace weft::asio_backend
