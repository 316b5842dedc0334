#include "tls/tls_support.hpp"

#include <array>
#include <cstdio>
#include <functional>

using namespace weft;
using namespace weft::testing;

TEST_CASE("TLS: an echo, and what both ends know of it") {
    run_on_each_backend([]() -> Coro<> {
        std::optional<TlsInfo> seen_by_server;
        const auto handler = [&](StreamReader reader, StreamWriter writer) -> Coro<> {
            seen_by_server = writer.tls_info();
            co_await tls_echo(reader, writer);
        };
        Server server = co_await start_server(handler, "127.0.0.1", 0, ServerOptions().tls(server_tls()));
        const int port = server.sockets().front().port();
        auto [reader, writer] = co_await open_connection("localhost", port, ConnectionOptions().tls(client_tls()));
        const std::string answer = co_await echo_of(reader, writer, "hello");
        CHECK(answer == "hello");
        const auto info = writer.tls_info();
        REQUIRE(info);
        CHECK(info->version == "TLSv1.3");
        CHECK_FALSE(info->cipher.empty());
        CHECK(info->server_name == "localhost");
        REQUIRE(info->peer_certificate);
        CHECK(info->peer_certificate->subject == "CN=localhost");
        CHECK(info->peer_certificate->issuer == "CN=Weft test authority");
        CHECK(info->peer_certificate->subject_alt_names ==
              std::vector<std::string>{"DNS:localhost", "IP:127.0.0.1", "DNS:*.weft.test"});
        CHECK(writer.get_extra_info("cipher") == info->cipher);
        CHECK(writer.get_extra_info("sslcontext") == "<TlsContext client>");
        CHECK(writer.tls_context());
        CHECK_FALSE(writer.tls_context().is_server());
        CHECK(writer.get_extra_info("peercert")->find("CN=localhost") != std::string::npos);
        CHECK(writer.peername() == server.sockets().front());
        CHECK_FALSE(writer.can_write_eof());
        CHECK(ending_of_call([&] { writer.write_eof(); }) == "RuntimeError");
        writer.close();
        co_await writer.wait_closed();
        REQUIRE(seen_by_server);
        CHECK(seen_by_server->server_name == "localhost");
        CHECK_FALSE(seen_by_server->peer_certificate);
        co_await close_server(server);
    });
}

TEST_CASE("TLS: a connection by address checks the certificate's addresses") {
    run_on_each_backend([]() -> Coro<> {
        Server server = co_await start_server(tls_echo, "127.0.0.1", 0, ServerOptions().tls(server_tls()));
        const int port = server.sockets().front().port();
        auto [reader, writer] = co_await open_connection("127.0.0.1", port, ConnectionOptions().tls(client_tls()));
        const std::string answer = co_await echo_of(reader, writer, "x");
        CHECK(answer == "x");
        writer.close();
        co_await writer.wait_closed();
        co_await close_server(server);
    });
}

TEST_CASE("rule 105: a bad certificate is an error that says what is wrong with it, and no connection_made or lost") {
    struct Case {
        const char* certificate;
        const char* host;
        const char* says;
    };
    class Watcher : public Protocol {
    public:
        explicit Watcher(int& calls) : calls_(calls) {}
        void connection_made(std::shared_ptr<Transport>) override { ++calls_; }
        void connection_lost(std::exception_ptr) override { ++calls_; }

    private:
        int& calls_;
    };
    for (const Case& each : {Case{"expired", "localhost", "certificate has expired"},
                             Case{"lonely", "localhost", "self-signed certificate"},
                             Case{"other", "localhost", "not valid for 'localhost'"}}) {
        CAPTURE(each.certificate);
        run_on_each_backend([&]() -> Coro<> {
            EventLoop& loop = get_running_loop();
            int calls = 0;
            const auto server_side = [&] { return std::make_shared<Watcher>(calls); };
            ServerOptions server_options;
            server_options.tls(server_tls(each.certificate));
            Server server = co_await loop.create_server(server_side, "127.0.0.1", 0, server_options);
            const int port = server.sockets().front().port();
            ConnectionOptions options;
            options.tls(client_tls()).server_hostname(each.host);
            const auto factory = [&] { return std::make_shared<Watcher>(calls); };
            const auto error = co_await error_of(loop.create_connection(factory, "127.0.0.1", port, options));
            CHECK(error_type(error) == "TlsCertificateError");
            CHECK(error_text(error).find(each.says) != std::string::npos);
            co_await close_server(server);
            CHECK(calls == 0);
        });
    }
}

TEST_CASE("TLS: an unknown authority is not trusted; without verification it does not matter") {
    run_on_each_backend([]() -> Coro<> {
        Server server = co_await start_server(tls_echo, "127.0.0.1", 0, ServerOptions().tls(server_tls()));
        const int port = server.sockets().front().port();
        const auto error =
            co_await error_of(open_connection("localhost", port, ConnectionOptions().tls(TlsContext::client())));
        CHECK(error_text(error).find("unable to get local issuer certificate") != std::string::npos);
        TlsContext careless = TlsContext::client();
        careless.verify_mode(TlsVerify::none).check_hostname(false);
        auto [reader, writer] = co_await open_connection("localhost", port, ConnectionOptions().tls(careless));
        const std::string answer = co_await echo_of(reader, writer, "x");
        CHECK(answer == "x");
        writer.close();
        co_await close_server(server);
    });
}

TEST_CASE("rule 105: a peer that is silent in the handshake is a ConnectionAbortedError after the time-out") {
    run_simulated([]() -> Coro<> {
        bool ended = false;
        const auto silent = [&](StreamReader reader, StreamWriter writer) -> Coro<> {
            while (true) {
                const Bytes data = co_await reader.read(65536);
                if (data.empty()) break;
            }
            ended = true;
            writer.close();
        };
        EventLoop& loop = get_running_loop();
        Server server = co_await start_server(silent, "127.0.0.1", 80);
        const TimePoint begin = loop.time();
        ConnectionOptions options;
        options.tls(client_tls()).tls_handshake_timeout(2s);
        const auto error = co_await error_of(open_connection("localhost", 80, options));
        CHECK(error_text(error).find("SSL handshake is taking longer than 2.0 seconds") != std::string::npos);
        CHECK(error_type(error) == "ConnectionAbortedError");
        CHECK(loop.time() - begin == 2s);
        co_await close_server(server);
        CHECK(ended);
    });
}

TEST_CASE("rule 105: a peer that goes in the handshake is a ConnectionResetError") {
    run_on_each_backend([]() -> Coro<> {
        const auto rude = [](StreamReader reader, StreamWriter writer) -> Coro<> {
            (void)co_await reader.read(10);
            writer.transport().abort();
        };
        Server server = co_await start_server(rude, "127.0.0.1", 0);
        const auto error = co_await error_of(
            open_connection("localhost", server.sockets().front().port(), ConnectionOptions().tls(client_tls())));
        CHECK(error_type(error) == "ConnectionResetError");
        co_await close_server(server);
    });
}

TEST_CASE("TLS: a server that speaks plain text is a TlsError that says so") {
    run_on_each_backend([]() -> Coro<> {
        const auto plain = [](StreamReader, StreamWriter writer) -> Coro<> {
            writer.write("220 smtp.example.org ready\r\n");
            co_await writer.drain();
            co_await sleep(1s);
        };
        Server server = co_await start_server(plain, "127.0.0.1", 0);
        const auto error = co_await error_of(
            open_connection("localhost", server.sockets().front().port(), ConnectionOptions().tls(client_tls())));
        CHECK(error_type(error) == "TlsError");
        CHECK(error_text(error).find("wrong version number (the peer does not seem to speak TLS)") !=
              std::string::npos);
        server.close();
        server.close_clients();
        co_await server.wait_closed();
    });
}

TEST_CASE("TLS: clients that send plain text, garbage or nothing do not reach the application and are let go") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        int connections = 0;
        const auto handler = [&](StreamReader, StreamWriter) { ++connections; };
        ServerOptions options;
        options.tls(server_tls()).tls_handshake_timeout(5s);
        Server server = co_await start_server(handler, "127.0.0.1", 80, options);
        std::vector<std::string> told;
        loop.set_debug(true);
        loop.set_exception_handler([&](EventLoop&, const ExceptionContext& context) {
            CHECK(context.message == "Error on transport creation for incoming connection");
            told.push_back(error_text(context.exception));
        });
        for (const char* text : {"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01garbage, and more of it"}) {
            auto [reader, writer] = co_await open_connection("127.0.0.1", 80);
            writer.write(text);
            const Bytes answer = co_await reader.read(-1);  // an alert at most, and the end
            CHECK(answer.size() <= 7);
            writer.close();
        }
        auto [reader, writer] = co_await open_connection("127.0.0.1", 80);
        const TimePoint begin = loop.time();
        const Bytes nothing = co_await reader.read(-1);
        CHECK(nothing.empty());
        CHECK(loop.time() - begin == 5s);
        writer.close();
        server.close();
        co_await server.wait_closed();
        loop.set_debug(false);
        CHECK(connections == 0);
        loop.set_exception_handler(nullptr);
        REQUIRE(told.size() == 3);
        CHECK(told[0].find("TLS handshake failed: http request") != std::string::npos);
        CHECK(told[2].find("longer than 5.0 seconds") != std::string::npos);
    });
}

TEST_CASE("rule 106: close flushes, says close_notify, and waits for the peer's; both ends end in order") {
    run_on_each_backend([]() -> Coro<> {
        std::string received;
        std::exception_ptr server_error;
        const auto handler = [&](StreamReader reader, StreamWriter writer) -> Coro<> {
            const Bytes data = co_await reader.read(-1);
            received = data.str();
            writer.close();
            server_error = co_await error_of(writer.wait_closed());
        };
        Server server = co_await start_server(handler, "127.0.0.1", 0, ServerOptions().tls(server_tls()));
        const int port = server.sockets().front().port();
        auto [reader, writer] = co_await open_connection("localhost", port, ConnectionOptions().tls(client_tls()));
        const std::string much(3'000'000, 'x');
        writer.write(much);
        writer.close();
        CHECK(writer.is_closing());
        writer.write("dropped");
        co_await writer.wait_closed();
        co_await close_server(server);
        CHECK((received == much));
        CHECK_FALSE(server_error);
    });
}

TEST_CASE("rule 106: a peer that does not answer close_notify is a TimeoutError after the shutdown time-out") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        // Two connections joined: what the client sends reaches the server, until the middle stops listening.
        Server server = co_await start_server(tls_echo, "127.0.0.1", 80, ServerOptions().tls(server_tls()));
        const auto middle = [](StreamReader reader, StreamWriter writer) -> Coro<> {
            auto [far_reader, far_writer] = co_await open_connection("127.0.0.1", 80);
            const auto copy = [](StreamReader from, StreamWriter to) -> Coro<> {
                while (true) {
                    const Bytes data = co_await from.read(65536);
                    if (data.empty()) break;
                    to.write(data);
                }
            };
            Task<> back = create_task(copy, far_reader, writer);
            Task<> there = create_task(copy, reader, far_writer);
            co_await sleep(1s);
            there.cancel();
            back.cancel();
            co_await sleep(1h);
        };
        Server proxy = co_await start_server(middle, "127.0.0.1", 81);
        ConnectionOptions options;
        options.tls(client_tls()).tls_shutdown_timeout(3s);
        auto [reader, writer] = co_await open_connection("localhost", 81, options);
        const std::string answer = co_await echo_of(reader, writer, "x");
        CHECK(answer == "x");
        co_await sleep(2s);
        const TimePoint begin = loop.time();
        writer.close();
        const auto error = co_await error_of(writer.wait_closed());
        CHECK(error_text(error).find("SSL shutdown timed out") != std::string::npos);
        CHECK(error_type(error) == "TimeoutError");
        CHECK(loop.time() - begin == 3s);
        proxy.close();
        server.close();
    });
}

TEST_CASE("rule 106: what the peer wrote before its close_notify is delivered, and what is written then still goes") {
    run_on_each_backend([]() -> Coro<> {
        std::string trailing;
        const auto handler = [&](StreamReader reader, StreamWriter writer) -> Coro<> {
            const Bytes first = co_await reader.readexactly(4);
            writer.write(first);
            writer.write("last words");
            writer.close();
            co_await error_of(writer.wait_closed());
        };
        Server server = co_await start_server(handler, "127.0.0.1", 0, ServerOptions().tls(server_tls()));
        const int port = server.sockets().front().port();
        auto [reader, writer] = co_await open_connection("localhost", port, ConnectionOptions().tls(client_tls()));
        writer.write("ping");
        const Bytes all = co_await reader.read(-1);
        CHECK(all.str() == "pinglast words");
        CHECK(reader.at_eof());
        co_await writer.wait_closed();
        co_await close_server(server);
    });
}

namespace {

/// A connection whose TLS runs on a plain one, which a test may end below it.
Coro<std::tuple<StreamReader, StreamWriter, std::shared_ptr<Transport>>> open_upgraded(int port) {
    auto [reader, writer] = co_await open_connection("127.0.0.1", port);
    std::shared_ptr<Transport> plain = writer.state()->shared_transport();
    co_await writer.start_tls(client_tls(), StartTlsOptions().server_hostname("localhost"));
    co_return std::make_tuple(std::move(reader), std::move(writer), std::move(plain));
}

}  // namespace

TEST_CASE("TLS: a connection that ends without close_notify is an error of its own: it may have been cut") {
    run_on_each_backend([]() -> Coro<> {
        std::exception_ptr seen;
        const auto handler = [&](StreamReader reader, StreamWriter) -> Coro<> {
            const Bytes first = co_await reader.readexactly(4);
            CHECK(first.str() == "ping");
            seen = co_await error_of(reader.read(-1));
        };
        Server server = co_await start_server(handler, "127.0.0.1", 0, ServerOptions().tls(server_tls()));
        const int port = server.sockets().front().port();
        auto [reader, writer, plain] = co_await open_upgraded(port);
        writer.write("ping");
        plain->write_eof();
        while (!seen)
            co_await sleep(1ms);
        CHECK(error_type(seen) == "TlsEofError");
        CHECK(error_text(seen).find("truncated") != std::string::npos);
        plain->abort();
        co_await close_server(server);
    });
}

TEST_CASE("TLS: a peer that ends its direction without close_notify still gets what was written") {
    run_real([]() -> Coro<> {
        const std::string much(4'000'000, 'x');
        std::exception_ptr seen;
        const auto handler = [&](StreamReader reader, StreamWriter writer) -> Coro<> {
            (void)co_await reader.readexactly(4);
            writer.write(much);
            seen = co_await error_of(reader.read(-1));
        };
        Server server = co_await start_server(handler, "127.0.0.1", 0, ServerOptions().tls(server_tls()));
        auto [reader, writer, plain] = co_await open_upgraded(server.sockets().front().port());
        writer.write("ping");
        plain->write_eof();
        const Bytes all = co_await reader.readexactly(much.size());
        CHECK(all == much);
        while (!seen)
            co_await sleep(1ms);
        CHECK(error_type(seen) == "TlsEofError");
        plain->abort();
        co_await close_server(server);
    });
}

TEST_CASE("TLS: without a name to check none is asked for") {
    run_on_each_backend([]() -> Coro<> {
        std::string asked = "?";
        const auto handler = [&](StreamReader reader, StreamWriter writer) -> Coro<> {
            asked = writer.tls_info()->server_name;
            co_await tls_echo(reader, writer);
        };
        Server server = co_await start_server(handler, "127.0.0.1", 0, ServerOptions().tls(server_tls()));
        const int port = server.sockets().front().port();
        TlsContext trusting = client_tls();
        trusting.check_hostname(false);
        auto [reader, writer] =
            co_await open_connection("localhost", port, ConnectionOptions().tls(trusting).server_hostname(""));
        const std::string answer = co_await echo_of(reader, writer, "hello");
        CHECK(answer == "hello");
        CHECK(asked.empty());
        writer.close();
        co_await writer.wait_closed();
        const std::string checked = co_await ending(
            open_connection("localhost", port, ConnectionOptions().tls(client_tls()).server_hostname("")));
        CHECK(checked == "ValueError");
        const std::string plain =
            co_await ending(open_connection("localhost", port, ConnectionOptions().server_hostname("")));
        CHECK(plain == "ValueError");
        co_await close_server(server);
    });
}

TEST_CASE("TLS: closing over a transport that was ended below is reported, and ends the connection") {
    run_on_each_backend([]() -> Coro<> {
        const Reports reports(get_running_loop());
        std::exception_ptr seen;
        const auto handler = [&](StreamReader reader, StreamWriter) -> Coro<> {
            seen = co_await error_of(reader.read(-1));
        };
        Server server = co_await start_server(handler, "127.0.0.1", 0, ServerOptions().tls(server_tls()));
        const int port = server.sockets().front().port();
        {
            auto [reader, writer, plain] = co_await open_upgraded(port);
            plain->write_eof();
            // The writer's end closes: the close_notify has no way any more.
        }
        CHECK(reports.messages() == "Fatal error: the transport below TLS cannot be written to");
        CHECK(error_text(reports[0].exception).find("after write_eof()") != std::string::npos);
        while (!seen)
            co_await sleep(1ms);
        co_await close_server(server);
        get_running_loop().set_exception_handler(nullptr);
    });
}

TEST_CASE("TLS: a handshake whose last flight cannot be written has failed") {
    run_simulated([]() -> Coro<> {
        const Reports reports(get_running_loop());
        std::shared_ptr<Transport> plain;
        TlsContext serving = server_tls();
        // The client's hello is there, its last flight is not made yet.
        serving.set_servername_callback([&plain](const std::string&) -> std::optional<TlsContext> {
            plain->write_eof();
            return std::nullopt;
        });
        Server server = co_await start_server(tls_echo, "127.0.0.1", 0, ServerOptions().tls(serving));
        const int port = server.sockets().front().port();
        auto [reader, writer] = co_await open_connection("127.0.0.1", port);
        plain = writer.state()->shared_transport();
        const auto options = StartTlsOptions().server_hostname("localhost");
        const std::string end = co_await ending(writer.start_tls(client_tls(), options));
        CHECK(end == "RuntimeError");
        CHECK(reports.messages() == "Fatal error: the transport below TLS cannot be written to");
        co_await close_server(server);
        get_running_loop().set_exception_handler(nullptr);
    });
}

TEST_CASE("TLS: an answer to the peer's close_notify that cannot be written is told by connection_lost") {
    run_simulated([]() -> Coro<> {
        const Reports reports(get_running_loop());
        std::shared_ptr<Transport> plain;
        const auto handler = [&plain](StreamReader, StreamWriter writer) -> Coro<> {
            writer.close();
            plain->write_eof();  // the close_notify is on its way
            co_await error_of(writer.wait_closed());
        };
        Server server = co_await start_server(handler, "127.0.0.1", 0, ServerOptions().tls(server_tls()));
        const int port = server.sockets().front().port();
        auto [reader, writer] = co_await open_connection("127.0.0.1", port);
        plain = writer.state()->shared_transport();
        co_await writer.start_tls(client_tls(), StartTlsOptions().server_hostname("localhost"));
        const std::string end = co_await ending(writer.wait_closed());
        CHECK(end == "RuntimeError");
        CHECK(reports.messages() == "Fatal error: the transport below TLS cannot be written to");
        co_await close_server(server);
        get_running_loop().set_exception_handler(nullptr);
    });
}

TEST_CASE("TLS: abort drops what is buffered and says no close_notify") {
    run_on_each_backend([]() -> Coro<> {
        std::exception_ptr seen;
        const auto handler = [&](StreamReader reader, StreamWriter) -> Coro<> {
            seen = co_await error_of(reader.read(-1));
            if (!seen) seen = std::make_exception_ptr(RuntimeError("an orderly end"));
        };
        Server server = co_await start_server(handler, "127.0.0.1", 0, ServerOptions().tls(server_tls()));
        const int port = server.sockets().front().port();
        auto [reader, writer] = co_await open_connection("localhost", port, ConnectionOptions().tls(client_tls()));
        writer.transport().abort();
        co_await writer.wait_closed();
        while (!seen)
            co_await sleep(1ms);
        CHECK(error_type(seen) != "RuntimeError");
        co_await close_server(server);
    });
}

TEST_CASE("rule 104: close_clients and abort_clients reach connections with TLS") {
    run_on_each_backend([]() -> Coro<> {
        Server server = co_await start_server(tls_echo, "127.0.0.1", 0, ServerOptions().tls(server_tls()));
        const int port = server.sockets().front().port();
        const ConnectionOptions options = ConnectionOptions().tls(client_tls());
        auto [reader, writer] = co_await open_connection("localhost", port, options);
        std::string answer = co_await echo_of(reader, writer, "x");
        server.close_clients();
        const Bytes end = co_await reader.read(-1);  // in order: with close_notify
        CHECK(end.empty());
        auto [reader2, writer2] = co_await open_connection("localhost", port, options);
        answer = co_await echo_of(reader2, writer2, "x");
        server.close();
        server.abort_clients();
        co_await server.wait_closed();
        const std::string cut = co_await ending(reader2.read(-1));
        CHECK(cut != "ok");
    });
}

TEST_CASE("TLS: options that do not fit together are a ValueError") {
    run_on_each_backend([]() -> Coro<> {
        const std::string no_tls =
            co_await ending(open_connection("127.0.0.1", 1, ConnectionOptions().server_hostname("x")));
        CHECK(no_tls == "ValueError");
        const std::string no_host = co_await ending(open_unix_connection("/x", ConnectionOptions().tls(client_tls())));
        CHECK(no_host == "ValueError");
        const std::string server_context =
            co_await ending(open_connection("127.0.0.1", 1, ConnectionOptions().tls(server_tls())));
        CHECK(server_context == "ValueError");
        const std::string client_context =
            co_await ending(start_server(tls_echo, "127.0.0.1", 0, ServerOptions().tls(client_tls())));
        CHECK(client_context == "ValueError");
        const std::string no_time = co_await ending(
            open_connection("127.0.0.1", 1, ConnectionOptions().tls(client_tls()).tls_handshake_timeout(0s)));
        CHECK(no_time == "ValueError");
    });
}

TEST_CASE("TlsContext: files that are not what they should be are a TlsError with their name") {
    const Certificates& files = Certificates::instance();
    const std::string missing =
        error_of_call([&] { (void)TlsContext::server(files / "none.pem", files.key("server")); });
    CHECK(missing.find("none.pem") != std::string::npos);
    CHECK(missing.find("TlsError") == 0);
    const std::string mismatch =
        error_of_call([&] { (void)TlsContext::server(files.chain("server"), files.key("client")); });
    CHECK(mismatch.find("client.key") != std::string::npos);
    CHECK(ending_of_call([&] { client_tls().load_verify_locations(files / "none.pem"); }) == "TlsError");
    CHECK(ending_of_call([&] { client_tls().load_verify_data("nothing"); }) == "TlsError");
    CHECK(ending_of_call([&] { client_tls().set_alpn_protocols({""}); }) == "ValueError");
    CHECK(ending_of_call([&] { client_tls().set_ciphers("no such cipher"); }) == "TlsError");
    CHECK(ending_of_call([] { TlsContext().check_hostname(true); }) == "RuntimeError");
}

TEST_CASE("TLS: back-pressure both ways: a megabyte waits for a slow reader, and pauses the writer") {
    run_on_each_backend([]() -> Coro<> {
        const auto slow = [](StreamReader reader, StreamWriter writer) -> Coro<> {
            std::size_t count = 0;
            while (count < 4'000'000) {
                const Bytes data = co_await reader.read(100'000);
                if (data.empty()) break;
                count += data.size();
                co_await sleep(100us);
            }
            writer.write(std::to_string(count));
            writer.close();
        };
        Server server = co_await start_server(slow, "127.0.0.1", 0, ServerOptions().tls(server_tls()).limit(10'000));
        const int port = server.sockets().front().port();
        auto [reader, writer] = co_await open_connection("localhost", port, ConnectionOptions().tls(client_tls()));
        const std::string piece(100'000, 'x');
        std::size_t most = 0;
        for (int i = 0; i < 40; ++i) {
            writer.write(piece);
            most = std::max(most, writer.transport().get_write_buffer_size());
            co_await writer.drain();
        }
        CHECK(most < 1'000'000);
        const Bytes count = co_await reader.read(-1);
        CHECK(count.str() == "4000000");
        writer.close();
        co_await close_server(server);
    });
}

TEST_CASE("TLS: a BufferedProtocol is decrypted into its own memory") {
    class Into : public BufferedProtocol {
    public:
        std::span<std::byte> get_buffer(std::size_t) override { return memory_; }
        void buffer_updated(std::size_t count) override {
            text.append(reinterpret_cast<const char*>(memory_.data()), count);
        }
        std::string text;

    private:
        std::array<std::byte, 7> memory_;
    };
    run_on_each_backend([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Server server = co_await start_server(tls_echo, "127.0.0.1", 0, ServerOptions().tls(server_tls()));
        const auto factory = [] { return std::make_shared<Into>(); };
        auto [transport, protocol] = co_await loop.create_connection(
            factory, "localhost", server.sockets().front().port(), ConnectionOptions().tls(client_tls()));
        transport->write("a text that is longer than the buffer");
        while (protocol->text.size() < 37)
            co_await sleep(1ms);
        CHECK(protocol->text == "a text that is longer than the buffer");
        transport->close();
        co_await close_server(server);
    });
}

TEST_CASE("TLS: pausing in data_received holds the rest back until resume") {
    class Pausing : public Protocol {
    public:
        void connection_made(std::shared_ptr<Transport> transport) override { transport_ = transport; }
        void data_received(std::span<const std::byte> data) override {
            count += data.size();
            ++calls;
            transport_->pause_reading();
            paused_at = count;
        }
        std::shared_ptr<Transport> transport_;
        std::size_t count = 0;
        std::size_t paused_at = 0;
        int calls = 0;
    };
    run_on_each_backend([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const auto handler = [](StreamReader reader, StreamWriter writer) -> Coro<> {
            writer.write(std::string(1'000'000, 'x'));
            (void)co_await reader.read(-1);
            writer.close();
        };
        Server server = co_await start_server(handler, "127.0.0.1", 0, ServerOptions().tls(server_tls()));
        const auto factory = [] { return std::make_shared<Pausing>(); };
        auto [transport, protocol] = co_await loop.create_connection(
            factory, "localhost", server.sockets().front().port(), ConnectionOptions().tls(client_tls()));
        while (protocol->calls == 0)
            co_await sleep(1ms);
        co_await sleep(20ms);
        CHECK(protocol->calls == 1);
        CHECK_FALSE(transport->is_reading());
        while (protocol->count < 1'000'000) {
            transport->resume_reading();
            co_await sleep(100us);
        }
        CHECK(protocol->count == 1'000'000);
        transport->close();
        co_await close_server(server);
    });
}

TEST_CASE("TLS: closing the loop in the middle of everything leaks nothing") {
    for (int steps = 0; steps < 40; ++steps) {
        auto loop = make_simulated_loop();
        loop->set_exception_handler([](EventLoop&, const ExceptionContext&) {});
        const auto program = []() -> Coro<> {
            Server server = co_await start_server(tls_echo, "127.0.0.1", 80, ServerOptions().tls(server_tls()));
            auto [reader, writer] = co_await open_connection("localhost", 80, ConnectionOptions().tls(client_tls()));
            (void)co_await echo_of(reader, writer, "x");
            writer.close();
            co_await writer.wait_closed();
            server.close();
        };
        Task<> task = loop->create_task(program());
        for (int i = 0; i < steps && !task.done(); ++i) {
            loop->stop();
            loop->run_forever();
        }
        loop->close();
    }
}

namespace {

/// A TLS client by callbacks, whose reactions a test gives.
class Talker : public Protocol {
public:
    void connection_made(std::shared_ptr<Transport> transport) override { transport_ = std::move(transport); }
    void data_received(std::span<const std::byte> data) override {
        received.append(data);
        ++calls;
        if (on_data) on_data(*transport_);
    }
    bool eof_received() override {
        ended = true;
        return false;
    }
    void pause_writing() override {
        if (on_pause) on_pause(*transport_);
    }
    void connection_lost(std::exception_ptr error) override {
        lost = true;
        reason = std::move(error);
    }
    std::function<void(Transport&)> on_data;
    std::function<void(Transport&)> on_pause;
    Bytes received;
    int calls = 0;
    bool ended = false;
    bool lost = false;
    std::exception_ptr reason;

private:
    std::shared_ptr<Transport> transport_;
};

}  // namespace

TEST_CASE("TLS: what is written in pause_writing follows what made it pause") {
    run_on_each_backend([]() -> Coro<> {
        std::string seen;
        std::exception_ptr server_error;
        const auto handler = [&](StreamReader reader, StreamWriter writer) -> Coro<> {
            co_await sleep(20ms);
            const Bytes data = co_await reader.read(-1);
            seen = data.str();
            writer.close();
            server_error = co_await error_of(writer.wait_closed());
        };
        Server server = co_await start_server(handler, "127.0.0.1", 0, ServerOptions().tls(server_tls()));
        const auto factory = [] { return std::make_shared<Talker>(); };
        auto [transport, talker] = co_await get_running_loop().create_connection(
            factory, "localhost", server.sockets().front().port(), ConnectionOptions().tls(client_tls()));
        int pauses = 0;
        talker->on_pause = [&pauses](Transport& to) {
            if (++pauses > 1) return;
            to.write("too slow");
            to.close();
        };
        const std::string much(6'000'000, 'x');
        transport->write(much);
        CHECK(pauses == 1);
        while (!talker->lost)
            co_await sleep(1ms);
        CHECK_FALSE(talker->reason);
        co_await close_server(server);
        CHECK((seen == much + "too slow"));
        CHECK_FALSE(server_error);
    });
}

TEST_CASE("TLS: after abort() the protocol is told nothing but the end") {
    run_on_each_backend([]() -> Coro<> {
        const auto handler = [](StreamReader, StreamWriter writer) -> Coro<> {
            writer.write(std::string(200'000, 'x'));
            writer.close();
            (void)co_await error_of(writer.wait_closed());
        };
        Server server = co_await start_server(handler, "127.0.0.1", 0, ServerOptions().tls(server_tls()));
        std::shared_ptr<Talker> talker;
        auto make_talker = [&talker] {
            talker = std::make_shared<Talker>();
            talker->on_data = [](Transport& transport) { transport.abort(); };
            return talker;
        };
        co_await get_running_loop().create_connection(make_talker, "localhost", server.sockets().front().port(),
                                                      ConnectionOptions().tls(client_tls()));
        while (!talker->lost)
            co_await sleep(1ms);
        CHECK(talker->calls == 1);
        CHECK_FALSE(talker->ended);
        CHECK_FALSE(talker->reason);
        co_await close_server(server);
    });
}

TEST_CASE("rule 106: a BufferedProtocol gets what the peer sent before its close_notify, also after its own close()") {
    class Into : public BufferedProtocol {
    public:
        void connection_made(std::shared_ptr<Transport> transport) override { transport_ = std::move(transport); }
        std::span<std::byte> get_buffer(std::size_t) override { return memory_; }
        void buffer_updated(std::size_t count) override {
            received += count;
            transport_->close();
        }
        void connection_lost(std::exception_ptr error) override {
            lost = true;
            reason = std::move(error);
        }
        std::size_t received = 0;
        bool lost = false;
        std::exception_ptr reason;

    private:
        std::shared_ptr<Transport> transport_;
        std::array<std::byte, 1000> memory_;
    };
    run_on_each_backend([]() -> Coro<> {
        const auto handler = [](StreamReader reader, StreamWriter writer) -> Coro<> {
            writer.write(std::string(1'000'000, 'x'));
            (void)co_await error_of(reader.read(-1));
            (void)co_await error_of(writer.wait_closed());
        };
        Server server = co_await start_server(handler, "127.0.0.1", 0, ServerOptions().tls(server_tls()));
        std::shared_ptr<Into> protocol;
        const auto factory = [&protocol] { return protocol = std::make_shared<Into>(); };
        co_await get_running_loop().create_connection(factory, "localhost", server.sockets().front().port(),
                                                      ConnectionOptions().tls(client_tls()));
        while (!protocol->lost)
            co_await sleep(1ms);
        CHECK(protocol->received == 1'000'000);
        CHECK_FALSE(protocol->reason);
        co_await close_server(server);
    });
}

TEST_CASE("rule 108: sendfile over TLS sends by pieces, and forbids concurrent writes and a second file") {
    std::string contents;
    for (int i = 0; contents.size() < 16'000'000; ++i)
        contents += std::to_string(i) + ",";
    std::FILE* const file = std::tmpfile();
    REQUIRE(file);
    REQUIRE(std::fwrite(contents.data(), 1, contents.size(), file) == contents.size());
    REQUIRE(std::fflush(file) == 0);
    const int descriptor = ::fileno(file);
    run_on_each_backend([&]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        std::string seen;
        const auto handler = [&seen](StreamReader reader, StreamWriter writer) -> Coro<> {
            co_await sleep(20ms);
            const Bytes data = co_await reader.read(-1);
            seen = data.str();
            writer.close();
        };
        Server server = co_await start_server(handler, "127.0.0.1", 0, ServerOptions().tls(server_tls()));
        const auto factory = [] { return std::make_shared<Talker>(); };
        auto [transport, talker] = co_await loop.create_connection(
            factory, "localhost", server.sockets().front().port(), ConnectionOptions().tls(client_tls()));
        Task<std::size_t> sending = create_task(loop.sendfile(transport, descriptor));
        co_await turns(5);
        REQUIRE_FALSE(sending.done());
        const auto& busy = transport;
        CHECK(error_of_call([&busy] { busy->write("x"); }) == "RuntimeError: unable to write; sendfile is in progress");
        const std::string second = co_await ending(loop.sendfile(transport, descriptor));
        CHECK(second == "RuntimeError");
        const std::size_t sent = co_await sending;
        CHECK(sent == contents.size());
        CHECK(transport->get_protocol() == talker);
        transport->write("!");
        transport->close();
        while (!talker->lost)
            co_await sleep(1ms);
        co_await close_server(server);
        CHECK((seen == contents + "!"));
    });
    std::fclose(file);
}

TEST_CASE("TLS: an interrupt in the middle of what came: the rest is delivered when the loop is run again") {
    for (const auto make : {+[] { return make_simulated_loop(); }, +[] { return make_real_loop(); }}) {
        auto loop = make();
        std::size_t received = 0;
        const auto visit = [&received]() -> Coro<> {
            Server server = co_await start_server(tls_echo, "127.0.0.1", 0, ServerOptions().tls(server_tls()));
            const auto factory = [] { return std::make_shared<Talker>(); };
            auto [transport, talker] = co_await get_running_loop().create_connection(
                factory, "localhost", server.sockets().front().port(), ConnectionOptions().tls(client_tls()));
            talker->on_data = [&](Transport&) {
                if (talker->calls % 3 == 1 && talker->calls < 12) throw SystemExit(3);
            };
            transport->write(std::string(1'000'000, 'x'));
            while (talker->received.size() < 1'000'000)
                co_await sleep(1ms);
            received = talker->received.size();
            transport->close();
            while (!talker->lost)
                co_await sleep(1ms);
            co_await close_server(server);
        };
        Task<> task = loop->create_task(visit());
        int interrupts = 0;
        while (ending_of_call([&] { loop->run_until_complete(task); }) == "SystemExit")
            ++interrupts;
        CHECK(interrupts == 4);
        CHECK(received == 1'000'000);
        loop->close();
    }
}

TEST_CASE("TLS: an interrupt in a callback leaves the loop, and the connection goes on when it is run again") {
    for (const auto make : {+[] { return make_simulated_loop(); }, +[] { return make_real_loop(); }}) {
        auto loop = make();
        std::string answer;
        const auto visit = [&answer]() -> Coro<> {
            Server server = co_await start_server(tls_echo, "127.0.0.1", 0, ServerOptions().tls(server_tls()));
            const auto factory = [] { return std::make_shared<Talker>(); };
            auto [transport, talker] = co_await get_running_loop().create_connection(
                factory, "localhost", server.sockets().front().port(), ConnectionOptions().tls(client_tls()));
            talker->on_data = [&](Transport& to) {
                if (talker->calls > 1) return;
                to.write(" and after");
                throw SystemExit(3);
            };
            transport->write("before");
            while (talker->received.size() < 16)
                co_await sleep(1ms);
            answer = talker->received.str();
            talker->on_data = nullptr;
            transport->close();
            while (!talker->lost)
                co_await sleep(1ms);
            co_await close_server(server);
        };
        Task<> task = loop->create_task(visit());
        CHECK(ending_of_call([&] { loop->run_until_complete(task); }) == "SystemExit");
        CHECK_FALSE(task.done());
        loop->run_until_complete(task);
        CHECK(answer == "before and after");
        loop->close();
    }
}
