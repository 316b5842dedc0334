#include "support/harness.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

Coro<> echo(StreamReader reader, StreamWriter writer) {
    while (true) {
        const Bytes data = co_await reader.read(65536);
        if (data.empty()) break;
        writer.write(data.span());
        co_await writer.drain();
    }
}
Coro<std::string> ask(StreamReader& reader, StreamWriter& writer, std::string text) {
    writer.write(text);
    const Bytes back = co_await reader.readexactly(text.size());
    co_return back.str();
}

}  // namespace

TEST_CASE("an echo server") {
    run_on_each_backend([]() -> Coro<> {
        Server server = co_await start_server(echo, "127.0.0.1", 0);
        CHECK(server.is_serving());
        REQUIRE(server.sockets().size() == 1);
        CHECK(server.sockets().front().host() == "127.0.0.1");
        CHECK(server.sockets().front().port() != 0);
        const int port = server.sockets().front().port();
        auto client = [port](std::string text) -> Coro<std::string> {
            auto [reader, writer] = co_await open_connection("127.0.0.1", port);
            const std::string back = co_await ask(reader, writer, text);
            writer.close();
            co_await writer.wait_closed();
            co_return back;
        };
        std::vector<Coro<std::string>> clients;
        for (int i = 0; i < 20; ++i)
            clients.push_back(client("message " + std::to_string(i)));
        const std::vector<std::string> answers = co_await gather(std::move(clients));
        for (int i = 0; i < 20; ++i)
            CHECK(answers[static_cast<std::size_t>(i)] == "message " + std::to_string(i));
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("rule 104: close stops accepting; connections survive; wait_closed needs them to be gone") {
    run_on_each_backend([]() -> Coro<> {
        Server server = co_await start_server(echo, "127.0.0.1", 0);
        const int port = server.sockets().front().port();
        auto [reader, writer] = co_await open_connection("127.0.0.1", port);
        const std::string before = co_await ask(reader, writer, "before");
        server.close();
        server.close();
        CHECK_FALSE(server.is_serving());
        CHECK(server.sockets().empty());
        const std::string refused = co_await ending(open_connection("127.0.0.1", port));
        CHECK(refused == "ConnectionRefusedError");
        const std::string after = co_await ask(reader, writer, "after");
        CHECK(before + after == "beforeafter");
        Task<> closed = create_task(server.wait_closed());
        co_await sleep(5ms);
        CHECK_FALSE(closed.done());
        writer.close();
        co_await closed;
        co_await server.wait_closed();
    });
}

TEST_CASE("rule 104: wait_closed before close waits for both") {
    run_on_each_backend([]() -> Coro<> {
        Server server = co_await start_server(echo, "127.0.0.1", 0);
        Task<> closed = create_task(server.wait_closed());
        co_await sleep(5ms);
        CHECK_FALSE(closed.done());
        server.close();
        co_await closed;
    });
}

TEST_CASE("rule 104: close_clients and abort_clients end the connections and release wait_closed") {
    for (const bool abort : {false, true}) {
        run_on_each_backend([abort]() -> Coro<> {
            Server server = co_await start_server(echo, "127.0.0.1", 0);
            auto [reader, writer] = co_await open_connection("127.0.0.1", server.sockets().front().port());
            const std::string text = co_await ask(reader, writer, "x");
            CHECK(text == "x");
            server.close();
            Task<> closed = create_task(server.wait_closed());
            co_await turns(3);
            CHECK_FALSE(closed.done());
            if (abort)
                server.abort_clients();
            else
                server.close_clients();
            co_await closed;
            const Bytes end = co_await reader.read(-1);
            CHECK(end.empty());
            writer.close();
            co_await writer.wait_closed();
        });
    }
}

TEST_CASE("rule 104: serve_forever ends when cancelled: it closes the server and waits for its connections") {
    run_on_each_backend([]() -> Coro<> {
        Server server = co_await start_server(echo, "127.0.0.1", 0, ServerOptions().start_serving(false));
        CHECK_FALSE(server.is_serving());
        Task<> serving = create_task(server.serve_forever());
        co_await turns(2);
        CHECK(server.is_serving());
        const std::string twice = co_await ending(server.serve_forever());
        CHECK(twice == "RuntimeError");
        auto [reader, writer] = co_await open_connection("127.0.0.1", server.sockets().front().port());
        const std::string text = co_await ask(reader, writer, "x");
        CHECK(text == "x");
        serving.cancel();
        co_await turns(5);
        CHECK_FALSE(server.is_serving());
        CHECK_FALSE(serving.done());
        writer.close();
        const std::string end = co_await ending(serving);
        CHECK(end == "CancelledError");
        const std::string again = co_await ending(server.serve_forever());
        CHECK(again == "RuntimeError");
    });
}

TEST_CASE("a server that was not started listens only after start_serving") {
    run_on_each_backend([]() -> Coro<> {
        int accepted = 0;
        auto handler = [&](StreamReader, StreamWriter) { ++accepted; };
        Server server = co_await start_server(handler, "127.0.0.1", 0, ServerOptions().start_serving(false));
        const int port = server.sockets().front().port();
        const std::string refused = co_await ending(open_connection("127.0.0.1", port));
        CHECK(refused == "ConnectionRefusedError");
        CHECK(accepted == 0);
        co_await server.start_serving();
        auto [reader, writer] = co_await open_connection("127.0.0.1", port);
        const Bytes end = co_await reader.read(-1);  // the handler dropped the writer
        CHECK(end.empty());
        CHECK(accepted == 1);
        writer.close();
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("several hosts, written as in Python; no host, port or socket at all is a ValueError") {
    run_on_each_backend([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const auto factory = [] { return std::make_shared<Protocol>(); };
        Coro<Server> listening = loop.create_server(factory, {"127.0.0.1", "::1"}, 0);  // g++ 12: not in the co_await
        Server plain = co_await std::move(listening);
        CHECK(plain.sockets().size() == 2);
        CHECK(plain.sockets()[0].host() == "127.0.0.1");
        CHECK(plain.sockets()[1].host() == "::1");
        listening = start_server(echo, {"127.0.0.1", "::1"}, 0, ServerOptions().backlog(5));
        Server streams = co_await std::move(listening);
        CHECK(streams.sockets().size() == 2);
        const std::vector<std::string> hosts{"127.0.0.1"};
        Server vector = co_await loop.create_server(factory, hosts, 0);
        CHECK(vector.sockets().size() == 1);
        const std::exception_ptr nothing = co_await error_of(loop.create_server(factory, ServerOptions()));
        CHECK(error_text(nothing) == "ValueError: create_server: neither host and port nor sock were specified");
        for (Server* server : {&plain, &streams, &vector}) {
            server->close();
            co_await server->wait_closed();
        }
    });
}

TEST_CASE("an address in use is an error; a wrong port too") {
    run_on_each_backend([]() -> Coro<> {
        Server server = co_await start_server(echo, "127.0.0.1", 0);
        const std::exception_ptr used =
            co_await error_of(start_server(echo, "127.0.0.1", server.sockets().front().port()));
        CHECK(error_type(used) == "OSError");
        CHECK(error_text(used).find("error while attempting to bind on address 127.0.0.1:") != std::string::npos);
        const std::string port = co_await ending(start_server(echo, "127.0.0.1", 70'000));
        CHECK(port == "ValueError");
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("a server goes on after its handle was dropped") {
    run_on_each_backend([]() -> Coro<> {
        int port;
        {
            Server server = co_await start_server(echo, "127.0.0.1", 0);
            port = server.sockets().front().port();
        }
        auto [reader, writer] = co_await open_connection("127.0.0.1", port);
        const std::string text = co_await ask(reader, writer, "still there");
        CHECK(text == "still there");
        writer.close();
        co_await writer.wait_closed();
        co_await reader.read(-1);
    });
}

TEST_CASE("an exception of the protocol factory is reported, and that connection closed") {
    run_on_each_backend([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Reports reports(loop);
        auto factory = []() -> std::shared_ptr<Protocol> { throw ValueError("factory"); };
        Server server = co_await loop.create_server(factory, "127.0.0.1", 0);
        auto [reader, writer] = co_await open_connection("127.0.0.1", server.sockets().front().port());
        const std::string end = co_await ending(reader.read(-1));
        CHECK(end == "ok");
        REQUIRE(reports.size() == 1);
        CHECK(reports[0].message == "Error on transport creation for incoming connection");
        writer.close();
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("what a handle was asked for is done also if the handle has gone meanwhile") {
    run_on_each_backend([]() -> Coro<> {
        Server server = co_await start_server([](StreamReader, StreamWriter) -> Coro<> { co_return; }, "127.0.0.1", 0);
        const int port = server.sockets().front().port();
        Task<> serving = create_task(server.serve_forever());
        Coro<> closed = server.wait_closed();
        server = Server();
        co_await sleep(0s);
        auto [reader, writer] = co_await open_connection("127.0.0.1", port);
        Coro<std::optional<Bytes>> line = reader.next();
        Coro<> ended = writer.wait_closed();
        reader = StreamReader();
        writer = StreamWriter();
        const std::optional<Bytes> none = co_await std::move(line);
        CHECK_FALSE(none);
        co_await std::move(ended);
        serving.cancel();
        const std::string how = co_await ending(serving);
        CHECK(how == "CancelledError");
        co_await std::move(closed);
    });
}
