// The first part of a TlsLayer's life: from the connection below to a connection that is private.

#include <weft/io/tls_layer.hpp>

#include <weft/io/impl/tls_context.hpp>

#include <openssl/err.h>
#include <openssl/x509v3.h>

namespace weft {

void detail::check_tls_options(const TlsContext& context, const std::optional<Duration>& handshake_timeout,
                               const std::optional<Duration>& shutdown_timeout) {
    if (context) return;
    if (handshake_timeout) throw ValueError("tls_handshake_timeout is only meaningful with tls");
    if (shutdown_timeout) throw ValueError("tls_shutdown_timeout is only meaningful with tls");
}

namespace io {

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

}  // namespace

int tls_server_name_callback(SSL* ssl, int* alert, void*) {
    const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    return name ? layer_of(ssl).choose_context(name, *alert) : SSL_TLSEXT_ERR_NOACK;
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
    std::exception_ptr reason = take_error("TLS handshake failed");
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
                                report_error(loop_, error, "Exception in callback protocol.connection_made()",
                                             type_of(protocol_.get()), *this);
                            });
    }
    tell_ready(nullptr);
}

void TlsLayer::tell_ready(std::exception_ptr error) {
    if (const auto ready = std::move(ready_)) (*ready)(std::move(error));
}

// What OpenSSL asks and tells while it shakes hands

int TlsLayer::choose_context(const char* server_name, int& alert) noexcept {
    try {
        const auto& callback = context_.state()->on_server_name;
        if (!callback) return SSL_TLSEXT_ERR_OK;
        // OpenSSL has taken up the session by now. One that was made with another name would pass by what the context
        // of this name asks for: a client's certificate is not asked for again.
        if (SSL_session_reused(ssl_.get())) {
            const char* const made_with = SSL_SESSION_get0_hostname(SSL_get0_session(ssl_.get()));
            if (!made_with || std::strcmp(made_with, server_name) != 0) {
                alert = SSL_AD_ILLEGAL_PARAMETER;
                throw TlsError("TLS handshake failed: the session to resume belongs to another server name than '" +
                               std::string(server_name) + "'");
            }
        }
        if (const std::optional<TlsContext> chosen = callback(server_name)) {
            if (!chosen->is_server()) throw ValueError("the server name callback must return a server's TlsContext");
            SSL_CTX* const context = chosen->state()->ssl();
            // The version is agreed upon already.
            if (SSL_version(ssl_.get()) < SSL_CTX_get_min_proto_version(context)) {
                alert = SSL_AD_PROTOCOL_VERSION;
                throw TlsError("TLS handshake failed: the peer's version is below the minimum of server name '" +
                               std::string(server_name) + "'");
            }
            SSL_set_SSL_CTX(ssl_.get(), context);
            // That changes certificates, not what is asked of the peer.
            SSL_set_verify(ssl_.get(), SSL_CTX_get_verify_mode(context), nullptr);
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

}  // namespace io
}  // namespace weft
