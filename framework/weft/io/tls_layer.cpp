#include <weft/io/tls_layer.hpp>

#include <weft/io/impl/tls_context.hpp>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace weft::io {

namespace {

int layer_index() {
    static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    return index;
}

TlsLayer& layer_of(const SSL* ssl) {
    return *static_cast<TlsLayer*>(SSL_get_ex_data(ssl, layer_index()));
}

// The BIO through which OpenSSL reads from and writes to a layer.

int bio_read(BIO* bio, char* to, std::size_t room, std::size_t* count) {
    BIO_clear_retry_flags(bio);
    *count = static_cast<TlsLayer*>(BIO_get_data(bio))->take_incoming(to, room);
    if (*count > 0) return 1;
    BIO_set_retry_read(bio);
    return 0;
}

int bio_write(BIO* bio, const char* from, std::size_t size, std::size_t* count) {
    BIO_clear_retry_flags(bio);
    *count = static_cast<TlsLayer*>(BIO_get_data(bio))->put_outgoing(from, size);
    return *count == size ? 1 : 0;
}

long bio_control(BIO*, int command, long, void*) {
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO_METHOD* layer_bio() {
    static BIO_METHOD* const method = [] {
        BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "weft transport");
        BIO_meth_set_read_ex(made, &bio_read);
        BIO_meth_set_write_ex(made, &bio_write);
        BIO_meth_set_ctrl(made, &bio_control);
        BIO_meth_set_create(made, [](BIO* bio) {
            BIO_set_init(bio, 1);
            return 1;
        });
        return made;
    }();
    return method;
}

/// A piece of memory for plain or encrypted bytes, for as long as one call runs. Layers nest, so one is not enough.
class Scratch {
public:
    Scratch() {
        auto& free = list();
        if (free.empty()) {
            buffer_ = std::make_unique<Buffer>();
            free.reserve(8);
        } else {
            buffer_ = std::move(free.back());
            free.pop_back();
        }
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch() {
        buffer_->bytes.clear();
        auto& free = list();
        if (free.size() < free.capacity() && buffer_->bytes.capacity() <= 4 * size) free.push_back(std::move(buffer_));
    }
    std::span<std::byte> memory() const noexcept { return {buffer_->memory.get(), size}; }
    Bytes& bytes() const noexcept { return buffer_->bytes; }

private:
    static constexpr std::size_t size = constants::tls_read_size;
    struct Buffer {
        std::unique_ptr<std::byte[]> memory = std::make_unique<std::byte[]>(size);
        Bytes bytes;
    };
    static std::vector<std::unique_ptr<Buffer>>& list() {
        static thread_local std::vector<std::unique_ptr<Buffer>> free;
        return free;
    }
    std::unique_ptr<Buffer> buffer_;
};

}  // namespace

int tls_server_name_callback(SSL* ssl, int*, void*) {
    const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    return name ? layer_of(ssl).choose_context(name) : SSL_TLSEXT_ERR_NOACK;
}

int tls_new_session_callback(SSL* ssl, SSL_SESSION* session) {
    layer_of(ssl).keep_session(session);
    return 1;  // it is ours now
}

void check_tls_parameters(const TlsParameters& parameters) {
    if (!parameters.context) throw ValueError("tls: the TlsContext is empty");
    if (parameters.handshake_timeout <= Duration::zero()) throw ValueError("tls_handshake_timeout should be positive");
    if (parameters.shutdown_timeout <= Duration::zero()) throw ValueError("tls_shutdown_timeout should be positive");
    if (parameters.context.is_server() != parameters.server_side)
        throw ValueError(parameters.server_side ? "a server needs a TlsContext::server(), this one is a client's"
                                                : "a client needs a TlsContext::client(), this one is a server's");
    // Without it the handshake would succeed with a certificate for any name.
    if (!parameters.server_side && parameters.context.state()->check_hostname && parameters.server_hostname.empty())
        throw ValueError("check_hostname requires server_hostname");
    static constexpr std::size_t longest_name = 255;
    if (parameters.server_hostname.size() > longest_name || parameters.server_hostname.find('\0') != std::string::npos)
        throw ValueError("server_hostname is longer than 255 bytes or has a zero byte");
}

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

int TlsLayer::choose_context(const char* server_name) noexcept {
    try {
        const auto& callback = context_.state()->on_server_name;
        if (!callback) return SSL_TLSEXT_ERR_OK;
        if (const std::optional<TlsContext> chosen = callback(server_name)) {
            if (!chosen->is_server()) throw ValueError("the server name callback must return a server's TlsContext");
            SSL_CTX* const context = chosen->state()->ssl();
            SSL_set_SSL_CTX(ssl_.get(), context);
            // That changes certificates, not what is asked of the peer.
            SSL_set_verify(ssl_.get(), SSL_CTX_get_verify_mode(context), nullptr);
            SSL_set_min_proto_version(ssl_.get(), static_cast<int>(SSL_CTX_get_min_proto_version(context)));
            context_ = *chosen;
        }
        return SSL_TLSEXT_ERR_OK;
    } catch (...) {
        error_ = std::current_exception();
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
}

void TlsLayer::keep_session(ssl_session_st* session) noexcept {
    SslPtr<SSL_SESSION> owned(session);
    if (!server_hostname_ || !context_.state()->session_resumption) return;
    try {
        context_.state()->keep_session(*server_hostname_, std::move(owned));
    } catch (...) {
        // No memory for it: the next handshake is a full one.
    }
}

// Handshake

void TlsLayer::connection_made(std::shared_ptr<Transport> transport) {
    lower_ = std::move(transport);
    if (close_asked_) {
        lower_->abort();
        return;
    }
    lower_->set_write_buffer_limits(constants::tls_write_high_water, std::nullopt);
    try {
        start();
    } catch (...) {
        fail(std::current_exception(), "TLS could not begin");
    }
}

void TlsLayer::start() {
    ssl_.reset(SSL_new(context_.state()->ssl()));
    BIO* const bio = ssl_ ? BIO_new(layer_bio()) : nullptr;
    if (!bio) throw std::bad_alloc();
    BIO_set_data(bio, this);
    SSL_set_bio(ssl_.get(), bio, bio);
    SSL_set_ex_data(ssl_.get(), layer_index(), this);
    if (server_side_) {
        SSL_set_accept_state(ssl_.get());
    } else {
        SSL_set_connect_state(ssl_.get());
        if (server_hostname_) name_server(*server_hostname_);
    }
    state_ = State::handshaking;
    timer_ = loop_.call_later(handshake_timeout_, [weak = weak_from_this()] {
        const auto self = weak.lock();
        if (!self || self->state_ != State::handshaking) return;
        const double seconds = std::chrono::duration<double>(self->handshake_timeout_).count();
        std::string text = std::to_string(seconds);
        text.resize(text.find('.') + 2);
        self->fail(std::make_exception_ptr(ConnectionAbortedError("SSL handshake is taking longer than " + text +
                                                                  " seconds: aborting the connection")),
                   "TLS handshake failed");
    });
    process();
}

/// What is asked of the server, checked in its certificate, and looked up among the sessions.
void TlsLayer::name_server(const std::string& name) {
    const TlsContextState& context = *context_.state();
    const auto numeric = Address::parse(name, 0);
    bool set = numeric || SSL_set_tlsext_host_name(ssl_.get(), name.c_str()) == 1;
    if (set && context.check_hostname) {
        X509_VERIFY_PARAM* const wanted = SSL_get0_param(ssl_.get());
        SSL_set_hostflags(ssl_.get(), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        const std::size_t address_size = numeric && numeric->family() == Family::ipv4 ? 4 : 16;
        set = (numeric ? X509_VERIFY_PARAM_set1_ip(wanted, numeric->bytes().data(), address_size)
                       : X509_VERIFY_PARAM_set1_host(wanted, name.data(), name.size())) == 1;
    }
    // Going on would be to check no name at all.
    if (!set) std::rethrow_exception(take_tls_error(nullptr, "server_hostname '" + name + "' cannot be checked"));
    if (!context.session_resumption) return;
    if (const auto session = context_.state()->find_session(name)) SSL_set_session(ssl_.get(), session.get());
}

void TlsLayer::handshake() {
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_.get());
    if (result == 1) {
        finish_handshake();
        return;
    }
    const int error = SSL_get_error(ssl_.get(), result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return;
    std::exception_ptr reason = std::move(error_);  // of a callback
    if (!reason) reason = take_tls_error(ssl_.get(), "TLS handshake failed");
    flush_outgoing();  // the alert that tells the peer why
    fail(std::move(reason), "TLS handshake failed");
}

void TlsLayer::finish_handshake() {
    timer_.cancel();
    state_ = State::wrapped;
    flush_outgoing();
    if (state_ != State::wrapped) return;  // connection_lost() tells why
    if (announce_ && !announced_) {
        announced_ = true;
        detail::run_guarded([&] { protocol_->connection_made(shared_from_this()); },
                            [&](const std::exception_ptr& error) {
                                loop_.report_error(error, [&] {
                                    return ExceptionContext("Exception in callback protocol.connection_made()", error);
                                });
                            });
    }
    tell_ready(nullptr);
}

void TlsLayer::tell_ready(std::exception_ptr error) {
    if (const auto ready = std::move(ready_)) (*ready)(std::move(error));
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
    std::unique_ptr<Bytes> kept = std::move(kept_incoming_);
    if (kept) incoming_ = kept->span();
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
    outgoing_ = outer;
    processing_ = was_processing;
    // What is left waits until somebody reads.
    if (state_ < State::failed && !incoming_.empty()) {
        auto left = std::make_unique<Bytes>();
        left->append(incoming_);
        kept_incoming_ = std::move(left);
        if (!lower_paused_) {
            lower_paused_ = true;
            lower_->pause_reading();
        }
    }
    incoming_ = {};
    if (lower_paused_ && !kept_incoming_ && !paused_) resume_lower();
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
            continue;
        }
        more = false;
        const int error = SSL_get_error(ssl_.get(), 0);
        if (error == SSL_ERROR_ZERO_RETURN) {
            peer_closed_ = true;
        } else if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
            if (out_of_memory_)
                error_ = std::make_exception_ptr(std::bad_alloc());
            else
                error_ = take_tls_error(ssl_.get(), "TLS read failed");
        }
        break;
    }
    return count;
}

void TlsLayer::read_application_data() {
    bool more = true;
    const Scratch scratch;
    while (more && state_ == State::wrapped && !paused_) {
        if (buffered_) {
            // Straight into the protocol's own memory.
            std::span<std::byte> room;
            bool failed = false;
            auto& protocol = static_cast<BufferedProtocol&>(*protocol_);
            const auto on_error = [&](std::exception_ptr error) {
                failed = true;
                fail(std::move(error), "Fatal error: protocol.get_buffer() call failed.");
            };
            detail::run_guarded(
                [&] {
                    room = protocol.get_buffer(scratch.memory().size());
                    if (room.empty()) throw RuntimeError("get_buffer() returned an empty buffer");
                },
                on_error);
            if (failed) return;
            const std::size_t count = read_some(room, more);
            if (count > 0)
                detail::run_guarded([&] { protocol.buffer_updated(count); },
                                    [&](std::exception_ptr error) {
                                        fail(std::move(error), "Fatal error: protocol.buffer_updated() call failed.");
                                    });
        } else {
            const std::size_t count = read_some(scratch.memory(), more);
            if (count > 0) deliver(scratch.memory().first(count));
        }
    }
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
        fail(std::make_exception_ptr(
                 TlsError("TLS connection was truncated: the peer ended the connection without close_notify")),
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
    if (state_ != State::wrapped || processing_) return;
    // Through the loop, as data always comes.
    loop_.schedule_internal([self = shared_from_this()] {
        if (self->state_ != State::wrapped || self->paused_) return;
        if (self->kept_incoming_ || SSL_has_pending(self->ssl_.get())) self->process();
        if (self->lower_paused_ && !self->kept_incoming_ && !self->paused_) self->resume_lower();
    });
}

// Writing

void TlsLayer::write(std::span<const std::byte> data) {
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
        send(data);
        flush_outgoing();
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
        fail(out_of_memory_ ? std::make_exception_ptr(std::bad_alloc())
                            : take_tls_error(ssl_.get(), "TLS write failed"),
             "Fatal error on TLS transport");
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
    if (lower_ && !lower_->is_closing())
        detail::run_guarded([&] { lower_->write(outgoing_->span()); },
                            [&](std::exception_ptr error) {
                                fail(std::move(error), "Fatal error: the transport below TLS cannot be written to");
                            });
    outgoing_->clear();
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
                            loop_.report_error(
                                error, [&] { return ExceptionContext("protocol.pause_writing() failed", error); });
                        });
}

void TlsLayer::resume_writing() {
    if (!announced_ || !protocol_) return;
    detail::run_guarded([&] { protocol_->resume_writing(); },
                        [&](const std::exception_ptr& error) {
                            loop_.report_error(
                                error, [&] { return ExceptionContext("protocol.resume_writing() failed", error); });
                        });
}

// Closing

void TlsLayer::close() {
    if (is_closing()) return;
    if (state_ != State::wrapped || loop_.is_closed()) {
        // There is no connection to shut down yet, or nobody to do it.
        close_asked_ = true;
        if (lower_) lower_->abort();
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
        (void)SSL_shutdown(ssl_.get());
        flush_outgoing();
        if (state_ != State::shutting_down) return;
    }
    // What the peer sends before its close_notify is delivered still.
    const Scratch scratch;
    for (bool more = !peer_closed_; more;) {
        const std::size_t count = read_some(scratch.memory(), more);
        if (count > 0 && !buffered_ && !paused_) deliver(scratch.memory().first(count));
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
    if (lower_) lower_->abort();
}

/// Ends the connection with `error`.
void TlsLayer::fail(std::exception_ptr error, const char* message) {
    if (state_ >= State::failed) return;
    if (!detail::holds<OSError>(error))
        loop_.report_error(error, [&] { return ExceptionContext(message, error); });
    else if (loop_.get_debug())
        loop_.log(std::string(message) + ": " + describe_exception(error));
    timer_.cancel();
    backlog_ = nullptr;
    error_ = std::move(error);
    const bool shaking = state_ == State::handshaking;
    state_ = State::failed;
    const auto lower = lower_;
    if (!lower) return;
    // The alert of a failed handshake should still arrive.
    if (shaking && lower->get_write_buffer_size() == 0)
        lower->close();
    else
        lower->abort();
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
                                loop_.report_error(thrown, [&] {
                                    return ExceptionContext("Exception in callback protocol.connection_lost()", thrown);
                                });
                            });
    }
    IoRegistry::of(loop_).remove(*this);
}

void TlsLayer::set_protocol(std::shared_ptr<BaseProtocol> protocol) {
    if (!protocol) throw ValueError("set_protocol: the protocol is null");
    buffered_ = dynamic_cast<BufferedProtocol*>(protocol.get()) != nullptr;
    if (!buffered_ && !dynamic_cast<Protocol*>(protocol.get()))
        throw ValueError("set_protocol: the protocol is neither a Protocol nor a BufferedProtocol");
    protocol_ = std::move(protocol);
}

std::optional<TlsInfo> TlsLayer::tls_info() const {
    if (!ssl_ || state_ == State::unwrapped || state_ == State::handshaking) return std::nullopt;
    return tls_info_of(ssl_.get());
}

}  // namespace weft::io
