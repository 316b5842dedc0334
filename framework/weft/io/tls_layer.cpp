#include <weft/io/tls_layer.hpp>

#include <weft/io/impl/scratch.hpp>
#include <weft/io/impl/tls_context.hpp>
#include <weft/io/streams.hpp>

#include <openssl/err.h>

#include <algorithm>
#include <cstring>

namespace weft::io {

void TlsLayer::SslDeleter::operator()(ssl_st* ssl) const noexcept {
    SSL_free(ssl);
}

std::shared_ptr<TlsLayer> TlsLayer::make(EventLoop& loop, std::shared_ptr<BaseProtocol> protocol,
                                         TlsParameters parameters, bool announce, Ready ready) {
    auto layer =
        std::make_shared<TlsLayer>(loop, std::move(protocol), std::move(parameters), announce, std::move(ready));
    IoRegistry::of(loop).add(layer);
    return layer;
}

TlsLayer::TlsLayer(EventLoop& loop, std::shared_ptr<BaseProtocol> protocol, TlsParameters parameters, bool announce,
                   Ready ready)
    : loop_(loop),
      context_(std::move(parameters.context)),
      call_context_(detail::ContextSlot::copy_of_current()),
      handshake_timeout_(parameters.handshake_timeout),
      shutdown_timeout_(parameters.shutdown_timeout),
      server_side_(parameters.server_side),
      announce_(announce) {
    TlsLayer::set_protocol(std::move(protocol));
    if (ready) ready_ = std::make_unique<Ready>(std::move(ready));
    if (!parameters.server_hostname.empty())
        server_hostname_ = std::make_unique<std::string>(std::move(parameters.server_hostname));
    announced_ = !announce;
}

TlsLayer::~TlsLayer() {
    timer_.cancel();
}

void TlsLayer::drop() noexcept {
    state_ = State::closed;
    timer_ = TimerHandle();
    const auto ready = std::move(ready_);
    const std::shared_ptr<Transport> lower = std::move(lower_);
    const std::shared_ptr<BaseProtocol> protocol = std::move(protocol_);
}

void TlsLayer::abandon() noexcept {
    drop();
    if (auto* registry = loop_.find_service<IoRegistry>()) registry->remove(*this);
}

// What OpenSSL reads and writes

std::size_t TlsLayer::take_incoming(char* to, std::size_t room) noexcept {
    const std::size_t count = std::min(room, incoming_.size());
    if (count == 0) return 0;
    std::memcpy(to, incoming_.data(), count);
    incoming_ = incoming_.subspan(count);
    return count;
}

std::size_t TlsLayer::put_outgoing(const char* from, std::size_t count) noexcept {
    try {
        outgoing_->append(std::as_bytes(std::span(from, count)));
        return count;
    } catch (...) {
        out_of_memory_ = true;
        return 0;
    }
}

// Reading

void TlsLayer::data_received(std::span<const std::byte> data) {
    if (state_ == State::closed || !ssl_) return;
    if (kept_incoming_) {
        kept_incoming_->append(data);
        if (processing_) return;
    } else {
        incoming_ = data;
    }
    process();
}

/// Goes on as far as what has arrived allows. Everything that lets OpenSSL run comes through here or send().
void TlsLayer::process() {
    const auto keep = shared_from_this();
    const detail::ContextScope scope(call_context_);
    const Scratch scratch;
    Bytes* const outer = std::exchange(outgoing_, &scratch.bytes());
    const bool was_processing = processing_;
    processing_ = true;
    const std::unique_ptr<Bytes> kept = std::move(kept_incoming_);
    if (kept) incoming_ = kept->span();
    std::exception_ptr interrupt;
    try {
        advance();
    } catch (...) {
        interrupt = std::current_exception();
    }
    if (interrupt) {
        // The loop may run again: the records that OpenSSL has counted must go all the same.
        try {
            flush_outgoing();
        } catch (...) {
            // The first one is on its way.
        }
    }
    outgoing_ = outer;
    processing_ = was_processing;
    keep_rest();
    if (interrupt) {
        process_later();
        std::rethrow_exception(interrupt);
    }
    if (lower_paused_ && !kept_incoming_ && !paused_) resume_lower();
}

/// Has the loop go on, as if something had come: what was kept is read, and the transport below if nothing is.
void TlsLayer::process_later() {
    if (state_ >= State::failed) return;
    try {
        loop_.schedule_internal([self = shared_from_this()] {
            if (self->state_ < State::failed) self->process();
        });
    } catch (...) {
        fail(std::current_exception(), "Fatal error on TLS transport");
    }
}

void TlsLayer::advance() {
    if (state_ == State::handshaking) handshake();
    if (state_ == State::wrapped) send_backlog();
    if (state_ == State::wrapped && !paused_) read_application_data();
    flush_outgoing();  // which may call the application, which may close
    if (state_ == State::flushing) {
        send_backlog();
        if (!backlog_) begin_shutdown();
    }
    if (state_ == State::shutting_down) shut_down();
    flush_outgoing();
}

/// What is left of what came waits until somebody reads.
void TlsLayer::keep_rest() {
    const std::span<const std::byte> rest = std::exchange(incoming_, {});
    if (state_ >= State::failed || rest.empty()) return;
    try {
        auto left = std::make_unique<Bytes>();
        left->append(rest);
        kept_incoming_ = std::move(left);
    } catch (...) {
        fail(std::current_exception(), "Fatal error on TLS transport");
        return;
    }
    if (lower_paused_) return;
    lower_paused_ = true;
    lower_->pause_reading();
}

void TlsLayer::resume_lower() {
    lower_paused_ = false;
    if (lower_) lower_->resume_reading();
}

/// Reads into `room` until it is full or nothing is left; `more` tells that there may be. Ends the layer where TLS
/// ends.
std::size_t TlsLayer::read_some(std::span<std::byte> room, bool& more) {
    std::size_t count = 0;
    while (count < room.size()) {
        std::size_t read = 0;
        ERR_clear_error();
        if (SSL_read_ex(ssl_.get(), room.data() + count, room.size() - count, &read) == 1) {
            count += read;
            if (!incoming_.empty() || SSL_has_pending(ssl_.get()) == 1) continue;
            more = false;
            break;
        }
        more = false;
        const int error = SSL_get_error(ssl_.get(), 0);
        if (error == SSL_ERROR_ZERO_RETURN) {
            peer_closed_ = true;
        } else if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
            error_ = take_error("TLS read failed");
        }
        break;
    }
    return count;
}

/// Reads as much as there is room for and gives it to the protocol; `memory` is for those that have none of their own.
void TlsLayer::read_once(std::span<std::byte> memory, bool& more) {
    if (buffered_) {
        read_into_buffer(memory.size(), more);
        return;
    }
    if (streams_) {
        const std::span<std::byte> space = static_cast<StreamState&>(*protocol_).read_space();
        if (!space.empty()) {
            deliver(space.first(read_some(space, more)));
            return;
        }
    }
    const std::size_t count = read_some(memory, more);
    if (count > 0) deliver(memory.first(count));
}

/// Straight into the protocol's own memory.
void TlsLayer::read_into_buffer(std::size_t size_hint, bool& more) {
    auto& protocol = static_cast<BufferedProtocol&>(*protocol_);
    std::span<std::byte> room;
    detail::run_guarded(
        [&] {
            room = protocol.get_buffer(size_hint);
            if (room.empty()) throw RuntimeError("get_buffer() returned an empty buffer");
        },
        [&](std::exception_ptr error) { fail(std::move(error), "Fatal error: protocol.get_buffer() call failed."); });
    if (state_ >= State::failed) return;
    const std::size_t count = read_some(room, more);
    if (count == 0) return;
    detail::run_guarded([&] { protocol.buffer_updated(count); },
                        [&](std::exception_ptr error) {
                            fail(std::move(error), "Fatal error: protocol.buffer_updated() call failed.");
                        });
}

void TlsLayer::read_application_data() {
    const Scratch scratch;
    for (bool more = true; more && state_ == State::wrapped && !paused_;)
        read_once(scratch.memory(), more);
    if (state_ >= State::failed) return;
    if (error_) {
        fail(std::exchange(error_, nullptr), "Fatal error on TLS transport");
        return;
    }
    if (peer_closed_) peer_closed();
}

void TlsLayer::deliver(std::span<const std::byte> data) {
    detail::run_guarded([&] { static_cast<Protocol&>(*protocol_).data_received(data); },
                        [&](std::exception_ptr error) {
                            fail(std::move(error), "Fatal error: protocol.data_received() call failed.");
                        });
}

/// The peer's close_notify: nothing more will come; what the application has written still goes.
void TlsLayer::peer_closed() {
    if (state_ != State::wrapped) return;
    detail::run_guarded(
        [&] { (void)protocol_->eof_received(); },
        [&](std::exception_ptr error) { fail(std::move(error), "Fatal error: protocol.eof_received() call failed."); });
    // TLS cannot be half open: what eof_received() answers makes no difference.
    if (state_ == State::wrapped) state_ = State::flushing;
}

bool TlsLayer::eof_received() {
    if (state_ == State::handshaking) {
        fail(std::make_exception_ptr(ConnectionResetError("the peer ended the connection during the TLS handshake")),
             "TLS handshake failed");
    } else if (state_ == State::wrapped && !peer_closed_) {
        // Not what TLS allows: what was sent may have been cut by somebody else.
        fail_when_flushed(std::make_exception_ptr(TlsEofError(
                              "TLS connection was truncated: the peer ended the connection without close_notify")),
                          "Fatal error on TLS transport");
    } else if (state_ == State::flushing || state_ == State::shutting_down) {
        end_lower();
    }
    return false;
}

void TlsLayer::pause_reading() {
    if (paused_ || is_closing()) return;
    paused_ = true;
    if (lower_ && !lower_paused_ && state_ == State::wrapped) {
        lower_paused_ = true;
        lower_->pause_reading();
    }
}

void TlsLayer::resume_reading() {
    if (!paused_ || is_closing()) return;
    paused_ = false;
    // Through the loop, as data always comes.
    if (state_ == State::wrapped && !processing_) process_later();
}

// Writing

void TlsLayer::check_writable() const {
    if (sending_file_) throw RuntimeError("unable to write; sendfile is in progress");
}

void TlsLayer::write(std::span<const std::byte> data) {
    check_writable();
    write_piece(data);
}

void TlsLayer::write_piece(std::span<const std::byte> data) {
    if (data.empty()) return;
    if (is_closing()) return;  // dropped, as on a lost connection
    if (state_ == State::wrapped && !backlog_) {
        if (outgoing_) {
            send(data);  // inside process(), which flushes
            return;
        }
        const auto keep = shared_from_this();
        const Scratch scratch;
        outgoing_ = &scratch.bytes();
        try {
            send(data);
            flush_outgoing();
        } catch (...) {
            outgoing_ = nullptr;
            throw;
        }
        outgoing_ = nullptr;
        return;
    }
    if (!backlog_) backlog_ = std::make_unique<Bytes>();
    backlog_->append(data);
}

void TlsLayer::writelines(std::span<const std::span<const std::byte>> pieces) {
    Bytes joined;
    for (const auto& piece : pieces)
        joined.append(piece);
    write(joined.span());
}

/// Encrypts `data`; what OpenSSL does not take now is kept for later.
void TlsLayer::send(std::span<const std::byte> data) {
    while (!data.empty()) {
        std::size_t written = 0;
        ERR_clear_error();
        if (SSL_write_ex(ssl_.get(), data.data(), data.size(), &written) == 1) {
            data = data.subspan(written);
            continue;
        }
        const int error = SSL_get_error(ssl_.get(), 0);
        if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
            if (!backlog_) backlog_ = std::make_unique<Bytes>();
            backlog_->append(data);
            return;
        }
        fail(take_error("TLS write failed"), "Fatal error on TLS transport");
        return;
    }
}

void TlsLayer::send_backlog() {
    if (const auto backlog = std::move(backlog_)) send(backlog->span());
}

/// One write below for all that OpenSSL has made. An error of it ends the layer and is not thrown: it runs where
/// close() does, in destructors too.
void TlsLayer::flush_outgoing() {
    if (!outgoing_ || outgoing_->empty()) return;
    // What the application writes meanwhile, told to pause, comes after it.
    Bytes* const records = std::exchange(outgoing_, nullptr);
    if (lower_ && !lower_->is_closing())
        detail::run_guarded([&] { lower_->write(records->span()); },
                            [&](std::exception_ptr error) {
                                fail(std::move(error), "Fatal error: the transport below TLS cannot be written to");
                            });
    records->resize(0);
    outgoing_ = records;
}

void TlsLayer::write_eof() {
    throw RuntimeError("a TLS connection cannot end in one direction: write_eof() is not supported");
}

void TlsLayer::set_write_buffer_limits(std::optional<std::size_t> high, std::optional<std::size_t> low) {
    if (!high && !low) high = constants::tls_write_high_water;
    if (lower_) lower_->set_write_buffer_limits(high, low);
}

std::pair<std::size_t, std::size_t> TlsLayer::get_write_buffer_limits() const noexcept {
    return lower_ ? lower_->get_write_buffer_limits() : std::pair<std::size_t, std::size_t>(0, 0);
}

std::size_t TlsLayer::get_write_buffer_size() const noexcept {
    return (lower_ ? lower_->get_write_buffer_size() : 0) + (backlog_ ? backlog_->size() : 0);
}

void TlsLayer::pause_writing() {
    if (!announced_ || !protocol_) return;
    detail::run_guarded([&] { protocol_->pause_writing(); },
                        [&](const std::exception_ptr& error) {
                            report_error(loop_, error, "protocol.pause_writing() failed", type_of(protocol_.get()),
                                         *this);
                        });
}

void TlsLayer::resume_writing() {
    if (!announced_ || !protocol_) return;
    detail::run_guarded([&] { protocol_->resume_writing(); },
                        [&](const std::exception_ptr& error) {
                            report_error(loop_, error, "protocol.resume_writing() failed", type_of(protocol_.get()),
                                         *this);
                        });
}

// Closing

void TlsLayer::close() {
    if (is_closing()) return;
    if (state_ != State::wrapped || loop_.is_closed()) {
        // There is no connection to shut down yet, or nobody to do it.
        abort();
        return;
    }
    state_ = State::flushing;
    if (processing_) return;  // which goes on with it
    process();
}

/// What was written is encrypted: says so, and waits for the peer to say it too.
void TlsLayer::begin_shutdown() {
    state_ = State::shutting_down;
    try {
        timer_ = loop_.call_later(shutdown_timeout_, [weak = weak_from_this()] {
            const auto self = weak.lock();
            if (self && self->state_ == State::shutting_down)
                self->fail(std::make_exception_ptr(TimeoutError("SSL shutdown timed out")), "TLS shutdown failed");
        });
    } catch (...) {
        fail(std::current_exception(), "TLS shutdown failed");  // without a bound it is not waited for
    }
}

void TlsLayer::shut_down() {
    if ((SSL_get_shutdown(ssl_.get()) & SSL_SENT_SHUTDOWN) == 0) {
        ERR_clear_error();
        if (SSL_shutdown(ssl_.get()) < 0 && out_of_memory_) {
            fail(take_error("TLS shutdown failed"), "TLS shutdown failed");
            return;
        }
        flush_outgoing();
        if (state_ != State::shutting_down) return;
    }
    // What the peer sends before its close_notify is delivered still.
    const Scratch scratch;
    for (bool more = !peer_closed_; more;) {
        if (paused_)
            (void)read_some(scratch.memory(), more);
        else
            read_once(scratch.memory(), more);
        if (state_ != State::shutting_down) return;
    }
    ERR_clear_error();
    const bool ended = peer_closed_ || error_;
    error_ = nullptr;  // after our close_notify the peer's errors do not matter
    if (ended)
        end_lower();
    else if (lower_paused_)
        resume_lower();
}

void TlsLayer::end_lower() {
    timer_.cancel();
    flush_outgoing();
    if (lower_) lower_->close();
}

void TlsLayer::abort() {
    if (state_ == State::closed) return;
    close_asked_ = true;
    backlog_ = nullptr;
    if (!lower_) return;
    // From now on the protocol is told nothing but the end.
    if (state_ < State::failed) state_ = State::failed;
    timer_.cancel();
    lower_->abort();
}

/// Why OpenSSL did not go on: what a callback of it threw, or else what it says.
std::exception_ptr TlsLayer::take_error(const char* what) noexcept {
    if (out_of_memory_) return std::make_exception_ptr(std::bad_alloc());
    if (error_) return std::exchange(error_, nullptr);
    return take_tls_error(ssl_.get(), what);
}

/// Ends the connection with `error`.
void TlsLayer::fail(std::exception_ptr error, const char* message) {
    if (state_ >= State::failed) return;
    const bool shaking = state_ == State::handshaking;
    note_failure(std::move(error), message);
    const auto lower = lower_;
    if (!lower) return;
    // The alert of a failed handshake should still arrive.
    if (shaking && lower->get_write_buffer_size() == 0)
        lower->close();
    else
        lower->abort();
}

void TlsLayer::note_failure(std::exception_ptr error, const char* message) {
    if (state_ == State::handshaking && server_side_ && announce_ && loop_.get_debug())
        report_error(loop_, error, "Error on transport creation for incoming connection", type_of(protocol_.get()),
                     *this);
    else
        report_end(loop_, error, message, type_of(protocol_.get()), *this);
    timer_.cancel();
    backlog_ = nullptr;
    error_ = std::move(error);
    state_ = State::failed;
}

/// The peer sends no more, but may still read: what was written goes first, within the time-out of the shutdown.
void TlsLayer::fail_when_flushed(std::exception_ptr error, const char* message) {
    note_failure(std::move(error), message);
    try {
        timer_ = loop_.call_later(shutdown_timeout_, [weak = weak_from_this()] {
            const auto self = weak.lock();
            if (self && self->lower_) self->lower_->abort();
        });
    } catch (...) {
        lower_->abort();  // without a bound it is not waited for
        return;
    }
    lower_->close();
}

void TlsLayer::connection_lost(std::exception_ptr error) {
    if (state_ == State::closed) return;
    const auto keep = shared_from_this();
    state_ = State::closed;
    timer_.cancel();
    timer_ = TimerHandle();
    if (error_) error = std::move(error_);
    backlog_ = nullptr;
    kept_incoming_ = nullptr;
    if (ready_)
        tell_ready(error ? error
                         : std::make_exception_ptr(
                               ConnectionAbortedError("the connection was closed during the TLS handshake")));
    const std::shared_ptr<BaseProtocol> protocol = std::move(protocol_);
    if (announced_ && protocol) {
        const detail::ContextScope scope(call_context_);
        detail::run_guarded([&] { protocol->connection_lost(error); },
                            [&](const std::exception_ptr& thrown) {
                                report_error(loop_, thrown, "Exception in callback protocol.connection_lost()",
                                             type_of(protocol.get()), *this);
                            });
    }
    IoRegistry::of(loop_).remove(*this);
}

void TlsLayer::set_protocol(std::shared_ptr<BaseProtocol> protocol) {
    buffered_ = replace_protocol(loop_, protocol_, std::move(protocol));
    streams_ = is_stream_state(*protocol_);
}

std::optional<TlsInfo> TlsLayer::tls_info() const {
    if (!ssl_ || state_ == State::unwrapped || state_ == State::handshaking) return std::nullopt;
    return tls_info_of(ssl_.get());
}

}  // namespace weft::io
