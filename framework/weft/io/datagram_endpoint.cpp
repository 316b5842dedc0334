#include <weft/io/datagram_endpoint.hpp>

namespace weft {

namespace io {

EndpointState::EndpointState(EventLoop& loop, std::size_t limit)
    : loop_(loop), incoming_(static_cast<std::ptrdiff_t>(limit)), lost_(loop.create_future<void>()) {}

void EndpointState::let_go() noexcept {
    const auto last = std::move(self_);
    if (!transport_->is_closing()) close();
}

void EndpointState::close() {
    transport_->close();
    incoming_.shutdown();
}

bool EndpointState::has_room() noexcept {
    if (!incoming_.full()) return true;
    ++dropped_;
    return false;
}

void EndpointState::datagram_received(std::span<const std::byte> data, const Address& from) {
    if (has_room()) incoming_.put_nowait(Arrival(data, from));
}

void EndpointState::error_received(std::exception_ptr error) {
    if (transport_ && transport_->is_closing()) return;  // nobody receives any more
    if (sending_)
        send_error_ = std::move(error);
    else if (has_room())
        incoming_.put_nowait(Arrival(std::move(error)));
}

void EndpointState::resume_writing() {
    paused_ = false;
    detail::wake_all(senders_);
}

void EndpointState::connection_lost(std::exception_ptr) {
    incoming_.shutdown();
    detail::wake_all(senders_);
    if (!lost_.done()) lost_.set_result();
}

void EndpointState::send(std::span<const std::byte> data, const Address* to) {
    if (transport_->is_closing()) throw ConnectionAbortedError("the datagram endpoint is closed");
    sending_ = true;
    try {
        if (to)
            transport_->sendto(data, *to);
        else
            transport_->sendto(data);
    } catch (...) {
        sending_ = false;
        throw;
    }
    sending_ = false;
    if (send_error_) std::rethrow_exception(std::exchange(send_error_, nullptr));
}

Coro<void> EndpointState::wait_closed(std::shared_ptr<EndpointState> self) {
    if (self->lost_.done()) co_return;
    Future<> lost = self->loop_.create_future<void>();
    self->lost_.add_done_callback([lost]() mutable {
        if (!lost.done()) lost.set_result();
    });
    co_await lost;
}

Datagram EndpointReceive::await_resume() {
    try {
        Arrival next = get_.await_resume();
        if (next.error) std::rethrow_exception(next.error);
        return std::move(next.datagram);
    } catch (const QueueShutDown&) {
        throw ConnectionAbortedError("the datagram endpoint is closed");
    }
}

}  // namespace io

void DatagramEndpoint::throw_empty() {
    throw RuntimeError("the DatagramEndpoint is empty: it belongs to no socket");
}

Coro<DatagramEndpoint> open_datagram_endpoint(DatagramOptions options) {
    EventLoop& loop = get_running_loop();
    const std::size_t limit = options.queue_limit();
    auto factory = [&loop, limit] { return std::make_shared<io::EndpointState>(loop, limit); };
    auto connection = co_await loop.create_datagram_endpoint(std::move(factory), std::move(options));
    connection.protocol->hold(connection.protocol);
    co_return DatagramEndpoint(io::EndpointRef(connection.protocol.get()));
}

}  // namespace weft
