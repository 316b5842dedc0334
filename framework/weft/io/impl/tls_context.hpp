#pragma once
// TlsContextState: an SSL_CTX and what Weft keeps beside it. Private to the io floor.

#include <weft/io/tls.hpp>

#include <openssl/ssl.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace weft::io {

struct SslDeleter {
    void operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
    void operator()(SSL* ssl) const noexcept { SSL_free(ssl); }
    void operator()(SSL_SESSION* session) const noexcept { SSL_SESSION_free(session); }
    void operator()(X509* certificate) const noexcept { X509_free(certificate); }
    void operator()(BIO* bio) const noexcept { BIO_free(bio); }
};
template <class T>
using SslPtr = std::unique_ptr<T, SslDeleter>;

class TlsContextState {
public:
    explicit TlsContextState(bool server);
    TlsContextState(const TlsContextState&) = delete;
    TlsContextState& operator=(const TlsContextState&) = delete;

    SSL_CTX* ssl() const noexcept { return context_.get(); }
    /// The state behind one of ssl()'s copies.
    static TlsContextState& of(SSL_CTX* context) noexcept;

    /// A session to resume with `server_name`, or null; and one to keep for later.
    SslPtr<SSL_SESSION> find_session(const std::string& server_name);
    void keep_session(const std::string& server_name, SslPtr<SSL_SESSION> session);

    const bool server;
    bool check_hostname;
    bool session_resumption = true;
    std::vector<unsigned char> alpn;  // as on the wire
    TlsContext::ServerNameCallback on_server_name;

private:
    SslPtr<SSL_CTX> context_;
    std::mutex mutex_;
    std::map<std::string, SslPtr<SSL_SESSION>> sessions_;
};

// OpenSSL's callbacks, which find the layer of a connection.
int tls_server_name_callback(SSL* ssl, int* alert, void* argument);
int tls_new_session_callback(SSL* ssl, SSL_SESSION* session);

/// What OpenSSL's error queue says, and empties it: "wrong version number". `ssl` may be null.
std::exception_ptr take_tls_error(SSL* ssl, const std::string& what) noexcept;
/// Of a connection that has shaken hands.
TlsInfo tls_info_of(SSL* ssl);

}  // namespace weft::io
