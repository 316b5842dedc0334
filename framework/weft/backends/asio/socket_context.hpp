#pragma once
// SocketContext: what the sockets of one io_context share, above all the one buffer that they read into. What an event
// has brought is delivered right after it; so one buffer serves all, and idle connections own none.

#include <weft/base/ref.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/version.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

#if BOOST_ASIO_VERSION == 102600
#define WEFT_ASIO_INTERNALS 1
#if defined(BOOST_ASIO_HAS_EPOLL) && !defined(BOOST_ASIO_HAS_IO_URING_AS_DEFAULT)
#define WEFT_ASIO_EPOLL 1
#include <boost/asio/detail/epoll_reactor.hpp>
#include <boost/asio/detail/scheduler.hpp>
#endif
#endif

namespace weft::asio_backend {

using IoContext = boost::asio::io_context;
#ifdef WEFT_ASIO_EPOLL
using Reactor = boost::asio::detail::epoll_reactor;
using Scheduler = boost::asio::detail::scheduler;
#endif

class AsioDatagramSocket;
class AsioStreamSocket;

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

    IoContext& io;
#ifdef WEFT_ASIO_EPOLL
    Reactor& reactor;
    Scheduler& scheduler;
#endif

    /// A read waits for deliver().
    bool is_reading() const noexcept { return static_cast<bool>(reader_); }
    /// Receives from the socket's descriptor, without waiting, for it to deliver. False if there is nothing; errors and
    /// the end of the stream count as something. `drained` tells that a later event announces what comes next;
    /// `end_is_not_there` that it announces the end of the stream, too.
    bool receive(AsioStreamSocket& socket, bool end_is_not_there, bool& drained) noexcept;
    std::size_t received() const noexcept { return count_; }
    int receive_error() const noexcept { return error_; }
    std::span<const std::byte> data() const noexcept { return {buffer_, count_}; }

    /// Has the socket read again in the next read_queued(). It must not be queued.
    void queue(AsioStreamSocket& socket) noexcept;

    /// Has the socket receive in the next deliver() or read_queued(). It must not be noted already.
    void note_ready(AsioDatagramSocket& socket) noexcept;
    /// The buffer; null if there is no memory for it. It is free while nothing is_reading().
    std::byte* buffer() noexcept;

    // For the backend's poll.

    /// Delivers what the last completion has received, if it has.
    void deliver() {
        if (reader_) deliver_read();
        if (first_ready_) deliver_datagrams();
    }
    /// Reads from each queued socket and delivers; true if one had something.
    bool read_queued() {
        bool delivered = first_ready_ && deliver_datagrams();
        if (first_queued_) delivered |= read_all_queued();
        return delivered;
    }
    /// Lets go of the queued sockets.
    void clear() noexcept;

private:
    ~SocketContext();
    void deliver_read();
    bool read_all_queued();
    bool deliver_datagrams();
    detail::Ref<AsioDatagramSocket> take_ready() noexcept;
    detail::Ref<AsioStreamSocket> take_queued() noexcept;

    std::byte* buffer_ = nullptr;  // made by the first read
    std::size_t count_ = 0;
    int error_ = 0;
    std::uint32_t refs_ = 1;
    detail::Ref<AsioStreamSocket> reader_;
    AsioStreamSocket* first_queued_ = nullptr;  // each is held
    AsioStreamSocket* last_queued_ = nullptr;
    AsioDatagramSocket* first_ready_ = nullptr;  // each is held
    AsioDatagramSocket* last_ready_ = nullptr;
};

}  // namespace weft::asio_backend
