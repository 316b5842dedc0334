// Connections that begin plain and are upgraded.
#include "tls/tls_support.hpp"

#include <weft/io/registry.hpp>

using namespace weft;
using namespace weft::testing;

namespace {

StartTlsOptions for_localhost() {
    return StartTlsOptions().server_hostname("localhost");
}
int port_of(const Server& server) {
    return server.sockets().front().port();
}

/// Answers STARTTLS, upgrades, and echoes.
Coro<> upgrading_echo(StreamReader reader, StreamWriter writer) {
    const Bytes command = co_await reader.readline();
    CHECK(command == "STARTTLS\n");
    writer.write("GO\n");
    co_await writer.start_tls(server_tls());
    co_await tls_echo(reader, writer);
}
/// Asks for it.
Coro<> upgrade(StreamReader reader, StreamWriter writer) {
    writer.write("STARTTLS\n");
    const Bytes go = co_await reader.readline();
    CHECK(go == "GO\n");
    co_await writer.start_tls(client_tls(), for_localhost());
}

/// Records what is called.
class Recorder : public Protocol {
public:
    explicit Recorder(EventLoop& loop) : lost(loop.create_future<void>()), loop_(loop) {}
    void connection_made(std::shared_ptr<Transport>) override { trace("made"); }
    void data_received(std::span<const std::byte> data) override {
        received.append(data);
        if (awaited_ && received.size() >= wanted_ && !awaited_.done()) awaited_.set_result();
    }
    bool eof_received() override {
        trace("eof");
        return false;
    }
    void connection_lost(std::exception_ptr error) override {
        trace(error ? "lost-" + error_type(error) : "lost");
        lost.set_result();
    }
    Coro<> bytes(std::size_t count) {
        wanted_ = count;
        awaited_ = loop_.create_future<void>();
        if (received.size() >= count) co_return;
        co_await awaited_;
    }

    Trace trace;
    Bytes received;
    Future<> lost;

private:
    EventLoop& loop_;
    Future<> awaited_;
    std::size_t wanted_ = 0;
};

}  // namespace

TEST_CASE("rule 107: streams are upgraded in place, on both sides") {
    run_on_each_backend([]() -> Coro<> {
        Server server = co_await start_server(upgrading_echo, "127.0.0.1", 0);
        auto [reader, writer] = co_await open_connection("localhost", port_of(server));
        CHECK_FALSE(writer.tls_info());
        co_await upgrade(reader, writer);
        REQUIRE(writer.tls_info());
        CHECK(writer.tls_info()->server_name == "localhost");
        const std::string answer = co_await echo_of(reader, writer, "secret");
        CHECK(answer == "secret");
        writer.close();
        co_await writer.wait_closed();
        co_await close_server(server);
        CHECK(get_running_loop().service<io::IoRegistry>().transports() == 0);
    });
}

TEST_CASE("rule 107: loop.start_tls gives a new transport to a protocol that keeps its connection") {
    run_on_each_backend([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Server server = co_await start_server(upgrading_echo, "127.0.0.1", 0);
        auto own = std::make_shared<Recorder>(loop);
        auto make_own = [own] { return own; };
        auto connection = co_await loop.create_connection(make_own, "localhost", port_of(server));
        connection.transport->write("STARTTLS\n");
        co_await own->bytes(3);
        CHECK(own->received == "GO\n");
        auto tls = co_await loop.start_tls(connection.transport, own, client_tls(), for_localhost());
        CHECK(tls != connection.transport);
        CHECK(tls->get_protocol() == own);
        CHECK(own->trace.text() == "made");  // once
        tls->write("secret");
        co_await own->bytes(9);
        CHECK(own->received == "GO\nsecret");
        tls->close();
        co_await own->lost;
        CHECK(own->trace.text() == "made lost");
        co_await close_server(server);
    });
}

TEST_CASE("rule 107: plain bytes on their way in either direction are not lost") {
    run_on_each_backend([]() -> Coro<> {
        const std::string big(9'000'000, 'p');
        auto handler = [&big](StreamReader reader, StreamWriter writer) -> Coro<> {
            // Behind this, in the same direction, comes the answer of the handshake.
            writer.write(big);
            co_await writer.start_tls(server_tls());
            writer.write("tls");
            const Bytes end = co_await reader.read(-1);
            CHECK(end.empty());
            writer.close();
        };
        Server server = co_await start_server(handler, "127.0.0.1", 0);
        auto [reader, writer] = co_await open_connection("localhost", port_of(server));
        const Bytes first = co_await reader.readexactly(big.size() - 10);
        CHECK(first == std::string_view(big).substr(10));
        while (reader.state()->available() < 10)  // which stay there
            co_await turns(1);
        co_await writer.start_tls(client_tls(), for_localhost());
        const Bytes rest = co_await reader.readexactly(13);
        CHECK(rest == "pppppppppptls");
        writer.close();
        co_await writer.wait_closed();
        co_await close_server(server);
    });
}

TEST_CASE("rule 107: a client's hello that came with the plain bytes is taken for the handshake") {
    run_on_each_backend([]() -> Coro<> {
        // As with the PROXY protocol: one plain line, and TLS at once behind it.
        auto handler = [](StreamReader reader, StreamWriter writer) -> Coro<> {
            const Bytes line = co_await reader.readline();
            CHECK(line == "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n");
            while (reader.state()->available() == 0)
                co_await turns(1);
            co_await writer.start_tls(server_tls());
            co_await tls_echo(reader, writer);
        };
        Server server = co_await start_server(handler, "127.0.0.1", 0);
        auto [reader, writer] = co_await open_connection("localhost", port_of(server));
        writer.write("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n");
        co_await writer.start_tls(client_tls(), for_localhost());
        const std::string answer = co_await echo_of(reader, writer, "x");
        CHECK(answer == "x");
        writer.close();
        co_await writer.wait_closed();
        co_await close_server(server);
    });
}

TEST_CASE("rule 107: what follows the handshake at once is held back by a small reader and not lost") {
    run_on_each_backend([]() -> Coro<> {
        const std::string big(3'000'000, 'q');
        auto handler = [&big](StreamReader reader, StreamWriter writer) -> Coro<> {
            (void)co_await reader.readline();
            co_await writer.start_tls(server_tls());
            writer.write(big);
            const Bytes end = co_await reader.read(-1);
            CHECK(end.empty());
            writer.close();
        };
        Server server = co_await start_server(handler, "127.0.0.1", 0);
        auto [reader, writer] = co_await open_connection("localhost", port_of(server), ConnectionOptions().limit(100));
        writer.write("STARTTLS\n");
        co_await writer.start_tls(client_tls(), for_localhost());
        co_await turns(50);
        CHECK(reader.state()->available() < big.size());
        const Bytes all = co_await reader.readexactly(big.size());
        CHECK(all == big);
        writer.close();
        co_await writer.wait_closed();
        co_await close_server(server);
    });
}

TEST_CASE("rule 107: an upgrade that fails closes the transport and tells the protocol once") {
    run_on_each_backend([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto handler = [](StreamReader reader, StreamWriter writer) -> Coro<> {
            (void)co_await reader.read(65536);
            writer.write("this is no TLS");
            (void)co_await ending(reader.read(-1));
            writer.close();
        };
        Server server = co_await start_server(handler, "127.0.0.1", 0);
        auto own = std::make_shared<Recorder>(loop);
        auto make_own = [own] { return own; };
        auto connection = co_await loop.create_connection(make_own, "localhost", port_of(server));
        const auto error = co_await error_of(loop.start_tls(connection.transport, own, client_tls(), for_localhost()));
        CHECK(error_text(error).find("does not seem to speak TLS") != std::string::npos);
        CHECK(connection.transport->is_closing());
        co_await own->lost;
        CHECK(own->trace.text() == "made lost-TlsError");

        auto [reader, writer] = co_await open_connection("localhost", port_of(server));
        const std::string end = co_await ending(writer.start_tls(client_tls(), for_localhost()));
        CHECK(end == "TlsError");
        CHECK(writer.is_closing());
        const std::string closed = co_await ending(writer.wait_closed());
        CHECK(closed == "TlsError");
        co_await close_server(server);
        CHECK(loop.service<io::IoRegistry>().transports() == 0);
    });
}

TEST_CASE("rule 107: an upgrade that is cancelled or takes too long closes the transport") {
    run_on_each_backend([]() -> Coro<> {
        auto silent = [](StreamReader reader, StreamWriter writer) -> Coro<> {
            (void)co_await ending(reader.read(-1));
            writer.close();
        };
        Server server = co_await start_server(silent, "127.0.0.1", 0);
        for (int wait = 1; wait < 6; ++wait) {
            auto [reader, writer] = co_await open_connection("localhost", port_of(server));
            Task<> task = create_task(writer.start_tls(client_tls(), for_localhost()));
            co_await turns(wait);
            task.cancel();
            const std::string end = co_await ending(task);
            CHECK(end == "CancelledError");
            const std::string closed = co_await ending(writer.wait_closed());
            CHECK(closed == "ok");
        }
        auto [reader, writer] = co_await open_connection("localhost", port_of(server));
        const std::string end =
            co_await ending(writer.start_tls(client_tls(), for_localhost().tls_handshake_timeout(50ms)));
        CHECK(end == "ConnectionAbortedError");
        co_await close_server(server);
        CHECK(get_running_loop().service<io::IoRegistry>().transports() == 0);
    });
}

TEST_CASE("rule 107: a peer that has ended the connection is told of at once") {
    run_on_each_backend([]() -> Coro<> {
        auto leaving = [](StreamReader, StreamWriter writer) { writer.close(); };
        Server server = co_await start_server(leaving, "127.0.0.1", 0);
        auto [reader, writer] = co_await open_connection("localhost", port_of(server));
        const Bytes end = co_await reader.read(-1);
        CHECK(end.empty());
        const std::string ended = co_await ending(writer.start_tls(client_tls(), for_localhost()));
        CHECK(ended == "ConnectionResetError");
        co_await close_server(server);
    });
}

TEST_CASE("start_tls refuses what does not fit together and leaves the connection as it is") {
    run_on_each_backend([]() -> Coro<> {
        Server server = co_await start_server(tls_echo, "127.0.0.1", 0);
        auto [reader, writer] = co_await open_connection("localhost", port_of(server));
        const std::string nameless = co_await ending(writer.start_tls(client_tls()));
        CHECK(nameless == "ValueError");
        const std::string side = co_await ending(writer.start_tls(server_tls(), StartTlsOptions().server_side(false)));
        CHECK(side == "ValueError");
        const std::string zero =
            co_await ending(writer.start_tls(client_tls(), for_localhost().tls_shutdown_timeout(0s)));
        CHECK(zero == "ValueError");
        const std::string answer = co_await echo_of(reader, writer, "still plain");
        CHECK(answer == "still plain");
        writer.close();
        co_await writer.wait_closed();
        co_await close_server(server);
    });
}

TEST_CASE("TLS within TLS: a big transfer through two layers") {
    run_on_each_backend([]() -> Coro<> {
        std::string text(5'000'000, '\0');
        for (std::size_t i = 0; i < text.size(); ++i)
            text[i] = static_cast<char>(i * 7 + i / 253);
        auto handler = [](StreamReader reader, StreamWriter writer) -> Coro<> {
            co_await writer.start_tls(server_tls("other"));
            co_await tls_echo(reader, writer);
        };
        Server server = co_await start_server(handler, "127.0.0.1", 0, ServerOptions().tls(server_tls()));
        auto [reader, writer] =
            co_await open_connection("localhost", port_of(server), ConnectionOptions().tls(client_tls()));
        CHECK(writer.tls_info()->peer_certificate->subject_alt_names.front() == "DNS:localhost");
        co_await writer.start_tls(client_tls(), StartTlsOptions().server_hostname("other.test"));
        CHECK(writer.tls_info()->peer_certificate->subject_alt_names.front() == "DNS:other.test");
        auto send = [](StreamWriter to, std::string_view all) -> Coro<> {
            for (std::size_t at = 0; at < all.size(); at += 100'000) {
                to.write(all.substr(at, 100'000));
                co_await to.drain();
            }
        };
        Task<> sending = create_task(send(writer, text));
        const Bytes echoed = co_await reader.readexactly(text.size());
        CHECK(echoed == text);
        co_await sending;
        writer.close();
        co_await writer.wait_closed();
        co_await close_server(server);
        CHECK(get_running_loop().service<io::IoRegistry>().transports() == 0);
    });
}

TEST_CASE("rule 104: close_clients reaches a connection that was upgraded") {
    run_on_each_backend([]() -> Coro<> {
        Server server = co_await start_server(upgrading_echo, "127.0.0.1", 0);
        auto [reader, writer] = co_await open_connection("localhost", port_of(server));
        co_await upgrade(reader, writer);
        const std::string answer = co_await echo_of(reader, writer, "x");
        CHECK(answer == "x");
        server.close_clients();
        const Bytes end = co_await reader.read(-1);  // in order
        CHECK(end.empty());
        writer.close();
        co_await writer.wait_closed();
        co_await close_server(server);
    });
}

TEST_CASE("start_tls refuses while another coroutine reads, who would be given the handshake") {
    run_on_each_backend([]() -> Coro<> {
        Server server = co_await start_server(tls_echo, "127.0.0.1", 0);
        auto [reader, writer] = co_await open_connection("127.0.0.1", server.sockets().front().port());
        Task<Bytes> reading =
            create_task([](StreamReader from) -> Coro<Bytes> { co_return co_await from.read(10); }, reader);
        co_await turns(2);
        const auto options = StartTlsOptions().server_hostname("localhost");
        const auto refused = co_await error_of(writer.start_tls(client_tls(), options));
        CHECK(error_text(refused) == "RuntimeError: start_tls() called while another coroutine is waiting to read");
        writer.write("still plain");
        const Bytes answer = co_await reading;
        CHECK(answer == "still plai");
        writer.close();
        co_await writer.wait_closed();
        co_await close_server(server);
    });
}
