#pragma once
// Channel: how a socket waits. One descriptor, at most one wait to read and one to write.
//
// Asio's reactors are edge-triggered: to see everything a socket must be read until it says "nothing", one system call
// more for each message. ReactorChannel gives Asio's reactor an operation of its own, which may say that it knows there
// is nothing, and which lives inside the socket instead of being allocated for each wait. It uses Asio's internal
// interface of the version that Debian 12 has. WaitChannel does the same by Asio's public async_wait, for io_uring and
// for other versions.

#include <weft/base/ref.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/version.hpp>

#include <memory>
#include <system_error>

#if BOOST_ASIO_VERSION == 102600 && !defined(BOOST_ASIO_HAS_IO_URING_AS_DEFAULT)
#define WEFT_ASIO_REACTOR_CHANNEL 1
#include <boost/asio/detail/reactor.hpp>
#include <boost/asio/detail/reactor_op.hpp>
#endif

namespace weft::asio_backend {

class AsioStreamSocket;

#ifdef WEFT_ASIO_REACTOR_CHANNEL

class ReactorChannel {
public:
    /// The descriptor stays the caller's until close().
    ReactorChannel(boost::asio::io_context& context, int descriptor, AsioStreamSocket& socket);
    /// Calls socket.perform_read() when there may be data, and socket.finish_read() after it returned true.
    void wait_read();
    /// Calls socket.write_ready() once.
    void wait_write();
    /// Ends the waits and closes the descriptor.
    void close() noexcept;

private:
    using Reactor = boost::asio::detail::reactor;
    using Operation = boost::asio::detail::reactor_op;

    class ReadOperation final : public Operation {
    public:
        explicit ReadOperation(AsioStreamSocket& socket) noexcept
            : Operation(boost::system::error_code(), &perform, &complete), socket_(socket) {}

    private:
        static status perform(Operation* base);
        static void complete(void* owner, boost::asio::detail::scheduler_operation* base,
                             const boost::system::error_code&, std::size_t);
        AsioStreamSocket& socket_;
    };
    class WriteOperation final : public Operation {
    public:
        explicit WriteOperation(detail::Ref<AsioStreamSocket> socket) noexcept;

    private:
        static status perform(Operation*) { return done; }
        static void complete(void* owner, boost::asio::detail::scheduler_operation* base,
                             const boost::system::error_code&, std::size_t);
        detail::Ref<AsioStreamSocket> socket_;
    };

    void start(int kind, Operation& operation, bool try_now);

    Reactor& reactor_;
    Reactor::per_descriptor_data registration_{};
    bool registered_ = false;  // the first wait registers
    AsioStreamSocket& socket_;
    int descriptor_;
    ReadOperation read_;
};
using Channel = ReactorChannel;

#else

class WaitChannel {
public:
    WaitChannel(boost::asio::io_context& context, int descriptor, AsioStreamSocket& socket);
    void wait_read();
    void wait_write();
    void close() noexcept;

private:
    AsioStreamSocket& socket_;
    boost::asio::basic_stream_socket<boost::asio::ip::tcp, boost::asio::io_context::executor_type> waiter_;
};
using Channel = WaitChannel;

#endif

}  // namespace weft::asio_backend
