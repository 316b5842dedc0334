#include <weft/io/tls.hpp>

#include <weft/io/impl/tls_context.hpp>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace weft {

namespace io {

namespace {

/// Sessions that one context keeps for resumption, at most; the servers beyond have a full handshake.
constexpr std::size_t kept_sessions = 1024;

int context_index() {
    static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    return index;
}

const char* reason_text(unsigned long error) {
    const char* reason = ERR_reason_error_string(error);
    return reason ? reason : "unknown error";
}

/// For the mistakes that OpenSSL's words hide.
const char* hint(unsigned long error) {
    switch (ERR_GET_REASON(error)) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_UNEXPECTED_MESSAGE:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_BAD_RECORD_TYPE: return " (the peer does not seem to speak TLS)";
    case SSL_R_UNEXPECTED_EOF_WHILE_READING: return " (the peer ended the connection without close_notify)";
    default: return "";
    }
}

std::string name_text(const X509_NAME* name) {
    const SslPtr<BIO> out(BIO_new(BIO_s_mem()));
    if (!out || !name) return {};
    X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253);
    char* data = nullptr;
    const long size = BIO_get_mem_data(out.get(), &data);
    return std::string(data, static_cast<std::size_t>(size));
}

std::string time_text(const ASN1_TIME* time) {
    const SslPtr<BIO> out(BIO_new(BIO_s_mem()));
    if (!out) return {};
    ASN1_TIME_print(out.get(), time);
    char* data = nullptr;
    const long size = BIO_get_mem_data(out.get(), &data);
    return std::string(data, static_cast<std::size_t>(size));
}

std::string serial_text(const X509* certificate) {
    const std::unique_ptr<BIGNUM, void (*)(BIGNUM*)> number(
        ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr), [](BIGNUM* value) { BN_free(value); });
    if (!number) return {};
    char* const text = BN_bn2hex(number.get());
    std::string result = text ? text : "";
    OPENSSL_free(text);
    return result;
}

std::string alternative_text(const GENERAL_NAME& name) {
    int type = 0;
    const void* value = GENERAL_NAME_get0_value(&name, &type);
    const auto* text = static_cast<const ASN1_STRING*>(value);
    if (type == GEN_DNS || type == GEN_EMAIL || type == GEN_URI) {
        const char* prefix = type == GEN_DNS ? "DNS:" : type == GEN_EMAIL ? "email:" : "URI:";
        return prefix + std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                                    static_cast<std::size_t>(ASN1_STRING_length(text)));
    }
    if (type == GEN_IPADD) {
        char address[64] = "";
        const unsigned char* bytes = ASN1_STRING_get0_data(text);
        if (ASN1_STRING_length(text) == 4) {
            std::snprintf(address, sizeof address, "IP:%d.%d.%d.%d", bytes[0], bytes[1], bytes[2], bytes[3]);
        } else if (ASN1_STRING_length(text) == 16) {
            int at = std::snprintf(address, sizeof address, "IP:");
            for (int i = 0; i < 16; i += 2)
                at += std::snprintf(address + at, sizeof address - static_cast<std::size_t>(at), i ? ":%x" : "%x",
                                    bytes[i] << 8 | bytes[i + 1]);
        }
        return address;
    }
    return {};
}

TlsCertificate describe(X509* certificate) {
    TlsCertificate result;
    result.subject = name_text(X509_get_subject_name(certificate));
    result.issuer = name_text(X509_get_issuer_name(certificate));
    result.not_before = time_text(X509_get0_notBefore(certificate));
    result.not_after = time_text(X509_get0_notAfter(certificate));
    result.serial_number = serial_text(certificate);
    const std::unique_ptr<GENERAL_NAMES, void (*)(GENERAL_NAMES*)> names(
        static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)),
        [](GENERAL_NAMES* value) { GENERAL_NAMES_free(value); });
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
        std::string text = alternative_text(*sk_GENERAL_NAME_value(names.get(), i));
        if (!text.empty()) result.subject_alt_names.push_back(std::move(text));
    }
    return result;
}

int select_alpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in, unsigned in_size,
                void* argument) {
    const auto& own = static_cast<const TlsContextState*>(argument)->alpn;
    unsigned char* chosen = nullptr;
    const int found =
        SSL_select_next_proto(&chosen, out_size, own.data(), static_cast<unsigned>(own.size()), in, in_size);
    *out = chosen;
    // Without one in common the connection goes on without a protocol, as Python's does.
    return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

}  // namespace

TlsContextState::TlsContextState(bool server)
    : server(server),
      check_hostname(!server),
      context_(SSL_CTX_new(server ? TLS_server_method() : TLS_client_method())) {
    if (!context_) std::rethrow_exception(take_tls_error(nullptr, "TlsContext"));
    SSL_CTX* const ctx = context_.get();
    SSL_CTX_set_ex_data(ctx, context_index(), this);
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(ctx,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    static constexpr unsigned char id[] = "weft";
    SSL_CTX_set_session_id_context(ctx, id, sizeof id - 1);
    if (server) {
        SSL_CTX_set_tlsext_servername_callback(ctx, &tls_server_name_callback);
    } else {
        SSL_CTX_sess_set_new_cb(ctx, &tls_new_session_callback);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, nullptr);
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    }
}

TlsContextState& TlsContextState::of(SSL_CTX* context) noexcept {
    return *static_cast<TlsContextState*>(SSL_CTX_get_ex_data(context, context_index()));
}

SslPtr<SSL_SESSION> TlsContextState::find_session(const std::string& server_name) {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(server_name);
    if (found == sessions_.end() || !SSL_SESSION_is_resumable(found->second.get())) return nullptr;
    SSL_SESSION_up_ref(found->second.get());
    return SslPtr<SSL_SESSION>(found->second.get());
}

void TlsContextState::keep_session(const std::string& server_name, SslPtr<SSL_SESSION> session) {
    const std::lock_guard lock(mutex_);
    if (sessions_.size() >= kept_sessions && !sessions_.contains(server_name)) return;
    sessions_[server_name] = std::move(session);
}

std::exception_ptr take_tls_error(SSL* ssl, const std::string& what) noexcept {
    const unsigned long error = ERR_peek_error();
    try {
        ERR_clear_error();
        if (ssl && ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
            const long code = SSL_get_verify_result(ssl);
            std::string message = X509_verify_cert_error_string(code);
            if (code == X509_V_ERR_HOSTNAME_MISMATCH || code == X509_V_ERR_IP_ADDRESS_MISMATCH) {
                const char* host = X509_VERIFY_PARAM_get0_host(SSL_get0_param(ssl), 0);
                if (host) message += ": the certificate is not valid for '" + std::string(host) + "'";
            }
            return std::make_exception_ptr(
                TlsCertificateError(what + ": certificate verify failed: " + message, static_cast<int>(code), message));
        }
        return std::make_exception_ptr(
            TlsError(what + ": " + (error ? reason_text(error) : "no reason was given") + hint(error)));
    } catch (...) {
        return std::current_exception();
    }
}

TlsInfo tls_info_of(SSL* ssl) {
    TlsInfo info;
    info.version = SSL_get_version(ssl);
    if (const SSL_CIPHER* cipher = SSL_get_current_cipher(ssl)) info.cipher = SSL_CIPHER_get_name(cipher);
    const unsigned char* alpn = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl, &alpn, &size);
    if (alpn) info.alpn.assign(reinterpret_cast<const char*>(alpn), size);
    if (const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)) info.server_name = name;
    info.session_reused = SSL_session_reused(ssl) == 1;
    const SslPtr<X509> certificate(SSL_get1_peer_certificate(ssl));
    if (certificate) info.peer_certificate = describe(certificate.get());
    return info;
}

}  // namespace io

namespace {

io::TlsContextState& require(const std::shared_ptr<io::TlsContextState>& state) {
    if (!state) throw RuntimeError("the TlsContext is empty: make one with TlsContext::client() or server()");
    return *state;
}

[[noreturn]] void refuse(const std::string& what) {
    std::rethrow_exception(io::take_tls_error(nullptr, what));
}

int give_password(char* buffer, int size, int, void* password) {
    const auto& text = *static_cast<const std::string*>(password);
    const int count = std::min(size, static_cast<int>(text.size()));
    std::memcpy(buffer, text.data(), static_cast<std::size_t>(count));
    return count;
}

}  // namespace

TlsContext TlsContext::client() {
    TlsContext context(std::make_shared<io::TlsContextState>(false));
    if (SSL_CTX_set_default_verify_paths(context.state_->ssl()) != 1) refuse("the system's certificate authorities");
    return context;
}

TlsContext TlsContext::server(const std::string& chain_file, const std::string& key_file, const std::string& password) {
    TlsContext context(std::make_shared<io::TlsContextState>(true));
    context.load_cert_chain(chain_file, key_file, password);
    return context;
}

TlsContext& TlsContext::load_verify_locations(const std::string& file_or_directory) {
    SSL_CTX* const ctx = require(state_).ssl();
    struct stat status{};
    const bool directory = ::stat(file_or_directory.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
    const int loaded = directory ? SSL_CTX_load_verify_dir(ctx, file_or_directory.c_str())
                                 : SSL_CTX_load_verify_file(ctx, file_or_directory.c_str());
    if (loaded != 1) refuse("cannot load certificates from '" + file_or_directory + "'");
    return *this;
}

TlsContext& TlsContext::load_verify_data(std::string_view pem) {
    X509_STORE* const store = SSL_CTX_get_cert_store(require(state_).ssl());
    const io::SslPtr<BIO> in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    int count = 0;
    while (const io::SslPtr<X509> certificate{PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr)}) {
        if (X509_STORE_add_cert(store, certificate.get()) != 1) refuse("load_verify_data");
        ++count;
    }
    if (count == 0) refuse("load_verify_data: there is no certificate");
    ERR_clear_error();  // of the end of the text
    return *this;
}

TlsContext& TlsContext::load_cert_chain(const std::string& chain_file, const std::string& key_file,
                                        const std::string& password) {
    SSL_CTX* const ctx = require(state_).ssl();
    if (SSL_CTX_use_certificate_chain_file(ctx, chain_file.c_str()) != 1)
        refuse("cannot load a certificate chain from '" + chain_file + "'");
    SSL_CTX_set_default_passwd_cb(ctx, &give_password);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, const_cast<std::string*>(&password));
    const bool loaded = SSL_CTX_use_PrivateKey_file(ctx, key_file.c_str(), SSL_FILETYPE_PEM) == 1;
    SSL_CTX_set_default_passwd_cb(ctx, nullptr);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, nullptr);
    if (!loaded) refuse("cannot load a private key from '" + key_file + "'");
    if (SSL_CTX_check_private_key(ctx) != 1)
        refuse("the key in '" + key_file + "' is not that of the certificate in '" + chain_file + "'");
    return *this;
}

TlsContext& TlsContext::verify_mode(TlsVerify value) {
    int mode = SSL_VERIFY_NONE;
    if (value != TlsVerify::none) mode = SSL_VERIFY_PEER;
    if (value == TlsVerify::required) mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(require(state_).ssl(), mode, nullptr);
    return *this;
}

TlsContext& TlsContext::check_hostname(bool value) {
    require(state_).check_hostname = value;
    return *this;
}

TlsContext& TlsContext::minimum_version(TlsVersion value) {
    SSL_CTX_set_min_proto_version(require(state_).ssl(), value == TlsVersion::tls1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
    return *this;
}

TlsContext& TlsContext::set_ciphers(const std::string& list) {
    if (SSL_CTX_set_cipher_list(require(state_).ssl(), list.c_str()) != 1) refuse("set_ciphers '" + list + "'");
    return *this;
}

TlsContext& TlsContext::set_alpn_protocols(const std::vector<std::string>& protocols) {
    io::TlsContextState& state = require(state_);
    std::vector<unsigned char> wire;
    for (const std::string& protocol : protocols) {
        if (protocol.empty() || protocol.size() > 255)
            throw ValueError("an ALPN protocol has 1 to 255 bytes: '" + protocol + "'");
        wire.push_back(static_cast<unsigned char>(protocol.size()));
        wire.insert(wire.end(), protocol.begin(), protocol.end());
    }
    state.alpn = std::move(wire);
    if (state.server)
        SSL_CTX_set_alpn_select_cb(state.ssl(), state.alpn.empty() ? nullptr : &io::select_alpn, &state);
    else if (SSL_CTX_set_alpn_protos(state.ssl(), state.alpn.data(), static_cast<unsigned>(state.alpn.size())) != 0)
        throw std::bad_alloc();
    return *this;
}

TlsContext& TlsContext::set_servername_callback(ServerNameCallback callback) {
    require(state_).on_server_name = std::move(callback);
    return *this;
}

TlsContext& TlsContext::session_resumption(bool value) {
    require(state_).session_resumption = value;
    return *this;
}

std::string TlsContext::repr() const {
    if (!state_) return "<TlsContext>";
    return is_server() ? "<TlsContext server>" : "<TlsContext client>";
}

bool TlsContext::is_server() const noexcept {
    return state_ && state_->server;
}

}  // namespace weft
