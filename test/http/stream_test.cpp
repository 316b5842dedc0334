#include "client.hpp"

using namespace weft;
using namespace weft::http;
using namespace weft::testing;

TEST_CASE("a streamed response goes out in chunks as it is written") {
    App app;
    app.get("/count", [] {
        return Response::stream(
            [](ResponseStream& out) -> Coro<> {
                for (int i = 0; i < 3; ++i) {
                    co_await out.write("part " + std::to_string(i) + "\n");
                    co_await sleep(5ms);
                }
            },
            "text/plain");
    });
    serve_on_each_backend(app, [](HttpServer& server) -> Coro<> {
        Client client = co_await Client::connect(server.port());
        client.request("GET /count");
        const Reply head = co_await client.head();
        CHECK(head.header("transfer-encoding") == "chunked");
        CHECK(head.header("content-type") == "text/plain");
        CHECK_FALSE(head.has("content-length"));
        const auto chunk1 = co_await client.chunk();
        CHECK(chunk1 == "part 0\n");
        const auto chunk2 = co_await client.chunk();
        CHECK(chunk2 == "part 1\n");
        const auto chunk3 = co_await client.chunk();
        CHECK(chunk3 == "part 2\n");
        const auto chunk4 = co_await client.chunk();
        CHECK(chunk4.empty());
        const auto reply1 = co_await client.ask("GET /count");
        CHECK(reply1.body == "part 0\npart 1\npart 2\n");
    });
}

TEST_CASE("the head of a stream is sent although its body waits") {
    App app;
    app.get("/events", [] {
        return event_stream([](ResponseStream& out) -> Coro<> {
            co_await sleep(1h);
            co_await out.write("never");
        });
    });
    serve_on_each_backend(app, [](HttpServer& server) -> Coro<> {
        Client client = co_await Client::connect(server.port());
        client.request("GET /events");
        const Reply head = co_await client.head();
        CHECK(head.header("content-type") == "text/event-stream");
        CHECK(head.header("cache-control") == "no-store");
        client.close();
    });
}

TEST_CASE("a stream to HTTP/1.0 ends with the connection, one of known length has its length") {
    App app;
    const auto body = [](ResponseStream& out) -> Coro<> {
        co_await out.write("abc");
        co_await out.write("");
        co_await out.write("def");
    };
    app.get("/stream", [body] { return Response::stream(body); });
    app.get("/sized", [body] { return Response::stream(body).content_length(6); });
    serve_on_each_backend(app, [](HttpServer& server) -> Coro<> {
        Client sized = co_await Client::connect(server.port());
        const Reply reply = co_await sized.ask("GET /sized");
        CHECK(reply.header("content-length") == "6");
        CHECK(reply.body == "abcdef");
        sized.send("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        const Reply old = co_await sized.reply();
        CHECK_FALSE(old.has("transfer-encoding"));
        CHECK(old.header("connection") == "close");
        CHECK(old.body == "abcdef");
    });
}

TEST_CASE("a stream that does not keep to its length is cut off and reported") {
    App app;
    app.get("/short", [] {
        return Response::stream([](ResponseStream& out) -> Coro<> { co_await out.write("abc"); }).content_length(6);
    });
    app.get("/long", [] {
        return Response::stream([](ResponseStream& out) -> Coro<> { co_await out.write("abcdefg"); }).content_length(6);
    });
    serve_on_each_backend(app, [](HttpServer& server) -> Coro<> {
        Reports reports(get_running_loop());
        for (const char* path : {"/short", "/long"}) {
            Client client = co_await Client::connect(server.port());
            client.request(std::string("GET ") + path);
            bool cut_off = false;
            try {
                (void)co_await client.reply();
            } catch (const IncompleteReadError&) {
                cut_off = true;
            } catch (const ConnectionError&) {
                cut_off = true;
            }
            CHECK(cut_off);
        }
        CHECK(reports.size() == 2);
        get_running_loop().set_exception_handler({});
    });
}

TEST_CASE("a stream waits for a client that reads slowly") {
    std::size_t written = 0;
    App app;
    app.get("/flood", [&] {
        return Response::stream([&](ResponseStream& out) -> Coro<> {
            const std::string piece(16 * 1024, 'f');
            for (int i = 0; i < 1024; ++i) {
                co_await out.write(piece);
                written += piece.size();
            }
        });
    });
    serve_on_each_backend(app, [&](HttpServer& server) -> Coro<> {
        written = 0;
        Client client = co_await Client::connect(server.port());
        client.request("GET /flood");
        (void)co_await client.head();
        std::size_t before = 1;
        while (written != before) {
            before = written;
            co_await sleep(20ms);
        }
        // Stuck: what the two ends buffer is far less than the 16 MB.
        CHECK(written < 12U * 1024 * 1024);
        std::size_t got = 0;
        while (true) {
            const std::string piece = co_await client.chunk();
            if (piece.empty()) break;
            got += piece.size();
        }
        CHECK(got == 16U * 1024 * 1024);
        CHECK(written == got);
    });
}

TEST_CASE("a stream is cancelled when its client goes away: while it sleeps, and while it waits to write") {
    for (const std::string path : {"/ticks", "/flood"}) {
        CAPTURE(path);
        Trace* events = nullptr;
        App app;
        const auto watched = [&](Coro<> body) -> Coro<> {
            (*events)("start");
            try {
                co_await std::move(body);
            } catch (const CancelledError&) {
                (*events)("cancelled");
                throw;
            }
            (*events)("ended");
        };
        const auto ticks = [](ResponseStream& out) -> Coro<> {
            while (true) {
                co_await out.write("tick\n");
                co_await sleep(1h);
            }
        };
        const auto flood = [](ResponseStream& out) -> Coro<> {
            const std::string piece(16 * 1024, 'f');
            while (true)
                co_await out.write(piece);
        };
        app.get("/ticks", [&] { return Response::stream([&](ResponseStream& out) { return watched(ticks(out)); }); });
        app.get("/flood", [&] { return Response::stream([&](ResponseStream& out) { return watched(flood(out)); }); });
        serve_on_each_backend(app, [&](HttpServer& server) -> Coro<> {
            Trace trace;
            events = &trace;
            Client client = co_await Client::connect(server.port());
            client.request("GET " + path);
            (void)co_await client.head();
            (void)co_await client.chunk();
            client.writer.transport().abort();
            while (server.connections() > 0)
                co_await turns(1);
            CHECK(trace.text() == "start cancelled");
        });
    }
}

TEST_CASE("who refuses the cancellation learns from write that the client has gone") {
    Trace* events = nullptr;
    App app;
    app.get("/stubborn", [&] {
        return Response::stream([&](ResponseStream& out) -> Coro<> {
            co_await out.write("a");
            try {
                co_await sleep(1h);
            } catch (const CancelledError&) {
                (*events)("cancelled");
            }
            while (out.is_open())
                co_await sleep(1ms);
            bool gone = false;
            try {
                co_await out.write("b");
            } catch (const ConnectionResetError&) {
                gone = true;
            }
            (*events)(gone ? "gone" : "open");
        });
    });
    serve_on_each_backend(app, [&](HttpServer& server) -> Coro<> {
        Trace trace;
        events = &trace;
        Client client = co_await Client::connect(server.port());
        client.request("GET /stubborn");
        (void)co_await client.head();
        client.close();
        while (server.connections() > 0)
            co_await sleep(1ms);
        CHECK(trace.text() == "cancelled gone");
    });
}

TEST_CASE("a stream whose body throws is cut off and reported") {
    App app;
    app.get("/broken", [] {
        return Response::stream([](ResponseStream& out) -> Coro<> {
            co_await out.write("half");
            throw std::runtime_error("the other half is missing");
        });
    });
    serve_on_each_backend(app, [](HttpServer& server) -> Coro<> {
        Reports reports(get_running_loop());
        Client client = co_await Client::connect(server.port());
        client.request("GET /broken");
        bool cut_off = false;
        try {
            (void)co_await client.reply();
        } catch (const IncompleteReadError&) {
            cut_off = true;
        } catch (const ConnectionError&) {
            cut_off = true;
        }
        CHECK(cut_off);
        CHECK(reports.size() == 1);
        CHECK(reports[0].message == "Unhandled exception in the body of an HTTP response");
        get_running_loop().set_exception_handler({});
    });
}

TEST_CASE("the captures of a stream's body live as long as it runs") {
    App app;
    app.get("/{word}", [](Request& request) {
        std::string word(request.param("word"));
        return Response::stream([word, &request](ResponseStream& out) -> Coro<> {
            for (int i = 0; i < 3; ++i) {
                co_await sleep(1ms);
                co_await out.write(word);
                co_await out.write(request.param("word"));
            }
        });
    });
    serve_on_each_backend(app, [](HttpServer& server) -> Coro<> {
        const std::string word = "a-word-that-is-too-long-for-the-small-string-buffer";
        Client client = co_await Client::connect(server.port());
        const auto reply1 = co_await client.ask("GET /" + word);
        CHECK(reply1.body == word + word + word + word + word + word);
    });
}

TEST_CASE("a large response of known size arrives whole and in order behind small ones") {
    App app;
    app.get("/small", [] { return Response::text("s"); });
    app.get("/big", [] { return Response::text(std::string(3 << 20, 'b')); });
    serve_on_each_backend(app, [](HttpServer& server) -> Coro<> {
        Client client = co_await Client::connect(server.port());
        for (const char* path : {"/small", "/big", "/small", "/big", "/small"})
            client.request(std::string("GET ") + path);
        for (const std::size_t size : {1, 3 << 20, 1, 3 << 20, 1}) {
            const auto reply1 = co_await client.reply();
            CHECK(reply1.body.size() == size);
        }
    });
}
