#include "client.hpp"

#include <csignal>

using namespace weft;
using namespace weft::http;
using namespace weft::testing;

namespace {

App sleeping_app(Trace& trace) {
    App app;
    app.get("/sleep/{ms}", [&trace](Request& request) -> Coro<Response> {
        trace("start");
        try {
            co_await sleep(std::chrono::milliseconds(std::stoi(std::string(request.param("ms")))));
        } catch (const CancelledError&) {
            trace("cancelled");
            throw;
        }
        trace("done");
        co_return Response::text("slept");
    });
    return app;
}

Coro<> until_started(const Trace& trace) {
    while (trace.events().empty())
        co_await turns(1);
}

void raise_on_loop(int signal_number) {
    if (get_running_loop().backend().name() == "sim")
        static_cast<sim::SimBackend&>(get_running_loop().backend()).raise_signal(signal_number);
    else
        (void)::raise(signal_number);
}

}  // namespace

TEST_CASE("a graceful shutdown finishes the request in flight, says close, and refuses new connections") {
    run_on_each_backend([]() -> Coro<> {
        Trace trace;
        HttpServer server = co_await sleeping_app(trace).serve("127.0.0.1", 0);
        const int port = server.port();
        Client client = co_await Client::connect(port);
        client.request("GET /sleep/30");
        co_await until_started(trace);
        const Task<> stopping = create_task(server.shutdown());
        co_await turns(3);
        CHECK_FALSE(stopping.done());
        bool refused = false;
        try {
            Client late = co_await Client::connect(port);
        } catch (const OSError&) {
            refused = true;
        }
        CHECK(refused);
        const Reply reply = co_await client.reply();
        CHECK(reply.body == "slept");
        CHECK(reply.header("connection") == "close");
        const auto rest1 = co_await client.rest();
        CHECK(rest1.empty());
        co_await stopping;
        CHECK(trace.text() == "start done");
        CHECK(server.connections() == 0);
    });
}

TEST_CASE("of pipelined requests all are answered at a shutdown, and the last response says close") {
    run_on_each_backend([]() -> Coro<> {
        Trace trace;
        HttpServer server = co_await sleeping_app(trace).serve("127.0.0.1", 0);
        Client client = co_await Client::connect(server.port());
        client.request("GET /sleep/20");
        client.request("GET /sleep/1");
        client.request("GET /sleep/2");
        co_await until_started(trace);
        const Task<> stopping = create_task(server.shutdown());
        const auto reply1 = co_await client.reply();
        CHECK_FALSE(reply1.has("connection"));
        const auto reply2 = co_await client.reply();
        CHECK_FALSE(reply2.has("connection"));
        const auto reply3 = co_await client.reply();
        CHECK(reply3.header("connection") == "close");
        co_await stopping;
    });
}

TEST_CASE("a shutdown closes idle connections at once") {
    run_on_each_backend([]() -> Coro<> {
        Trace trace;
        HttpServer server = co_await sleeping_app(trace).serve("127.0.0.1", 0);
        Client fresh = co_await Client::connect(server.port());
        Client used = co_await Client::connect(server.port());
        (void)co_await used.ask("GET /sleep/0");
        CHECK(server.connections() == 2);
        const TimePoint start = get_running_loop().time();
        co_await server.shutdown(30s);
        CHECK(get_running_loop().time() - start < 5s);
        const auto rest1 = co_await fresh.rest();
        CHECK(rest1.empty());
        const auto rest2 = co_await used.rest();
        CHECK(rest2.empty());
    });
}

TEST_CASE("a shutdown cancels what is not done at its time-out") {
    run_on_each_backend([]() -> Coro<> {
        Trace trace;
        const ServeOptions options = ServeOptions().shutdown_timeout(30ms);
        HttpServer server = co_await sleeping_app(trace).serve("127.0.0.1", 0, options);
        Client client = co_await Client::connect(server.port());
        client.request("GET /sleep/3600000");
        co_await until_started(trace);
        const TimePoint start = get_running_loop().time();
        co_await server.shutdown();
        CHECK(get_running_loop().time() - start >= 30ms);
        CHECK(get_running_loop().time() - start < 30s);
        CHECK(trace.text() == "start cancelled");
        bool ended = false;
        try {
            ended = (co_await client.rest()).empty();
        } catch (const ConnectionError&) {
            ended = true;
        }
        CHECK(ended);
    });
}

TEST_CASE("a cancelled shutdown drops the rest at once") {
    run_on_each_backend([]() -> Coro<> {
        Trace trace;
        HttpServer server = co_await sleeping_app(trace).serve("127.0.0.1", 0);
        Client client = co_await Client::connect(server.port());
        client.request("GET /sleep/3600000");
        co_await until_started(trace);
        Task<> stopping = create_task(server.shutdown(1h));
        co_await turns(2);
        stopping.cancel();
        bool cancelled = false;
        try {
            co_await stopping;
        } catch (const CancelledError&) {
            cancelled = true;
        }
        CHECK(cancelled);
        while (server.connections() > 0)
            co_await turns(1);
        CHECK(trace.text() == "start cancelled");
    });
}

TEST_CASE("a request whose header has begun at the shutdown is still answered") {
    run_on_each_backend([]() -> Coro<> {
        Trace trace;
        HttpServer server = co_await sleeping_app(trace).serve("127.0.0.1", 0);
        Client client = co_await Client::connect(server.port());
        client.send("GET /sleep/0 HT");
        co_await sleep(10ms);
        const Task<> stopping = create_task(server.shutdown());
        co_await sleep(5ms);
        client.send("TP/1.1\r\nHost: a\r\n\r\n");
        const Reply reply = co_await client.reply();
        CHECK(reply.status == 200);
        CHECK(reply.header("connection") == "close");
        co_await stopping;
    });
}

TEST_CASE("on_shutdown functions end what would stream for ever") {
    run_on_each_backend([]() -> Coro<> {
        Future<> over = get_running_loop().create_future<void>();
        App app;
        app.on_shutdown([&] { over.set_result(); });
        app.get("/events", [&] {
            return event_stream([&](ResponseStream& out) -> Coro<> {
                co_await out.write(ServerSentEvent("first").text());
                co_await over;
                co_await out.write(ServerSentEvent("last").text());
            });
        });
        HttpServer server = co_await app.serve("127.0.0.1", 0);
        Client client = co_await Client::connect(server.port());
        client.request("GET /events");
        (void)co_await client.head();
        const auto chunk1 = co_await client.chunk();
        CHECK(chunk1 == "data: first\n\n");
        const Task<> stopping = create_task(server.shutdown(1h));
        const auto chunk2 = co_await client.chunk();
        CHECK(chunk2 == "data: last\n\n");
        const auto chunk3 = co_await client.chunk();
        CHECK(chunk3.empty());
        co_await stopping;
    });
}

TEST_CASE("run serves until a signal and then shuts down gracefully; a second signal ends it at once") {
    for (const bool twice : {false, true})
        for (const int signal_number : {SIGTERM, SIGINT}) {
            CAPTURE(signal_number);
            CAPTURE(twice);
            run_on_each_backend([&]() -> Coro<> {
                Trace trace;
                int port = 0;
                const ServeOptions options =
                    ServeOptions().on_listening([&](const HttpServer& server) { port = server.port(); });
                const App app = sleeping_app(trace);
                const Task<> running = create_task(app.run("127.0.0.1", 0, options));
                while (port == 0)
                    co_await turns(1);
                Client client = co_await Client::connect(port);
                client.request(twice ? "GET /sleep/3600000" : "GET /sleep/40");
                co_await until_started(trace);
                raise_on_loop(signal_number);
                co_await sleep(10ms);
                CHECK_FALSE(running.done());
                if (twice)
                    raise_on_loop(signal_number);
                else {
                    const auto reply1 = co_await client.reply();
                    CHECK(reply1.header("connection") == "close");
                }
                co_await running;
                CHECK(trace.text() == (twice ? "start cancelled" : "start done"));
            });
        }
}

TEST_CASE("serve_forever shuts down gracefully when its task is cancelled") {
    run_on_each_backend([]() -> Coro<> {
        Trace trace;
        HttpServer server = co_await sleeping_app(trace).serve("127.0.0.1", 0);
        Client client = co_await Client::connect(server.port());
        Task<> serving = create_task(server.serve_forever());
        client.request("GET /sleep/20");
        co_await until_started(trace);
        serving.cancel();
        const auto reply1 = co_await client.reply();
        CHECK(reply1.body == "slept");
        bool cancelled = false;
        try {
            co_await serving;
        } catch (const CancelledError&) {
            cancelled = true;
        }
        CHECK(cancelled);
        CHECK(server.connections() == 0);
    });
}

TEST_CASE("a loop may close with connections and handlers alive") {
    for (const bool simulated : {true, false}) {
        Trace trace;
        auto loop = simulated ? make_simulated_loop() : make_real_loop();
        loop->set_exception_handler([](EventLoop&, const ExceptionContext&) {});
        loop->run_until_complete([&]() -> Coro<> {
            HttpServer server = co_await sleeping_app(trace).serve("127.0.0.1", 0);
            Client client = co_await Client::connect(server.port());
            client.request("GET /sleep/3600000");
            co_await until_started(trace);
        }());
        loop->close();
        CHECK(trace.events().front() == "start");
    }
}
