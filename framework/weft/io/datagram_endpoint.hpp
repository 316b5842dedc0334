#pragma once
// DatagramEndpoint: a datagram socket that is awaited. asyncio has no such thing: it is what its users build of a
// DatagramProtocol and a Queue.
//
//     DatagramEndpoint endpoint = co_await open_datagram_endpoint(DatagramOptions().remote_addr("127.0.0.1", 9999));
//     co_await endpoint.send("ping");
//     Datagram answer = co_await endpoint.receive();              // answer.data, answer.from
//
// Errors of the system (a port that nobody listens on, a datagram that is too long) are thrown by send() and receive();
// the socket goes on.

#include <weft/io/datagram.hpp>
#include <weft/sync/queue.hpp>

#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

namespace weft {

/// What DatagramEndpoint::receive() gives.
class Datagram {
public:
    Datagram() = default;
    Datagram(Bytes data, Address from) : data(std::move(data)), from(std::move(from)) {}
    Bytes data;
    Address from;  ///< of a Unix socket without a name: one with an empty path
};

namespace io {

/// What came: a datagram, or an error in its place.
class Arrival {
public:
    Arrival(std::span<const std::byte> data, const Address& from) : datagram(Bytes(data), from) {}
    explicit Arrival(std::exception_ptr error) noexcept : error(std::move(error)) {}
    Datagram datagram;
    std::exception_ptr error;
};

/// The protocol under an endpoint: collects what arrives in a bounded queue.
///
/// Endpoints and what they are doing count as handles; while there is one, the object holds itself. With the last one
/// the socket is closed.
class EndpointState final : public DatagramProtocol {
public:
    EndpointState(EventLoop& loop, std::size_t limit);

    /// Must be called with the object's own pointer before the first handle is made.
    void hold(std::shared_ptr<EndpointState> self) noexcept { self_ = std::move(self); }
    void add_ref() noexcept { ++handles_; }
    void release() noexcept {
        if (--handles_ == 0) let_go();
    }

    void connection_made(std::shared_ptr<DatagramTransport> transport) override { transport_ = std::move(transport); }
    void datagram_received(std::span<const std::byte> data, const Address& from) override;
    void error_received(std::exception_ptr error) override;
    void pause_writing() override { paused_ = true; }
    void resume_writing() override;
    void connection_lost(std::exception_ptr error) override;

    Queue<Arrival>& incoming() noexcept { return incoming_; }
    /// Throws what the system says at once.
    void send(std::span<const std::byte> data, const Address* to);
    bool writing_paused() const noexcept { return paused_; }
    detail::Waiters& senders() noexcept { return senders_; }
    void close();
    /// Is no handle: the socket may be closed meanwhile because nobody has the endpoint any more.
    static Coro<void> wait_closed(std::shared_ptr<EndpointState> self);
    const std::shared_ptr<EndpointState>& shared() const noexcept { return self_; }
    DatagramTransport& transport() const noexcept { return *transport_; }
    std::size_t dropped() const noexcept { return dropped_; }

private:
    bool has_room() noexcept;
    void let_go() noexcept;

    EventLoop& loop_;
    std::shared_ptr<DatagramTransport> transport_;
    std::shared_ptr<EndpointState> self_;
    Queue<Arrival> incoming_;
    detail::Waiters senders_;
    Future<> lost_;
    std::exception_ptr send_error_;
    std::size_t dropped_ = 0;
    std::size_t handles_ = 0;
    bool sending_ = false;
    bool paused_ = false;
};

using EndpointRef = detail::Ref<EndpointState>;

/// What DatagramEndpoint::receive() gives. The endpoint lives as long as this.
class EndpointReceive final : public detail::LeafAwaitable<EndpointReceive, Datagram> {
public:
    explicit EndpointReceive(const EndpointRef& state) : state_(state), get_(state_->incoming().get()) {}

    bool await_ready() const noexcept { return get_.await_ready(); }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) {
        get_.await_suspend(handle);
    }
    Datagram await_resume();

private:
    EndpointRef state_;
    decltype(std::declval<Queue<Arrival>&>().get()) get_;
};

/// What DatagramEndpoint::send() gives. The endpoint lives as long as this.
class EndpointSend final : public detail::ListWaiter, public detail::LeafAwaitable<EndpointSend, void> {
public:
    EndpointSend(const EndpointRef& state, std::span<const std::byte> data, std::optional<Address> to = std::nullopt)
        : state_(state), data_(data), to_(std::move(to)) {}
    EndpointSend(EndpointSend&&) noexcept = default;
    ~EndpointSend() { unlink(); }

    std::string_view waiter_kind() const noexcept override { return "DatagramEndpoint.send"; }
    bool await_ready() {
        if (std::exchange(awaited_, true)) [[unlikely]]
            detail::throw_already_awaited();  // it is sent
        state_->send(data_, to_ ? &*to_ : nullptr);
        return !state_->writing_paused();
    }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) {
        wait_in(state_->senders(), handle.promise());
    }
    void await_resume() {
        unlink();
        end_wait();
    }

private:
    EndpointRef state_;
    std::span<const std::byte> data_;
    std::optional<Address> to_;
    bool awaited_ = false;
};

}  // namespace io

/// A datagram socket that is awaited. Copies mean the same socket; it is closed when the last one goes and nothing
/// waits in it any more.
class DatagramEndpoint {
public:
    /// An empty handle, good for assigning to; to use it is a RuntimeError.
    DatagramEndpoint() = default;
    explicit DatagramEndpoint(io::EndpointRef state) noexcept : state_(std::move(state)) {}

    /// The next datagram, waiting for one. Throws an error that came meanwhile (ConnectionRefusedError: nobody listens
    /// at the connected peer), and may then be called again. After close(): what is left, then ConnectionAbortedError.
    /// Any number of coroutines may wait, first come, first served; cancelling one loses no datagram.
    [[nodiscard("co_await it")]] io::EndpointReceive receive() { return io::EndpointReceive(required()); }
    /// Sends a copy of `data` as one datagram when it is awaited; if more than the high-water mark is unsent then,
    /// waits until it is down to the low-water mark. Without an address to the remote address. Throws the system's
    /// error if it refuses the datagram at once; ValueError for another address than the connected one;
    /// ConnectionAbortedError after close(). Cancelling does not recall it.
    [[nodiscard("co_await it")]] io::EndpointSend send(std::span<const std::byte> data) {
        return io::EndpointSend(required(), data);
    }
    [[nodiscard("co_await it")]] io::EndpointSend send(std::span<const std::byte> data, Address to) {
        return io::EndpointSend(required(), data, std::move(to));
    }
    [[nodiscard("co_await it")]] io::EndpointSend send(std::string_view text) { return send(as_byte_span(text)); }
    [[nodiscard("co_await it")]] io::EndpointSend send(std::string_view text, Address to) {
        return send(as_byte_span(text), std::move(to));
    }
    /// Datagrams (and errors) dropped so far because the queue was full.
    std::size_t dropped() const { return required()->dropped(); }
    /// Datagrams that wait for receive().
    std::size_t queued() const { return required()->incoming().qsize(); }
    /// Sends what is buffered, and closes; receivers that wait get ConnectionAbortedError.
    void close() { required()->close(); }
    bool is_closing() const { return transport().is_closing(); }
    /// Waits until the socket is closed, which this does not keep open.
    Coro<void> wait_closed() { return io::EndpointState::wait_closed(required()->shared()); }
    DatagramTransport& transport() const { return required()->transport(); }
    std::optional<Address> sockname() const { return transport().sockname(); }
    std::optional<Address> peername() const { return transport().peername(); }

private:
    const io::EndpointRef& required() const {
        if (!state_) [[unlikely]]
            throw_empty();
        return state_;
    }
    [[noreturn]] static void throw_empty();

    io::EndpointRef state_;
};

/// Opens a datagram socket to be awaited. Errors and cancellation as create_datagram_endpoint().
Coro<DatagramEndpoint> open_datagram_endpoint(DatagramOptions options);

}  // namespace weft
