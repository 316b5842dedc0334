#include <weft/io/socket_transport.hpp>

#include <weft/base/constants.hpp>
#include <weft/base/prefetch.hpp>
#include <weft/io/server.hpp>
#include <weft/io/streams.hpp>
#include <weft/io/tls.hpp>
#include <weft/loop/slow_callback_timer.hpp>

#include <algorithm>
#include <cstring>

namespace weft {

namespace {

std::optional<std::string> tls_extra_info(const TlsInfo& tls, std::string_view key) {
    if (key == "cipher") return tls.cipher;
    if (key == "version") return tls.version;
    if (key == "alpn" && !tls.alpn.empty()) return tls.alpn;
    if (key == "server_hostname" && !tls.server_name.empty()) return tls.server_name;
    if (key == "peercert" && tls.peer_certificate) {
        const TlsCertificate& certificate = *tls.peer_certificate;
        std::string text = "subject=" + certificate.subject + "; issuer=" + certificate.issuer;
        for (const std::string& name : certificate.subject_alt_names)
            text += "; " + name;
        return text + "; notBefore=" + certificate.not_before + "; notAfter=" + certificate.not_after;
    }
    return std::nullopt;
}

}  // namespace

std::optional<std::string> Transport::get_extra_info(std::string_view key) const {
    if (key == "peername") {
        if (const auto address = peername()) return address->to_string();
    } else if (key == "sockname") {
        if (const auto address = sockname()) return address->to_string();
    } else if (key == (is_pipe() ? "pipe" : "socket") && fileno() >= 0) {
        return std::to_string(fileno());
    } else if (key == "sslcontext") {
        if (const TlsContext context = tls_context()) return context.repr();
    } else if (const auto tls = tls_info()) {
        return tls_extra_info(*tls, key);
    }
    return std::nullopt;
}

TlsContext Transport::tls_context() const {
    return TlsContext();
}

std::optional<TlsInfo> Transport::tls_info() const {
    return std::nullopt;
}

std::string Transport::repr() const {
    const std::size_t size = get_write_buffer_size();
    return "<Transport" + std::string(is_closing() ? " closing" : "") + " fd=" + std::to_string(fileno()) +
           " read=" + (is_reading() ? "polling" : "idle") + " write=<" + (size > 0 ? "polling" : "idle") +
           ", bufsize=" + std::to_string(size) + ">>";
}

namespace io {

std::shared_ptr<SocketTransport> SocketTransport::open(EventLoop& loop, SocketRef socket,
                                                       std::shared_ptr<BaseProtocol> protocol,
                                                       detail::Ref<ServerState> server, UniqueFunction<void()> ready) {
    std::shared_ptr<SocketTransport> transport;
    try {
        transport = std::make_shared<SocketTransport>(loop, socket, std::move(server));
        transport->set_protocol(std::move(protocol));
        IoRegistry::of(loop).add(transport);
        // asyncio's order: connection_made, then reading, then whoever waits for the connection.
        loop.schedule_internal([transport] {
            if (!transport->protocol_) return;
            transport->connected_ = true;
            detail::run_guarded([&] { transport->protocol_->connection_made(transport); },
                                [&](const std::exception_ptr& error) {
                                    report_error(transport->loop_, error,
                                                 "Exception in callback protocol.connection_made()",
                                                 type_of(transport->protocol_.get()), *transport);
                                });
        });
        loop.schedule_internal([transport] { transport->start_reading(); });
        if (ready) loop.schedule_internal(std::move(ready));
    } catch (...) {
        if (transport) transport->abandon();
        socket->close();
        throw;
    }
    return transport;
}

SocketTransport::SocketTransport(EventLoop& loop, SocketRef socket, detail::Ref<ServerState> server)
    : loop_(loop),
      socket_(std::move(socket)),
      server_(std::move(server)),
      context_(detail::ContextSlot::copy_of_current()) {
    socket_->set_events(this);
    if (server_) server_->attach();
}

SocketTransport::~SocketTransport() {
    if (socket_) socket_->close();
}

/// What is scheduled for it finds nothing to do.
void SocketTransport::abandon() noexcept {
    const detail::Ref<ServerState> server = server_;
    drop();
    if (server) server->detach();
    if (auto* registry = loop_.find_service<IoRegistry>()) registry->remove(*this);
}

void SocketTransport::drop() noexcept {
    closing_ = lost_ = true;
    if (loss_scheduled_) loop_.unschedule(*this);
    loss_scheduled_ = false;
    if (socket_) socket_->close();
    socket_ = nullptr;
    server_ = nullptr;
    const std::shared_ptr<BaseProtocol> protocol = std::move(protocol_);
}

void SocketTransport::set_protocol(std::shared_ptr<BaseProtocol> protocol) {
    buffered_ = replace_protocol(loop_, protocol_, std::move(protocol));
    streams_ = is_stream_state(*protocol_);
}

// Reading

void SocketTransport::start_reading() {
    if (!closing_ && !paused_ && !ended_) begin_reading();
}

void SocketTransport::begin_reading() {
    try {
        socket_->start_reading();
    } catch (...) {
        fatal_error(std::current_exception(), "Fatal error: cannot read from the socket");
    }
}

void SocketTransport::pause_reading() {
    if (closing_ || paused_) return;
    paused_ = true;
    socket_->stop_reading();
}

void SocketTransport::resume_reading() {
    if (closing_ || !paused_) return;
    if (has_kept()) loop_.schedule_internal([self = shared_from_this()] { self->deliver_kept(); });
    paused_ = false;
    if (!has_kept() && !ended_ && connected_) begin_reading();
}

/// What a BufferedProtocol did not take now comes before what is read next.
void SocketTransport::keep(std::span<const std::byte> data) {
    auto kept = std::make_unique<Bytes>();
    kept->append(data);
    extras().kept = std::move(kept);
    if (paused_) return;  // resume_reading() goes on
    socket_->stop_reading();
    loop_.schedule_internal([self = shared_from_this()] { self->deliver_kept(); });
}

void SocketTransport::deliver_kept() {
    if (paused_ || closing_ || !has_kept()) return;
    const std::unique_ptr<Bytes> kept = std::move(extras_->kept);
    try {
        on_data(kept->span());
    } catch (...) {
        if (!has_kept()) start_reading();
        throw;
    }
    if (!has_kept()) start_reading();
}

void SocketTransport::on_data(std::span<const std::byte> data) {
    if (closing_) return;
    const detail::ContextScope scope(context_);
    const detail::SlowCallbackTimer timer(loop_,
                                          buffered_ ? "BufferedProtocol.buffer_updated()" : "Protocol.data_received()");
    detail::run_guarded(
        [&] {
            if (!buffered_) [[likely]]
                stream_protocol().data_received(data);
            else
                fill_protocol_buffer(data);
        },
        [&](std::exception_ptr error) {
            fatal_error(std::move(error), buffered_ ? "Fatal error: protocol.buffer_updated() call failed."
                                                    : "Fatal error: protocol.data_received() call failed.");
        });
}

std::span<std::byte> SocketTransport::read_space() noexcept {
    return streams_ && protocol_ ? static_cast<StreamState&>(*protocol_).read_space() : std::span<std::byte>();
}

void SocketTransport::prefetch() const noexcept {
    // The size of an application's protocol is not known.
    detail::prefetch(protocol_.get(), streams_ ? StreamState::size_hint : detail::cache_line);
}

void SocketTransport::fill_protocol_buffer(std::span<const std::byte> data) {
    while (!data.empty() && buffered_ && !paused_ && !closing_) {
        auto& protocol = static_cast<BufferedProtocol&>(*protocol_);
        std::span<std::byte> room;
        detail::run_guarded(
            [&] {
                room = protocol.get_buffer(data.size());
                if (room.empty()) throw RuntimeError("get_buffer() returned an empty buffer");
            },
            [&](std::exception_ptr error) {
                fatal_error(std::move(error), "Fatal error: protocol.get_buffer() call failed.");
            });
        if (closing_) return;
        const std::size_t count = std::min(room.size(), data.size());
        std::memcpy(room.data(), data.data(), count);
        data = data.subspan(count);
        try {
            protocol.buffer_updated(count);
        } catch (...) {
            // If it is an interrupt the loop may run again.
            if (!data.empty() && !closing_) keep(data);
            throw;
        }
    }
    if (data.empty() || closing_) return;
    if (paused_)
        keep(data);
    else
        stream_protocol().data_received(data);  // it switched meanwhile
}

void SocketTransport::on_end_of_stream() {
    ended_ = true;
    if (closing_) return;
    const detail::ContextScope scope(context_);
    const detail::SlowCallbackTimer timer(loop_, "Protocol.eof_received()");
    bool keep_open = true;
    detail::run_guarded([&] { keep_open = protocol_->eof_received(); },
                        [&](std::exception_ptr error) {
                            fatal_error(std::move(error), "Fatal error: protocol.eof_received() call failed.");
                        });
    if (!keep_open || (socket_ && socket_->is_pipe())) close();
}

void SocketTransport::on_read_error(std::error_code error) {
    const detail::ContextScope scope(context_);
    fatal_error(make_os_error(error, "read"), "Fatal read error on socket transport");
}

// Writing

void SocketTransport::check_writable() const {
    if (transfer()) throw RuntimeError("unable to write; sendfile is in progress");
    if (eof_written_) throw RuntimeError("Cannot call write() after write_eof()");
}

void SocketTransport::begin_file(FileTransfer& transfer) {
    if (closing_) throw RuntimeError("Transport is closing");
    check_writable();
    extras().transfer = &transfer;
}

void SocketTransport::write(std::span<const std::byte> data) {
    if (extras_ || eof_written_) [[unlikely]]
        check_writable();
    if (data.empty()) return;
    if (lost_ || (closing_ && socket_->is_pipe())) {
        if (dropped_writes_ < 255) ++dropped_writes_;
        if (dropped_writes_ == constants::log_threshold_for_connlost_writes)
            loop_.log("socket.send() raised exception: the connection is lost, writes are dropped");
        return;
    }
    send_or_buffer(data);
}

void SocketTransport::writelines(std::span<const std::span<const std::byte>> pieces) {
    Bytes joined;
    std::size_t size = 0;
    for (const auto& piece : pieces)
        size += piece.size();
    joined.reserve(size);
    for (const auto& piece : pieces)
        joined.append(piece);
    write(joined.span());
}

void SocketTransport::send_or_buffer(std::span<const std::byte> data) {
    if (!outgoing_) {
        std::error_code error;
        const std::size_t sent = socket_->write_some(data, error);
        if (error) {
            fatal_error(make_os_error(error, "write"), "Fatal write error on socket transport");
            return;
        }
        data = data.subspan(sent);
        if (data.empty()) return;
        buffer(data);
    } else {
        if (outgoing_->sent > 0 && outgoing_->sent >= outgoing_->data.size() / 2)
            outgoing_->data.consume(std::exchange(outgoing_->sent, 0));
        outgoing_->data.append(data);
    }
    if (get_write_buffer_size() > high_water() && !protocol_paused_) pause_protocol();
}

/// The rest of what was sent in part: without it the connection is of no use.
void SocketTransport::buffer(std::span<const std::byte> data) {
    try {
        auto outgoing = std::make_unique<Outgoing>();
        outgoing->data.append(data);
        socket_->wait_writable();
        outgoing_ = std::move(outgoing);
    } catch (...) {
        force_close(std::current_exception());
        throw;
    }
}

void SocketTransport::on_writable() {
    if (lost_) return;
    const auto keep = shared_from_this();  // connection_lost may be called from here
    const detail::ContextScope scope(context_);
    if (!outgoing_) {  // a file was to be sent
        if (auto* file = transfer()) file->on_progress();
        return;
    }
    std::error_code error;
    outgoing_->sent += socket_->write_some(outgoing_->data.span().subspan(outgoing_->sent), error);
    if (error) {
        outgoing_ = nullptr;
        fatal_error(make_os_error(error, "write"), "Fatal write error on socket transport");
        return;
    }
    if (get_write_buffer_size() > 0) {
        try {
            socket_->wait_writable();
        } catch (...) {
            fatal_error(std::current_exception(), "Fatal error: cannot write to the socket");
            return;
        }
        maybe_resume_protocol();
        return;
    }
    outgoing_ = nullptr;
    if (auto* file = transfer()) file->on_progress();
    maybe_resume_protocol();  // may write more
    if (outgoing_ || lost_) return;
    if (closing_) {
        lost_ = true;
        connection_lost(nullptr);
    } else if (eof_written_) {
        socket_->shutdown_write();
    }
}

void SocketTransport::write_eof() {
    if (closing_ || eof_written_) return;
    check_writable();
    eof_written_ = true;
    if (socket_->is_pipe())
        close();
    else if (!outgoing_)
        socket_->shutdown_write();
}

void SocketTransport::on_hang_up() {
    if (lost_) return;
    const auto keep = shared_from_this();
    force_close(outgoing_ ? make_os_error(std::make_error_code(std::errc::broken_pipe), "write") : nullptr);
}

void SocketTransport::set_write_buffer_limits(std::optional<std::size_t> high, std::optional<std::size_t> low) {
    if (!high) high = low ? 4 * *low : constants::write_high_water;
    if (!low) low = *high / 4;
    if (*high < *low)
        throw ValueError("high (" + std::to_string(*high) + ") must be >= low (" + std::to_string(*low) + ")");
    extras().high_water = *high;
    extras().low_water = *low;
    if (get_write_buffer_size() > *high && !protocol_paused_) pause_protocol();
}

void SocketTransport::pause_protocol() {
    protocol_paused_ = true;
    detail::run_guarded([&] { protocol_->pause_writing(); },
                        [&](const std::exception_ptr& error) {
                            report_error(loop_, error, "protocol.pause_writing() failed", type_of(protocol_.get()),
                                         *this);
                        });
}

void SocketTransport::maybe_resume_protocol() {
    if (!protocol_paused_ || get_write_buffer_size() > low_water()) return;
    protocol_paused_ = false;
    detail::run_guarded([&] { protocol_->resume_writing(); },
                        [&](const std::exception_ptr& error) {
                            report_error(loop_, error, "protocol.resume_writing() failed", type_of(protocol_.get()),
                                         *this);
                        });
}

// Closing

void SocketTransport::close() {
    if (closing_) return;
    closing_ = true;
    socket_->stop_reading();
    if (!outgoing_) schedule_connection_lost(nullptr);
}

void SocketTransport::force_close(std::exception_ptr error) {
    if (lost_) return;
    outgoing_ = nullptr;
    if (!closing_) {
        closing_ = true;
        socket_->stop_reading();
    }
    schedule_connection_lost(std::move(error));
}

void SocketTransport::fatal_error(std::exception_ptr error, const char* message) {
    report_end(loop_, error, message, type_of(protocol_.get()), *this);
    force_close(std::move(error));
}

/// Without an allocation, so that it cannot fail; until it has run the registry keeps this alive.
void SocketTransport::schedule_connection_lost(std::exception_ptr error) noexcept {
    lost_ = true;
    if (auto* file = transfer()) file->on_progress();
    lost_by_ = std::move(error);
    context_ = detail::ContextSlot::copy_of_current();
    loss_scheduled_ = true;
    loop_.schedule(*static_cast<detail::ReadyNode*>(this));
}

void SocketTransport::run() {
    loss_scheduled_ = false;
    const auto keep = shared_from_this();
    const detail::ContextScope scope(context_);
    connection_lost(std::move(lost_by_));
}

void SocketTransport::connection_lost(std::exception_ptr error) {
    class Finish {
    public:
        explicit Finish(SocketTransport& self) noexcept : self_(self) {}
        Finish(const Finish&) = delete;
        Finish& operator=(const Finish&) = delete;
        ~Finish() { self_.forget_connection(); }

    private:
        SocketTransport& self_;
    };
    const Finish finish(*this);
    if (!protocol_ || !connected_) return;
    detail::run_guarded([&] { protocol_->connection_lost(std::move(error)); },
                        [&](const std::exception_ptr& thrown) {
                            report_error(loop_, thrown, "Exception in callback protocol.connection_lost()",
                                         type_of(protocol_.get()), *this);
                        });
}

/// For who logs the connection afterwards.
void SocketTransport::keep_names() noexcept {
    if (!socket_) return;
    try {
        extras().names = std::make_unique<const Names>(Names{socket_->remote_address(), socket_->local_address()});
    } catch (...) {
        // No memory for them: then it has none.
    }
}

void SocketTransport::forget_connection() noexcept {
    const std::shared_ptr<BaseProtocol> protocol = std::move(protocol_);
    keep_names();
    if (socket_) socket_->close();
    socket_ = nullptr;
    if (const auto server = std::move(server_)) server->detach();
    IoRegistry::of(loop_).remove(*this);
}

std::shared_ptr<Transport> SocketTransport::client_of(const ServerState& server) {
    if (server_.get() != &server) return nullptr;
    // With layers above, the highest is what the application has.
    std::shared_ptr<Transport> client = shared_from_this();
    while (auto layer = std::dynamic_pointer_cast<Transport>(client->get_protocol()))
        client = std::move(layer);
    return client;
}

std::optional<Address> SocketTransport::peername() const {
    if (extras_ && extras_->names) return extras_->names->peer;
    return socket_ ? socket_->remote_address() : std::nullopt;
}
std::optional<Address> SocketTransport::sockname() const {
    if (extras_ && extras_->names) return extras_->names->own;
    return socket_ ? socket_->local_address() : std::nullopt;
}

}  // namespace io
}  // namespace weft
