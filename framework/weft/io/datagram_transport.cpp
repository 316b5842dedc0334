#include <weft/io/datagram_transport.hpp>

#include <weft/base/constants.hpp>
#include <weft/loop/slow_callback_timer.hpp>

namespace weft {

std::optional<std::string> DatagramTransport::get_extra_info(std::string_view key) const {
    if (key == "peername") {
        if (const auto address = peername()) return address->to_string();
    } else if (key == "sockname") {
        if (const auto address = sockname()) return address->to_string();
    } else if (key == "socket" && fileno() >= 0) {
        return std::to_string(fileno());
    }
    return std::nullopt;
}

std::string DatagramTransport::repr() const {
    const std::size_t size = get_write_buffer_size();
    return "<DatagramTransport" + std::string(is_closing() ? " closing" : "") + " fd=" + std::to_string(fileno()) +
           " read=" + (is_closing() ? "idle" : "polling") + " write=<" + (size > 0 ? "polling" : "idle") +
           ", bufsize=" + std::to_string(size) + ">>";
}

namespace io {

std::shared_ptr<SocketDatagramTransport> SocketDatagramTransport::open(EventLoop& loop, OpenDatagram& socket,
                                                                       std::shared_ptr<DatagramProtocol> protocol,
                                                                       UniqueFunction<void()> ready) {
    const std::optional<Address> to = socket.to();
    DatagramRef taken = socket.take();
    std::shared_ptr<SocketDatagramTransport> transport;
    try {
        transport = std::make_shared<SocketDatagramTransport>(loop, taken, to);
        transport->set_protocol(std::move(protocol));
        IoRegistry::of(loop).add(transport);
        loop.schedule_internal([transport] {
            if (!transport->protocol_) return;
            transport->connected_ = true;
            transport->call_protocol("Exception in callback protocol.connection_made()", [&transport] {
                transport->protocol_->connection_made(std::shared_ptr<DatagramTransport>(transport));
            });
        });
        loop.schedule_internal([transport] {
            if (!transport->closing_) transport->socket_->start_receiving();
        });
        if (ready) loop.schedule_internal(std::move(ready));
    } catch (...) {
        if (transport) {
            transport->drop();
            if (auto* registry = loop.find_service<IoRegistry>()) registry->remove(*transport);
        }
        taken->close();
        throw;
    }
    return transport;
}

SocketDatagramTransport::SocketDatagramTransport(EventLoop& loop, DatagramRef socket, std::optional<Address> to)
    : loop_(loop), socket_(std::move(socket)), peer_(socket_->remote_address()), to_(std::move(to)) {
    socket_->set_events(this);
}

SocketDatagramTransport::~SocketDatagramTransport() {
    if (socket_) socket_->close();
}

void SocketDatagramTransport::drop() noexcept {
    closing_ = lost_ = true;
    if (loss_scheduled_) loop_.unschedule(*this);
    loss_scheduled_ = false;
    if (socket_) socket_->close();
    socket_ = nullptr;
    outgoing_.clear();
    buffered_ = 0;
    const std::shared_ptr<DatagramProtocol> protocol = std::move(protocol_);
}

void SocketDatagramTransport::set_protocol(std::shared_ptr<BaseProtocol> protocol) {
    if (!protocol) throw ValueError("set_protocol: the protocol is null");
    auto datagrams = std::dynamic_pointer_cast<DatagramProtocol>(protocol);
    if (!datagrams) throw ValueError("set_protocol: the protocol is not a DatagramProtocol");
    release_later(loop_, protocol_);
    protocol_ = std::move(datagrams);
}

// Receiving

/// What the protocol throws is reported, and the socket goes on.
template <class F>
void SocketDatagramTransport::call_protocol(const char* message, F&& call) {
    detail::run_guarded(call, [&](const std::exception_ptr& error) {
        report_error(loop_, error, message, type_of(protocol_.get()), *this);
    });
}

void SocketDatagramTransport::on_datagram(std::span<const std::byte> data, const Address& from) {
    if (closing_) return;
    const detail::ContextScope scope(context_);
    const detail::SlowCallbackTimer timer(loop_, "DatagramProtocol.datagram_received()");
    call_protocol("Exception in callback protocol.datagram_received()",
                  [&] { protocol_->datagram_received(data, from); });
}

void SocketDatagramTransport::on_datagram_error(std::error_code error) {
    if (closing_) return;
    const detail::ContextScope scope(context_);
    tell_error(error, "recvfrom");
}

void SocketDatagramTransport::tell_error(std::error_code error, const char* what) {
    call_protocol("Exception in callback protocol.error_received()",
                  [&] { protocol_->error_received(make_os_error(error, what)); });
}

// Sending

void SocketDatagramTransport::send_datagram(std::span<const std::byte> data, const Address* to) {
    if (to && peer_ && *to != *peer_)
        throw ValueError("Invalid address: must be None or " + peer_->to_string() + ", not " + to->to_string());
    if (to && to_ && *to != *to_)
        throw ValueError("Invalid address: must be None or " + to_->to_string() + ", not " + to->to_string());
    if (peer_)
        to = nullptr;
    else if (to_)
        to = &*to_;
    if (lost_) {
        if (dropped_writes_ < constants::log_threshold_for_connlost_writes &&
            ++dropped_writes_ == constants::log_threshold_for_connlost_writes)
            loop_.log("socket.send() raised exception: the transport is closed, datagrams are dropped");
        return;
    }
    if (outgoing_.empty()) {
        std::error_code error;
        socket_->send(data, to, error);
        if (!error) return;
        if (error != std::errc::operation_would_block) {
            tell_error(error, "sendto");
            return;
        }
        socket_->wait_writable();
    }
    outgoing_.emplace_back(data, to);
    buffered_ += outgoing_.back().weight();
    if (buffered_ > high_water_ && !protocol_paused_) pause_protocol();
}

void SocketDatagramTransport::on_writable() {
    const auto keep = shared_from_this();
    const detail::ContextScope scope(context_);
    while (!lost_ && !outgoing_.empty()) {
        const Outgoing& next = outgoing_.front();
        std::error_code error;
        socket_->send(next.data.span(), next.to ? &*next.to : nullptr, error);
        if (error == std::errc::operation_would_block) {
            socket_->wait_writable();
            break;
        }
        buffered_ -= next.weight();
        outgoing_.pop_front();
        if (error) tell_error(error, "sendto");
    }
    if (lost_) return;
    maybe_resume_protocol();
    if (closing_ && !lost_ && outgoing_.empty()) {
        lost_ = true;
        connection_lost();
    }
}

void SocketDatagramTransport::set_write_buffer_limits(std::optional<std::size_t> high, std::optional<std::size_t> low) {
    if (!high) high = low ? 4 * *low : constants::write_high_water;
    if (!low) low = *high / 4;
    if (*high < *low)
        throw ValueError("high (" + std::to_string(*high) + ") must be >= low (" + std::to_string(*low) + ")");
    high_water_ = *high;
    low_water_ = *low;
    if (buffered_ > high_water_ && !protocol_paused_) pause_protocol();
}

void SocketDatagramTransport::pause_protocol() {
    protocol_paused_ = true;
    call_protocol("protocol.pause_writing() failed", [this] { protocol_->pause_writing(); });
}

void SocketDatagramTransport::maybe_resume_protocol() {
    if (!protocol_paused_ || buffered_ > low_water_) return;
    protocol_paused_ = false;
    call_protocol("protocol.resume_writing() failed", [this] { protocol_->resume_writing(); });
}

// Closing

void SocketDatagramTransport::close() {
    if (closing_) return;
    closing_ = true;
    if (outgoing_.empty()) schedule_connection_lost();
}

void SocketDatagramTransport::abort() {
    if (lost_) return;
    closing_ = true;
    outgoing_.clear();
    buffered_ = 0;
    schedule_connection_lost();
}

void SocketDatagramTransport::schedule_connection_lost() noexcept {
    lost_ = true;
    context_ = detail::ContextSlot::copy_of_current();
    loss_scheduled_ = true;
    loop_.schedule(*static_cast<detail::ReadyNode*>(this));
}

void SocketDatagramTransport::run() {
    loss_scheduled_ = false;
    const auto keep = shared_from_this();
    const detail::ContextScope scope(context_);
    connection_lost();
}

void SocketDatagramTransport::connection_lost() {
    const std::shared_ptr<DatagramProtocol> protocol = std::move(protocol_);
    const DatagramRef socket = std::move(socket_);
    if (socket) own_ = socket->local_address();
    IoRegistry::of(loop_).remove(*this);
    // KeyboardInterrupt may leave the callback: the socket is closed first.
    if (socket) socket->close();
    if (protocol && connected_)
        call_protocol("Exception in callback protocol.connection_lost()", [&] { protocol->connection_lost(nullptr); });
}

std::optional<Address> SocketDatagramTransport::peername() const {
    return peer_;
}
std::optional<Address> SocketDatagramTransport::sockname() const {
    return socket_ ? socket_->local_address() : own_;
}

}  // namespace io
}  // namespace weft
