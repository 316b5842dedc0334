#pragma once
// Channel: how a socket waits. One descriptor, at most one wait to read and one to write.
//
// Asio's reactors are edge-triggered and each wait is a new operation: a message costs one more system call, which
// finds that nothing is left, and one more registration. ReactorChannel gives Asio's reactor an operation of its own
// that stays registered and reads when the descriptor has something; it lives inside the socket. It uses Asio's
// internal interface of the version that Debian 12 has. WaitChannel does the same by Asio's public async_wait, for
// io_uring and for other versions.

#include <weft/backends/asio/socket_context.hpp>
#include <weft/backends/asio/waiter.hpp>
#include <weft/base/ref.hpp>

#include <cstdint>
#include <memory>
#include <system_error>
#include <utility>

#ifdef WEFT_ASIO_REACTOR_CHANNEL
#include <boost/asio/detail/reactor_op.hpp>
#endif

namespace weft::asio_backend {

/// What came of an event.
enum class ReadEvent : std::uint8_t {
    nothing,   // there was no data, or it is read later
    received,  // the context has data to deliver
    stop       // nobody wants data, or the stream has ended: no more events
};

#ifdef WEFT_ASIO_REACTOR_CHANNEL

/// A Socket has context(), channel(), native_handle(), references, and the functions named here.
template <class Socket>
class ReactorChannel {
public:
    /// The descriptor stays the socket's until close().
    explicit ReactorChannel(Socket& socket) noexcept : read_(socket) {}
    /// From now on socket.take_event() is called whenever there may be data, until it says stop. True if this is the
    /// first watch, so that an event will tell of what is there already.
    bool watch();
    /// Calls socket.write_ready() once.
    void wait_write();
    /// Ends the waits and closes the descriptor.
    void close() noexcept;
    /// In take_event(): the end of the stream is not there, and will be another event.
    bool end_is_not_there() const noexcept;

private:
    using Reactor = boost::asio::detail::reactor;
    using Operation = boost::asio::detail::reactor_op;

    class ReadOperation final : public Operation {
    public:
        explicit ReadOperation(Socket& socket) noexcept
            : Operation(boost::system::error_code(), &perform, &complete), socket(socket) {}
        Socket& socket;

    private:
        static typename Operation::status perform(Operation* base);
        static void complete(void* owner, boost::asio::detail::scheduler_operation* base,
                             const boost::system::error_code&, std::size_t);
    };
    class WriteOperation final : public Operation {
    public:
        explicit WriteOperation(Socket& socket) noexcept
            : Operation(boost::system::error_code(), &perform, &complete), socket(socket) {}
        Socket& socket;

    private:
        static typename Operation::status perform(Operation*) { return Operation::done; }
        static void complete(void* owner, boost::asio::detail::scheduler_operation* base,
                             const boost::system::error_code&, std::size_t);
    };

    bool register_once();
    void start(int kind, Operation& operation, bool try_now);

    typename Reactor::per_descriptor_data registration_{};
    ReadOperation read_;
    bool registered_ = false;  // the first wait registers
    bool watching_ = false;    // read_ is in the reactor's queue
    bool starting_ = false;    // it is being put there
    bool tells_end_ = false;   // events tell of the peer's half-close
};
template <class Socket>
using Channel = ReactorChannel<Socket>;

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
