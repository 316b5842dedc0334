// Routing, connections, pipelining, errors of handlers.
#include "client.hpp"

#include <array>
#include <memory>

using namespace weft;
using namespace weft::http;
using namespace weft::testing;

namespace {

Coro<Response> sleepy(Request& request) {
    co_await sleep(std::chrono::milliseconds(std::stoi(std::string(request.param("ms")))));
    co_return Response::text(std::string(request.param("ms")));
}

App test_app() {
    App app;
    app.get("/", [] { return Response::text("home"); });
    app.get("/hello/{name}", [](Request& request) -> Coro<Response> {
        co_return Response::text("hello " + std::string(request.param("name")));
    });
    app.get("/sleep/{ms}", sleepy);
    app.post("/echo", [](Request& request) { return Response::text(request.take_body().str()); });
    return app;
}

/// Counts the pieces in which its bytes come.
class CountingProtocol final : public Protocol {
public:
    void connection_made(std::shared_ptr<Transport> transport) override { transport_ = std::move(transport); }
    void data_received(std::span<const std::byte> data) override {
        ++pieces;
        received += std::string(reinterpret_cast<const char*>(data.data()), data.size());
    }
    void write(std::string_view text) { transport_->write(text); }
    int pieces = 0;
    std::string received;

private:
    std::shared_ptr<Transport> transport_;
};

std::size_t count_of(std::string_view text, std::string_view what) {
    std::size_t count = 0;
    for (std::size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, at + 1))
        ++count;
    return count;
}

}  // namespace

TEST_CASE("a response has status, date, type and length") {
    const ServeOptions options = ServeOptions().server_name("weft-test");
    serve_on_each_backend(test_app(), options, [](HttpServer& server) -> Coro<> {
        Client client = co_await Client::connect(server.port());
        const Reply reply = co_await client.ask("GET /hello/world");
        CHECK(reply.version == "HTTP/1.1");
        CHECK(reply.status == 200);
        CHECK(reply.body == "hello world");
        CHECK(reply.header("content-length") == "11");
        CHECK(reply.header("content-type") == "text/plain; charset=utf-8");
        CHECK(reply.header("server") == "weft-test");
        const std::string date = reply.header("date");
        CHECK(date.size() == 29);
        CHECK(date.ends_with(" GMT"));
        CHECK_FALSE(reply.has("connection"));
    });
}

TEST_CASE("unknown paths are answered 404, known ones with another method 405 and Allow, and the connection lives") {
    serve_on_each_backend(test_app(), [](HttpServer& server) -> Coro<> {
        Client client = co_await Client::connect(server.port());
        const auto reply1 = co_await client.ask("GET /nothing");
        CHECK(reply1.status == 404);
        const Reply reply = co_await client.ask("DELETE /hello/x");
        CHECK(reply.status == 405);
        CHECK(reply.header("allow") == "GET, HEAD");
        const auto reply2 = co_await client.ask("PUT /echo");
        CHECK(reply2.header("allow") == "POST");
        const auto reply3 = co_await client.ask("GET /");
        CHECK(reply3.body == "home");
    });
}

TEST_CASE("HEAD is answered by the handler of GET, without the body") {
    App app = test_app();
    app.get("/stream", [] {
        return Response::stream([](ResponseStream&) -> Coro<> {
            FAIL("HEAD must not run the body");
            co_return;
        });
    });
    app.head("/own", [] { return Response::text("own").header("X-Own", "1"); });
    serve_on_each_backend(app, [](HttpServer& server) -> Coro<> {
        Client client = co_await Client::connect(server.port());
        client.request("HEAD /hello/you");
        Reply reply = co_await client.head();
        CHECK(reply.status == 200);
        CHECK(reply.header("content-length") == "9");
        client.request("HEAD /stream");
        const auto head1 = co_await client.head();
        CHECK(head1.status == 200);
        client.request("HEAD /own");
        const auto head2 = co_await client.head();
        CHECK(head2.header("x-own") == "1");
        client.request("HEAD /nothing");
        const auto head3 = co_await client.head();
        CHECK(head3.status == 404);
        const auto reply1 = co_await client.ask("GET /");
        CHECK(reply1.body == "home");
    });
}

TEST_CASE("every method has its own handlers, also one that is not in the book") {
    App app;
    const auto method = [](Request& request) { return Response::text(std::string(request.method())); };
    app.get("/m", method).post("/m", method).put("/m", method).patch("/m", method).del("/m", method);
    app.route("BREW", "/m", method);
    serve_on_each_backend(app, [](HttpServer& server) -> Coro<> {
        Client client = co_await Client::connect(server.port());
        for (const char* name : {"GET", "POST", "PUT", "PATCH", "DELETE", "BREW"}) {
            const auto reply1 = co_await client.ask(std::string(name) + " /m");
            CHECK(reply1.body == name);
        }
        const auto reply2 = co_await client.ask("OPTIONS /m");
        CHECK(reply2.header("allow") == "BREW, DELETE, GET, HEAD, PATCH, POST, PUT");
    });
}

TEST_CASE("a connection is kept alive until one of both says close") {
    App app = test_app();
    app.get("/last", [] { return Response::text("bye").header("Connection", "close"); });
    serve_on_each_backend(app, [](HttpServer& server) -> Coro<> {
        Client client = co_await Client::connect(server.port());
        for (int i = 0; i < 5; ++i) {
            const auto reply1 = co_await client.ask("GET /");
            CHECK(reply1.body == "home");
        }
        CHECK(server.connections() == 1);
        const Reply last = co_await client.ask("GET /", "Connection: close\r\n");
        CHECK(last.header("connection") == "close");
        const auto rest1 = co_await client.rest();
        CHECK(rest1.empty());

        Client other = co_await Client::connect(server.port());
        const auto reply2 = co_await other.ask("GET /last");
        CHECK(reply2.header("connection") == "close");
        const auto rest2 = co_await other.rest();
        CHECK(rest2.empty());
    });
}

TEST_CASE("HTTP/1.0 closes after a response unless it asks to keep the connection") {
    serve_on_each_backend(test_app(), [](HttpServer& server) -> Coro<> {
        Client client = co_await Client::connect(server.port());
        client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        Reply reply = co_await client.reply();
        CHECK(reply.body == "home");
        CHECK(reply.header("connection") == "keep-alive");
        client.send("GET / HTTP/1.0\r\n\r\n");
        reply = co_await client.reply();
        CHECK(reply.header("connection") == "close");
        const auto rest1 = co_await client.rest();
        CHECK(rest1.empty());
    });
}

TEST_CASE("pipelined requests are answered in order, however long each takes") {
    serve_on_each_backend(test_app(), [](HttpServer& server) -> Coro<> {
        Client client = co_await Client::connect(server.port());
        for (const char* ms : {"30", "1", "0", "10"})
            client.request(std::string("GET /sleep/") + ms);
        client.request("GET /");
        for (const char* ms : {"30", "1", "0", "10", "home"}) {
            const auto reply1 = co_await client.reply();
            CHECK(reply1.body == ms);
        }
    });
}

TEST_CASE("small responses to pipelined requests leave in one write") {
    serve_on_each_backend(test_app(), [](HttpServer& server) -> Coro<> {
        auto made = [] { return std::make_shared<CountingProtocol>(); };
        auto [transport, client] = co_await get_running_loop().create_connection(made, "127.0.0.1", server.port());
        std::string requests;
        for (int i = 0; i < 10; ++i)
            requests += "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        client->write(requests);
        while (count_of(client->received, "home") < 10)
            co_await turns(1);
        CHECK(client->pieces == 1);
        transport->close();
    });
}

TEST_CASE("reading ahead is bounded, and nothing is lost by it") {
    const ServeOptions options = ServeOptions().pipeline_limit(4);
    int started = 0;
    App app;
    Future<>* gate = nullptr;
    app.get("/{n}", [&](Request& request) -> Coro<Response> {
        ++started;
        if (request.param("n") == "0") co_await *gate;
        co_return Response::text(std::string(request.param("n")));
    });
    serve_on_each_backend(app, options, [&](HttpServer& server) -> Coro<> {
        started = 0;
        Future<> open = get_running_loop().create_future<void>();
        gate = &open;
        Client client = co_await Client::connect(server.port());
        const std::string padding = "X-Padding: " + std::string(8000, 'p') + "\r\n";
        const Task<> sender = create_task([&]() -> Coro<> {
            for (int i = 0; i < 1000; ++i) {
                client.request("GET /" + std::to_string(i), padding);
                co_await client.writer.drain();
            }
        });
        // The server stops reading: 8 MB do not fit between the two.
        for (int i = 0; i < 200; ++i)
            co_await sleep(1ms);
        CHECK_FALSE(sender.done());
        CHECK(started == 1);
        open.set_result();
        for (int i = 0; i < 1000; ++i) {
            const auto reply1 = co_await client.reply();
            CHECK(reply1.body == std::to_string(i));
        }
        co_await sender;
    });
}

TEST_CASE("what a handler throws is answered 500 and reported, and the connection lives") {
    App app = test_app();
    app.get("/throw", []() -> Coro<Response> {
        co_await sleep(0s);
        throw std::runtime_error("broken");
    });
    app.get("/injected",
            [](Request& request) { return Response::text("x").header("X-Echo", request.query("v").value_or("")); });
    serve_on_each_backend(app, [](HttpServer& server) -> Coro<> {
        Reports reports(get_running_loop());
        Client client = co_await Client::connect(server.port());
        const auto reply1 = co_await client.ask("GET /throw");
        CHECK(reply1.status == 500);
        REQUIRE(reports.size() == 1);
        CHECK(reports[0].message == "Unhandled exception in the HTTP handler of GET /throw");
        CHECK(reports[0].task == "http GET /throw");
        const Reply injected = co_await client.ask("GET /injected?v=a%0d%0aSet-Cookie:%20b");
        CHECK(injected.status == 500);
        CHECK_FALSE(injected.has("set-cookie"));
        CHECK(reports.size() == 2);
        const auto reply2 = co_await client.ask("GET /injected?v=fine");
        CHECK(reply2.header("x-echo") == "fine");
        get_running_loop().set_exception_handler({});
    });
}

TEST_CASE("an HttpError is its response and nothing to report") {
    App app;
    app.get("/teapot", []() -> Response { throw HttpError(418); });
    app.get("/gone", []() -> Coro<Response> {
        co_await sleep(0s);
        throw HttpError(410, "it was here yesterday");
    });
    serve_on_each_backend(app, [](HttpServer& server) -> Coro<> {
        Client client = co_await Client::connect(server.port());
        const auto reply1 = co_await client.ask("GET /teapot");
        CHECK(reply1.body == "I'm a Teapot\n");
        const Reply gone = co_await client.ask("GET /gone");
        CHECK(gone.status == 410);
        CHECK(gone.body == "it was here yesterday\n");
    });
}

TEST_CASE("a handler whose own wait was cancelled is an error, not the end of the connection") {
    App app = test_app();
    app.get("/self", []() -> Coro<Response> {
        Task<> task = create_task([]() -> Coro<> { co_await sleep(1h); });
        task.cancel();
        co_await task;
        co_return Response::text("not reached");
    });
    serve_on_each_backend(app, [](HttpServer& server) -> Coro<> {
        Reports reports(get_running_loop());
        Client client = co_await Client::connect(server.port());
        const auto reply1 = co_await client.ask("GET /self");
        CHECK(reply1.status == 500);
        CHECK(reports.size() == 1);
        const auto reply2 = co_await client.ask("GET /");
        CHECK(reply2.status == 200);
        get_running_loop().set_exception_handler({});
    });
}

TEST_CASE("a handler is cancelled when its client goes away") {
    for (const bool reset : {false, true}) {
        CAPTURE(reset);
        Trace* events = nullptr;
        App app;
        app.get("/wait", [&]() -> Coro<Response> {
            (*events)("start");
            try {
                co_await sleep(1h);
            } catch (const CancelledError&) {
                (*events)("cancelled");
                throw;
            }
            co_return Response::text("late");
        });
        serve_on_each_backend(app, [&](HttpServer& server) -> Coro<> {
            Trace trace;
            events = &trace;
            Client client = co_await Client::connect(server.port());
            client.request("GET /wait");
            while (trace.events().empty())
                co_await turns(1);
            if (reset)
                client.writer.transport().abort();
            else
                client.close();
            while (server.connections() > 0)
                co_await turns(1);
            CHECK(trace.text() == "start cancelled");
        });
    }
}

TEST_CASE("with half_close a client may end its side and still gets its answers") {
    const ServeOptions options = ServeOptions().half_close(true);
    serve_on_each_backend(test_app(), options, [](HttpServer& server) -> Coro<> {
        Client client = co_await Client::connect(server.port());
        client.request("GET /sleep/5");
        client.request("GET /sleep/6");
        client.writer.write_eof();
        const auto reply1 = co_await client.reply();
        CHECK(reply1.body == "5");
        const Reply last = co_await client.reply();
        CHECK(last.body == "6");
        CHECK(last.header("connection") == "close");
        const auto rest1 = co_await client.rest();
        CHECK(rest1.empty());
    });
}

TEST_CASE("a handler object lives as long as its coroutines, also when its App is gone") {
    run_on_each_backend([]() -> Coro<> {
        auto alive = std::make_shared<int>(42);
        std::weak_ptr<int> watch = alive;
        std::optional<App> app(std::in_place);
        app->get("/", [alive = std::move(alive)]() -> Coro<Response> {
            co_await sleep(10ms);
            co_return Response::text(std::to_string(*alive));
        });
        HttpServer server = co_await app->serve("127.0.0.1", 0);
        app.reset();
        Client client = co_await Client::connect(server.port());
        const auto reply1 = co_await client.ask("GET /");
        CHECK(reply1.body == "42");
        CHECK_FALSE(watch.expired());
        co_await server.shutdown();
    });
}

TEST_CASE("while a connection is idle it has no task, and a request that waits has one with a name") {
    run_on_each_backend([]() -> Coro<> {
        HttpServer server = co_await test_app().serve("127.0.0.1", 0);
        Client client = co_await Client::connect(server.port());
        (void)co_await client.ask("GET /");
        CHECK(all_tasks().size() == 1);
        client.request("GET /sleep/50");
        while (all_tasks().size() == 1)
            co_await turns(1);
        CHECK(all_tasks()[1].name() == "http GET /sleep/50");
        (void)co_await client.reply();
        CHECK(all_tasks().size() == 1);
        co_await server.shutdown();
    });
}

TEST_CASE("many connections are served side by side") {
    serve_on_each_backend(test_app(), [](HttpServer& server) -> Coro<> {
        std::vector<Task<>> tasks;
        for (int i = 0; i < 50; ++i)
            tasks.push_back(create_task(
                [&server](int number) -> Coro<> {
                    Client client = co_await Client::connect(server.port());
                    for (int round = 0; round < 20; ++round) {
                        const std::string name = std::to_string(number) + "-" + std::to_string(round);
                        const auto reply1 = co_await client.ask("GET /hello/" + name);
                        CHECK(reply1.body == "hello " + name);
                        const auto reply2 = co_await client.ask("POST /echo", "", name);
                        CHECK(reply2.body == name);
                    }
                    client.close();
                },
                i));
        co_await gather(std::move(tasks));
    });
}
