// What a TlsContext sets, as connections see it.
#include "tls/tls_support.hpp"

#include <cstdlib>

using namespace weft;
using namespace weft::testing;

namespace {

class Agreement {
public:
    Agreement(TlsInfo client, TlsInfo server) : client(std::move(client)), server(std::move(server)) {}
    TlsInfo client;
    TlsInfo server;
};

/// Connects once, sends a byte there and back, and tells what each side knows.
Coro<Agreement> agree(TlsContext serving, ConnectionOptions connection) {
    TlsInfo at_server;
    const auto handler = [&at_server](StreamReader reader, StreamWriter writer) -> Coro<> {
        at_server = *writer.tls_info();
        co_await tls_echo(reader, writer);
    };
    Server server = co_await start_server(handler, "127.0.0.1", 0, ServerOptions().tls(serving));
    const int port = server.sockets().front().port();
    std::exception_ptr error;
    TlsInfo at_client;
    try {
        auto [reader, writer] = co_await open_connection("localhost", port, connection);
        at_client = *writer.tls_info();
        const std::string answer = co_await echo_of(reader, writer, "x");
        CHECK(answer == "x");
        writer.close();
        co_await writer.wait_closed();
    } catch (...) {
        error = std::current_exception();
    }
    co_await close_server(server);
    if (error) std::rethrow_exception(error);
    co_return Agreement(std::move(at_client), std::move(at_server));
}

ConnectionOptions with(const TlsContext& context) {
    return ConnectionOptions().tls(context);
}

}  // namespace

TEST_CASE("ALPN: the server takes the first of its own that the client offers") {
    run_on_each_backend([]() -> Coro<> {
        TlsContext serving = server_tls().set_alpn_protocols({"h2", "http/1.1"});
        TlsContext both = client_tls().set_alpn_protocols({"http/1.1", "h2"});
        const Agreement chosen = co_await agree(serving, with(both));
        CHECK(chosen.client.alpn == "h2");
        CHECK(chosen.server.alpn == "h2");
        TlsContext other = client_tls().set_alpn_protocols({"smtp"});
        const Agreement none = co_await agree(serving, with(other));
        CHECK(none.client.alpn == "");
        const Agreement silent = co_await agree(serving, with(client_tls()));
        CHECK(silent.client.alpn == "");
        CHECK(ending_of_call([&] { serving.set_alpn_protocols({""}); }) == "ValueError");
        CHECK(ending_of_call([&] { serving.set_alpn_protocols({std::string(256, 'x')}); }) == "ValueError");
    });
}

TEST_CASE("SNI: the server's callback gets the name and may give another context") {
    run_on_each_backend([]() -> Coro<> {
        std::vector<std::string> asked;
        TlsContext other = server_tls("other").set_alpn_protocols({"other"});
        TlsContext serving = server_tls();
        serving.set_servername_callback([&asked, other](const std::string& name) -> std::optional<TlsContext> {
            asked.push_back(name);
            if (name == "other.test") return other;
            return std::nullopt;
        });
        TlsContext client = client_tls().set_alpn_protocols({"other"});
        const Agreement chosen = co_await agree(serving, with(client).server_hostname("other.test"));
        CHECK(chosen.client.peer_certificate->subject_alt_names.front() == "DNS:other.test");
        CHECK(chosen.client.alpn == "other");
        CHECK(chosen.server.server_name == "other.test");
        const Agreement usual = co_await agree(serving, with(client));
        CHECK(usual.client.peer_certificate->subject_alt_names.front() == "DNS:localhost");
        CHECK(usual.client.alpn == "");
        CHECK(asked == std::vector<std::string>{"other.test", "localhost"});
    });
}

TEST_CASE("SNI: the chosen context decides whether the client must show a certificate") {
    run_on_each_backend([]() -> Coro<> {
        TlsContext strict = server_tls("other");
        strict.load_verify_locations(Certificates::instance().chain("ca")).verify_mode(TlsVerify::required);
        TlsContext serving = server_tls();
        serving.set_servername_callback([strict](const std::string&) -> std::optional<TlsContext> { return strict; });
        const std::string refused = co_await ending(agree(serving, with(client_tls()).server_hostname("other.test")));
        CHECK(refused == "TlsError");
        TlsContext known = client_tls();
        known.load_cert_chain(Certificates::instance().chain("client"), Certificates::instance().key("client"));
        const Agreement accepted = co_await agree(serving, with(known).server_hostname("other.test"));
        CHECK(accepted.server.peer_certificate);
    });
}

TEST_CASE("SNI: what the callback throws ends the handshake and is reported") {
    run_on_each_backend([]() -> Coro<> {
        const Reports reports(get_running_loop());
        TlsContext serving = server_tls();
        serving.set_servername_callback(
            [](const std::string&) -> std::optional<TlsContext> { throw RuntimeError("no such name"); });
        const std::string refused = co_await ending(agree(serving, with(client_tls())));
        CHECK(refused == "TlsError");
        REQUIRE(reports.size() == 1);
        CHECK(error_text(reports[0].exception) == "RuntimeError: no such name");
    });
}

TEST_CASE("mTLS: a required client certificate is verified and shown to the server") {
    run_on_each_backend([]() -> Coro<> {
        const Certificates& files = Certificates::instance();
        TlsContext serving = server_tls();
        serving.load_verify_locations(files.chain("ca")).verify_mode(TlsVerify::required);
        TlsContext known = client_tls().load_cert_chain(files.chain("client"), files.key("client"));
        const Agreement agreed = co_await agree(serving, with(known));
        REQUIRE(agreed.server.peer_certificate);
        CHECK(agreed.server.peer_certificate->issuer == "CN=Weft test authority");

        const auto without = co_await error_of(agree(serving, with(client_tls())));
        CHECK(error_text(without).find("certificate required") != std::string::npos);
        TlsContext stranger = client_tls().load_cert_chain(files.chain("lonely"), files.key("lonely"));
        const auto unknown = co_await error_of(agree(serving, with(stranger)));
        CHECK(error_text(unknown).find("unknown ca") != std::string::npos);

        serving.verify_mode(TlsVerify::optional);
        const Agreement anonymous = co_await agree(serving, with(client_tls()));
        CHECK_FALSE(anonymous.server.peer_certificate);
    });
}

TEST_CASE("a key that is encrypted needs its password") {
    const Certificates& files = Certificates::instance();
    const std::string key = files / "encrypted.key";
    const std::string command =
        "openssl ec -aes256 -passout pass:secret -in '" + files.key("server") + "' -out '" + key + "' 2> /dev/null";
    REQUIRE(std::system(command.c_str()) == 0);
    CHECK(ending_of_call([&] { TlsContext::server(files.chain("server"), key, "wrong"); }) == "TlsError");
    CHECK(ending_of_call([&] { TlsContext::server(files.chain("server"), key); }) == "TlsError");
    run_on_each_backend([&]() -> Coro<> {
        const TlsContext serving = TlsContext::server(files.chain("server"), key, "secret");
        const Agreement agreed = co_await agree(serving, with(client_tls()));
        CHECK(agreed.client.peer_certificate->subject == "CN=localhost");
    });
}

TEST_CASE("what is TLS's alone is refused without it") {
    run_on_each_backend([]() -> Coro<> {
        const auto handler = [](StreamReader, StreamWriter) {};
        const ServerOptions server = ServerOptions().tls_shutdown_timeout(1s);
        const auto served = co_await error_of(start_server(handler, "127.0.0.1", 0, server));
        CHECK(error_text(served) == "ValueError: tls_shutdown_timeout is only meaningful with tls");
        const ConnectionOptions client = ConnectionOptions().tls_handshake_timeout(1s);
        const auto connected = co_await error_of(open_connection("127.0.0.1", 1, client));
        CHECK(error_text(connected) == "ValueError: tls_handshake_timeout is only meaningful with tls");
        const auto named = co_await error_of(open_connection("127.0.0.1", 1, ConnectionOptions().server_hostname("x")));
        CHECK(error_text(named) == "ValueError: server_hostname is only meaningful with tls");
    });
}

TEST_CASE("a client context keeps sessions by server name and resumes them") {
    run_on_each_backend([]() -> Coro<> {
        Server server = co_await start_server(tls_echo, "127.0.0.1", 0, ServerOptions().tls(server_tls()));
        const int port = server.sockets().front().port();
        const auto visit = [port](ConnectionOptions options) -> Coro<TlsInfo> {
            auto [reader, writer] = co_await open_connection("localhost", port, options);
            const std::string answer = co_await echo_of(reader, writer, "x");
            CHECK(answer == "x");
            TlsInfo info = *writer.tls_info();
            writer.close();
            co_await writer.wait_closed();
            co_return info;
        };
        TlsContext client = client_tls();
        const TlsInfo first = co_await visit(with(client));
        CHECK_FALSE(first.session_reused);
        const TlsInfo second = co_await visit(with(client));
        CHECK(second.session_reused);
        CHECK(second.peer_certificate->subject == "CN=localhost");
        const TlsInfo other_name = co_await visit(with(client).server_hostname("127.0.0.1"));
        CHECK_FALSE(other_name.session_reused);
        const TlsInfo other_context = co_await visit(with(client_tls()));
        CHECK_FALSE(other_context.session_reused);
        client.session_resumption(false);
        const TlsInfo off = co_await visit(with(client));
        CHECK_FALSE(off.session_reused);
        co_await close_server(server);
    });
}

TEST_CASE("a name that cannot be checked is refused, not skipped") {
    run_on_each_backend([]() -> Coro<> {
        const std::string with_zero("localhost\0.test", 15);
        const std::string zero = co_await ending(agree(server_tls(), with(client_tls()).server_hostname(with_zero)));
        CHECK(zero == "ValueError");
        // An address with a zone is compared without it: here with those of a certificate that lacks it.
        const std::string zone = co_await ending(agree(server_tls(), with(client_tls()).server_hostname("fe80::1%1")));
        CHECK(zone == "TlsCertificateError");
        const std::string longest(300, 'x');
        const std::string too_long = co_await ending(agree(server_tls(), with(client_tls()).server_hostname(longest)));
        CHECK(too_long == "ValueError");
    });
}
