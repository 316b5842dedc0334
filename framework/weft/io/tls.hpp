#pragma once
// TLS: who is trusted, what is shown, and how (Python's ssl.SSLContext).
//
//     TlsContext client = TlsContext::client();                             // trusts what the system trusts
//     auto [reader, writer] = co_await open_connection("example.org", 443, ConnectionOptions().tls(client));
//
//     TlsContext server = TlsContext::server("chain.pem", "key.pem");
//     co_await start_server(handler, "", 8443, ServerOptions().tls(server));
//
// TLS is a layer over any transport: TCP, Unix sockets, the simulated network, TLS itself. The oldest version spoken is
// 1.2 unless a context says 1.3. Copies of a context mean the same one; set it up before its first connection. A
// context may serve loops on several threads.

#include <weft/base/constants.hpp>
#include <weft/base/exceptions.hpp>
#include <weft/loop/handle.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weft {

/// The other side does not speak TLS, or breaks its rules, or refuses what is offered (Python's ssl.SSLError). what()
/// has OpenSSL's reason.
class TlsError : public OSError {
public:
    explicit TlsError(const std::string& what) : OSError(std::make_error_code(std::errc::protocol_error), what) {}
};

/// The peer's certificate is not acceptable (Python's ssl.SSLCertVerificationError): expired, self-signed, of an
/// unknown issuer, for another host; what() says which.
class TlsCertificateError : public TlsError {
public:
    TlsCertificateError(const std::string& what, int verify_code, std::string verify_message)
        : TlsError(what), verify_code_(verify_code), verify_message_(std::move(verify_message)) {}
    /// OpenSSL's X509_V_ERR_ number.
    int verify_code() const noexcept { return verify_code_; }
    const std::string& verify_message() const noexcept { return verify_message_; }

private:
    int verify_code_;
    std::string verify_message_;
};

/// The peer ended the connection without the close_notify that TLS asks for (Python's ssl.SSLEOFError): somebody else
/// may have cut off what it sent last.
class TlsEofError : public TlsError {
public:
    using TlsError::TlsError;
};

enum class TlsVersion : std::uint8_t { tls1_2, tls1_3 };
/// Whether the peer must show a certificate that is trusted.
enum class TlsVerify : std::uint8_t { none, optional, required };

/// What a certificate says.
class TlsCertificate {
public:
    std::string subject;  ///< "CN=example.org"
    std::string issuer;
    std::vector<std::string> subject_alt_names;  ///< "DNS:example.org", "IP:127.0.0.1"
    std::string not_before;                      ///< "Nov 25 02:00:00 2026 GMT"
    std::string not_after;
    std::string serial_number;  ///< hexadecimal
};

/// What two peers have agreed on.
class TlsInfo {
public:
    std::string version;      ///< "TLSv1.3"
    std::string cipher;       ///< "TLS_AES_256_GCM_SHA384"
    std::string alpn;         ///< the application's protocol, or empty
    std::string server_name;  ///< the name that the client asked for, or empty
    bool session_reused = false;
    std::optional<TlsCertificate> peer_certificate;
};

namespace io {
class TlsContextState;
}

class TlsContext {
public:
    /// Chooses by the name a client asks for: another context, or nothing for this one.
    using ServerNameCallback = std::function<std::optional<TlsContext>(const std::string& name)>;

    /// An empty handle, good for assigning to.
    TlsContext() = default;
    /// For connecting: trusts the system's certificate authorities, requires a certificate, and checks that it is for
    /// the host's name (ssl.create_default_context()).
    static TlsContext client();
    /// For accepting: shows the chain (PEM) whose private key (PEM) is in `key_file`. Asks for no certificate.
    static TlsContext server(const std::string& chain_file, const std::string& key_file,
                             const std::string& password = {});

    // Each of the following changes this context and returns it. TlsError if OpenSSL refuses what is given, with the
    // name of the file; RuntimeError on an empty handle.

    /// Trusts the certificates of a PEM file or of a directory as c_rehash(1) makes it, beside what is trusted already.
    TlsContext& load_verify_locations(const std::string& file_or_directory);
    /// Trusts the certificates in this PEM text.
    TlsContext& load_verify_data(std::string_view pem);
    /// The certificate to show, with its chain; of a client too, where the server asks for one.
    TlsContext& load_cert_chain(const std::string& chain_file, const std::string& key_file,
                                const std::string& password = {});
    TlsContext& verify_mode(TlsVerify value);
    /// Whether a client checks the certificate's names; default true.
    TlsContext& check_hostname(bool value);
    TlsContext& minimum_version(TlsVersion value);
    /// OpenSSL's list of ciphers for TLS 1.2.
    TlsContext& set_ciphers(const std::string& list);
    /// What the application can speak, best first ("h2", "http/1.1"). A server takes the first of its own that the
    /// client has too.
    TlsContext& set_alpn_protocols(const std::vector<std::string>& protocols);
    /// Servers: called in each handshake in which the client names a host. What it throws ends the handshake.
    TlsContext& set_servername_callback(ServerNameCallback callback);
    /// Clients: whether a later connection to a host resumes the session of an earlier one; default true.
    TlsContext& session_resumption(bool value);

    explicit operator bool() const noexcept { return static_cast<bool>(state_); }
    bool is_server() const noexcept;
    /// "<TlsContext client>", "<TlsContext server>"; "<TlsContext>" of an empty handle.
    std::string repr() const;
    /// Same context.
    bool operator==(const TlsContext& other) const noexcept { return state_ == other.state_; }
    /// For the framework.
    const std::shared_ptr<io::TlsContextState>& state() const noexcept { return state_; }

private:
    explicit TlsContext(std::shared_ptr<io::TlsContextState> state) noexcept : state_(std::move(state)) {}
    std::shared_ptr<io::TlsContextState> state_;
};

namespace detail {

/// ValueError for a time-out of TLS where there is no TLS.
void check_tls_options(const TlsContext& context, const std::optional<Duration>& handshake_timeout,
                       const std::optional<Duration>& shutdown_timeout);

}  // namespace detail

/// How loop.start_tls() and StreamWriter::start_tls() upgrade.
class StartTlsOptions {
public:
    StartTlsOptions() = default;
    /// This end is the server; default: as the context is.
    StartTlsOptions& server_side(bool value) & { return server_side_ = value, *this; }
    StartTlsOptions&& server_side(bool value) && { return std::move(server_side(value)); }
    /// The name that the server's certificate must have.
    StartTlsOptions& server_hostname(std::string value) & { return server_hostname_ = std::move(value), *this; }
    StartTlsOptions&& server_hostname(std::string value) && { return std::move(server_hostname(std::move(value))); }
    /// Default 60 s; must be positive.
    StartTlsOptions& tls_handshake_timeout(Duration value) & { return handshake_timeout_ = value, *this; }
    StartTlsOptions&& tls_handshake_timeout(Duration value) && { return std::move(tls_handshake_timeout(value)); }
    /// How long closing waits for the peer's close_notify; default 30 s; must be positive.
    StartTlsOptions& tls_shutdown_timeout(Duration value) & { return shutdown_timeout_ = value, *this; }
    StartTlsOptions&& tls_shutdown_timeout(Duration value) && { return std::move(tls_shutdown_timeout(value)); }

    std::optional<bool> server_side() const noexcept { return server_side_; }
    const std::string& server_hostname() const noexcept { return server_hostname_; }
    Duration tls_handshake_timeout() const noexcept { return handshake_timeout_; }
    Duration tls_shutdown_timeout() const noexcept { return shutdown_timeout_; }

private:
    std::optional<bool> server_side_;
    std::string server_hostname_;
    Duration handshake_timeout_ = constants::tls_handshake_timeout;
    Duration shutdown_timeout_ = constants::tls_shutdown_timeout;
};

namespace io {

/// How one end of a connection speaks TLS.
class TlsParameters {
public:
    TlsContext context;
    bool server_side = false;
    std::string server_hostname;
    Duration handshake_timeout = constants::tls_handshake_timeout;
    Duration shutdown_timeout = constants::tls_shutdown_timeout;
};

}  // namespace io
}  // namespace weft
