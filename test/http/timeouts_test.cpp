#include "client.hpp"

using namespace weft;
using namespace weft::http;
using namespace weft::testing;

namespace {

App small_app() {
    App app;
    app.get("/", [] { return Response::text("ok"); });
    app.post("/", [] { return Response::text("posted"); });
    app.get("/slow", []() -> Coro<Response> {
        co_await sleep(1h);
        co_return Response::text("at last");
    });
    return app;
}

/// On the virtual clock, with the default options.
template <class F>
void serve_simulated(F body) {
    run_simulated([&]() -> Coro<> {
        HttpServer server = co_await small_app().serve("127.0.0.1", 0);
        co_await body(server);
        co_await server.shutdown(0s);
    });
}

Duration since(TimePoint start) {
    return get_running_loop().time() - start;
}

}  // namespace

TEST_CASE("a header that trickles in is answered 408 ten seconds after its first byte") {
    serve_simulated([](HttpServer& server) -> Coro<> {
        Client client = co_await Client::connect(server.port());
        co_await sleep(30s);
        const TimePoint start = get_running_loop().time();
        const Task<> trickle = create_task([&client]() -> Coro<> {
            client.send("GET / HTTP/1.1\r\nX-Slow: ");
            while (true) {
                co_await sleep(1s);
                client.send("a");
            }
        });
        const Reply reply = co_await client.reply();
        CHECK(reply.status == 408);
        CHECK(reply.header("connection") == "close");
        CHECK(since(start) == 10s);
        const auto rest1 = co_await client.rest();
        CHECK(rest1.empty());
        Task<>(trickle).cancel();
    });
}

TEST_CASE("the time for a header starts anew with each request") {
    serve_simulated([](HttpServer& server) -> Coro<> {
        Client client = co_await Client::connect(server.port());
        for (int i = 0; i < 3; ++i) {
            client.send("GET / HTTP/1.1\r\n");
            co_await sleep(9s);
            client.send("Host: a\r\n\r\nGET / HT");
            const auto reply1 = co_await client.reply();
            CHECK(reply1.status == 200);
            co_await sleep(9s);
            client.send("TP/1.1\r\nHost: a\r\n\r\n");
            const auto reply2 = co_await client.reply();
            CHECK(reply2.status == 200);
        }
    });
}

TEST_CASE("a connection without a request is closed silently after 75 seconds, new or kept alive") {
    serve_simulated([](HttpServer& server) -> Coro<> {
        TimePoint start = get_running_loop().time();
        Client fresh = co_await Client::connect(server.port());
        const auto rest1 = co_await fresh.rest();
        CHECK(rest1.empty());
        CHECK(since(start) == 75s);

        Client used = co_await Client::connect(server.port());
        co_await sleep(50s);
        (void)co_await used.ask("GET /");
        start = get_running_loop().time();
        const auto rest2 = co_await used.rest();
        CHECK(rest2.empty());
        CHECK(since(start) == 75s);
    });
}

TEST_CASE("a body that stops is answered 408, one that goes on slowly is not") {
    serve_simulated([](HttpServer& server) -> Coro<> {
        Client client = co_await Client::connect(server.port());
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
        for (int i = 0; i < 10; ++i) {
            co_await sleep(25s);
            client.send("x");
        }
        const auto reply1 = co_await client.reply();
        CHECK(reply1.body == "posted");

        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
        const TimePoint start = get_running_loop().time();
        const auto reply2 = co_await client.reply();
        CHECK(reply2.status == 408);
        CHECK(since(start) == 30s);
    });
}

TEST_CASE("a handler may take as long as it likes") {
    serve_simulated([](HttpServer& server) -> Coro<> {
        Client client = co_await Client::connect(server.port());
        client.request("GET /slow");
        const auto reply1 = co_await client.reply();
        CHECK(reply1.body == "at last");
        const auto reply2 = co_await client.ask("GET /");
        CHECK(reply2.body == "ok");
    });
}

TEST_CASE("a client that does not read its response is dropped, one that reads slowly is not") {
    App app;
    app.get("/big", [] { return Response::text(std::string(1 << 20, 'b')); });
    run_simulated([&]() -> Coro<> {
        HttpServer server = co_await app.serve("127.0.0.1", 0);
        Client slow = co_await Client::connect(server.port());
        slow.request("GET /big");
        std::size_t got = 0;
        while (got < (1 << 20)) {
            co_await sleep(20s);
            got += (co_await slow.reader.read(60000)).size();
        }
        slow.close();

        Client stuck = co_await Client::connect(server.port());
        stuck.writer.transport().pause_reading();
        stuck.request("GET /big");
        co_await sleep(59s);
        CHECK(server.connections() == 1);
        co_await sleep(2s);
        CHECK(server.connections() == 0);
        co_await server.shutdown();
    });
}

TEST_CASE("short time-outs hold over real sockets, too") {
    const ServeOptions options = ServeOptions().header_timeout(30ms).body_timeout(30ms).idle_timeout(30ms);
    serve_on_each_backend(small_app(), options, [](HttpServer& server) -> Coro<> {
        Client header = co_await Client::connect(server.port());
        header.send("GET / HTTP/1.1\r\n");
        const auto reply1 = co_await header.reply();
        CHECK(reply1.status == 408);
        header.close();
        Client body = co_await Client::connect(server.port());
        body.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
        const auto reply2 = co_await body.reply();
        CHECK(reply2.status == 408);
        body.close();
        Client idle = co_await Client::connect(server.port());
        const auto reply3 = co_await idle.ask("GET /");
        CHECK(reply3.status == 200);
        const auto rest1 = co_await idle.rest();
        CHECK(rest1.empty());
    });
}
