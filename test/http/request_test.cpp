// What handlers see of a request, and how the bytes of one become it.
#include "client.hpp"

#include <vector>

using namespace weft;
using namespace weft::http;
using namespace weft::testing;

namespace {

Response describe(Request& request) {
    std::string text(request.method());
    text += " path=" + std::string(request.path());
    for (const auto& [name, value] : request.query_parameters())
        text += " ?" + name + "=" + value;
    text += " body=" + std::string(request.text());
    return Response::text(text);
}

App describing_app() {
    App app;
    app.get("/{any...}", describe).post("/{any...}", describe).put("/{any...}", describe);
    return app;
}

/// Sends the bytes, in pieces of `piece` bytes, and gives all that comes back until the server closes.
Coro<std::string> exchange(int port, std::string bytes, std::size_t piece) {
    Client client = co_await Client::connect(port);
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
        client.send(std::string_view(bytes).substr(at, piece));
        co_await turns(4);
    }
    co_return co_await client.rest();
}

/// The status lines of several responses: "200 404".
std::string statuses(const std::string& text) {
    std::string result;
    for (std::size_t at = text.find("HTTP/1.1 "); at != std::string::npos; at = text.find("HTTP/1.1 ", at + 1))
        result += (result.empty() ? "" : " ") + text.substr(at + 9, 3);
    return result;
}

void check_status(std::string request, const std::string& expected) {
    INFO(request);
    serve_on_each_backend(describing_app(), [&](HttpServer& server) -> Coro<> {
        const std::string answer = co_await exchange(server.port(), request, request.size());
        CHECK(statuses(answer) == expected);
        if (expected != "200") CHECK(answer.find("Connection: close\r\n") != std::string::npos);
    });
}

}  // namespace

TEST_CASE("a handler sees method, path, query, header, parameters, body and peer") {
    App app;
    app.put("/users/{id}/files/{path...}", [](Request& request) {
        CHECK(request.method() == "PUT");
        CHECK(request.target() == "/users/a%20b/files/x/y?name=Ada+L.&empty=&flag");
        CHECK(request.path() == "/users/a b/files/x/y");
        CHECK(request.raw_path() == "/users/a%20b/files/x/y");
        CHECK(request.param("id") == "a b");
        CHECK(request.param("path") == "x/y");
        CHECK_THROWS_AS((void)request.param("other"), ValueError);
        CHECK(request.query("name") == "Ada L.");
        CHECK(request.query("empty") == "");
        CHECK(request.query("flag") == "");
        CHECK_FALSE(request.query("none"));
        CHECK(request.header("x-tEST") == "yes");
        CHECK_FALSE(request.header("x-none"));
        CHECK(request.headers().size() == 3);
        CHECK(request.headers()[1].name == "X-Test");
        CHECK(request.text() == "hello");
        CHECK(request.version() == 11);
        CHECK(request.keep_alive());
        REQUIRE(request.peer());
        CHECK(request.peer()->host() == "127.0.0.1");
        return Response(204);
    });
    serve_on_each_backend(app, [](HttpServer& server) -> Coro<> {
        Client client = co_await Client::connect(server.port());
        const Reply reply =
            co_await client.ask("PUT /users/a%20b/files/x/y?name=Ada+L.&empty=&flag", "X-Test:  yes \r\n", "hello");
        CHECK(reply.status == 204);
        CHECK_FALSE(reply.has("content-length"));
    });
}

TEST_CASE("a form's fields are decoded, and only of a form") {
    App app;
    app.post("/", [](Request& request) { return Response::text(std::string(request.form("text").value_or("-"))); });
    serve_on_each_backend(app, [](HttpServer& server) -> Coro<> {
        Client client = co_await Client::connect(server.port());
        Reply reply = co_await client.ask(
            "POST /", "Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n", "room=1&text=a+%26+b");
        CHECK(reply.body == "a & b");
        reply = co_await client.ask("POST /", "Content-Type: text/plain\r\n", "text=a");
        CHECK(reply.body == "-");
    });
}

TEST_CASE("a chunked body is put together, and its extensions and trailers are left out") {
    serve_on_each_backend(describing_app(), [](HttpServer& server) -> Coro<> {
        Client client = co_await Client::connect(server.port());
        client.send("POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "5\r\nhello\r\n7;note=x\r\n, world\r\n0\r\nX-Trailer: 1\r\n\r\n");
        const Reply reply = co_await client.reply();
        CHECK(reply.body == "POST path=/up body=hello, world");
        const auto reply1 = co_await client.ask("GET /again");
        CHECK(reply1.status == 200);
    });
}

TEST_CASE("any division of the bytes gives the same requests") {
    const std::string bytes =
        "\r\nGET /a%20b?x=1 HTTP/1.1\r\nHost: a\r\n\r\n"
        "POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
        "POST /d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n"
        "GET http://example.com/e?y=2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    serve_on_each_backend(describing_app(), [&](HttpServer& server) -> Coro<> {
        const std::string whole = co_await exchange(server.port(), bytes, bytes.size());
        CHECK(statuses(whole) == "200 200 200 200");
        CHECK(whole.find("GET path=/a b ?x=1 body=") != std::string::npos);
        CHECK(whole.find("POST path=/c body=hello") != std::string::npos);
        CHECK(whole.find("POST path=/d body=abcde") != std::string::npos);
        CHECK(whole.find("GET path=/e ?y=2 body=") != std::string::npos);
        for (const std::size_t piece : {1U, 2U, 3U, 7U, 50U}) {
            const std::string pieces = co_await exchange(server.port(), bytes, piece);
            CHECK(statuses(pieces) == statuses(whole));
            CHECK(pieces.size() == whole.size());
        }
    });
}

TEST_CASE("bytes that are no request are answered 400") {
    check_status("nonsense\r\n\r\n", "400");
    check_status("GET /\r\n\r\n", "400");
    check_status("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", "400");
    check_status("GET / HTTX/1.1\r\nHost: a\r\n\r\n", "400");
    check_status("GET / HTTP/1.1\nHost: a\n\n", "400");
    check_status("GET / HTTP/1.1\r\nHost a\r\n\r\n", "400");
    check_status("GET / HTTP/1.1\r\nHost : a\r\n\r\n", "400");
    check_status("GET / HTTP/1.1\r\nHost: a\r\nX: a\x01"
                 "b\r\n\r\n",
                 "400");
}

TEST_CASE("a target that is no path of this server is answered 400") {
    check_status("GET relative HTTP/1.1\r\nHost: a\r\n\r\n", "400");
    check_status("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", "400");
    check_status("GET * HTTP/1.1\r\nHost: a\r\n\r\n", "400");
    check_status("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "400");
    check_status("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", "400");
}

TEST_CASE("HTTP/1.1 needs exactly one Host") {
    check_status("GET / HTTP/1.1\r\n\r\n", "400");
    check_status("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400");
    check_status("GET / HTTP/1.0\r\n\r\n", "200");
}

TEST_CASE("conflicting or wrong framing is answered 400") {
    check_status("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                 "400");
    check_status("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
                 "400");
    check_status("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "400");
    check_status("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\n", "400");
    check_status("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n", "400");
    check_status("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "400");
    check_status("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n", "400");
    check_status("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400");
}

TEST_CASE("unknown transfer codings are answered 501, unsupported versions 505, unknown expectations 417") {
    check_status("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "501");
    check_status("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "501");
    check_status("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505");
    check_status("GET / HTTP/1.2\r\nHost: a\r\n\r\n", "505");
    check_status("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505");
    check_status("GET / HTTP/1.1\r\nHost: a\r\nExpect: the-unexpected\r\n\r\n", "417");
}

TEST_CASE("a header above its limit is answered 431 however it arrives") {
    std::vector<std::string> requests;
    requests.push_back("GET /" + std::string(2000, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n");
    requests.push_back("GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + std::string(2000, 'a') + "\r\n\r\n");
    std::string many = "GET / HTTP/1.1\r\nHost: a\r\n";
    for (int i = 0; i < 100; ++i)
        many += "X-" + std::to_string(i) + ": some value\r\n";
    requests.push_back(many + "\r\n");
    ServeOptions options = ServeOptions().header_limit(1000);
    serve_on_each_backend(describing_app(), options, [&](HttpServer& server) -> Coro<> {
        for (const std::string& request : requests)
            for (const std::size_t piece : {request.size(), std::size_t{100}, std::size_t{7}}) {
                const std::string answer = co_await exchange(server.port(), request, piece);
                CHECK(statuses(answer) == "431");
            }
        const std::string fits = "GET /" + std::string(900, 'a') + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        const auto answer1 = co_await exchange(server.port(), fits, fits.size());
        CHECK(statuses(answer1) == "200");
    });
}

TEST_CASE("a header that never ends is answered 431 without waiting for its end") {
    serve_on_each_backend(describing_app(), [](HttpServer& server) -> Coro<> {
        Client client = co_await Client::connect(server.port());
        client.send("GET / HTTP/1.1\r\nX: " + std::string(20000, 'a'));
        const auto reply1 = co_await client.reply();
        CHECK(reply1.status == 431);
        client.close();
    });
}

TEST_CASE("a body above its limit is answered 413: declared, chunked, and before it is sent") {
    ServeOptions options = ServeOptions().body_limit(100);
    serve_on_each_backend(describing_app(), options, [](HttpServer& server) -> Coro<> {
        Client declared = co_await Client::connect(server.port());
        declared.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\nExpect: 100-continue\r\n\r\n");
        const auto reply1 = co_await declared.reply();
        CHECK(reply1.status == 413);
        const auto rest1 = co_await declared.rest();
        CHECK(rest1.empty());

        const std::string chunk = "32\r\n" + std::string(50, 'x') + "\r\n";
        const std::string head =
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
        const std::string over = head + chunk + chunk + "1\r\nx\r\n0\r\n\r\n";
        const std::string fits = head + chunk + chunk + "0\r\n\r\n";
        for (const std::size_t piece : {1000U, 10U, 1U}) {
            const auto answer1 = co_await exchange(server.port(), over, piece);
            CHECK(statuses(answer1) == "413");
            const auto answer2 = co_await exchange(server.port(), fits, piece);
            CHECK(statuses(answer2) == "200");
        }
    });
}

TEST_CASE("a chunk header that never ends is refused") {
    serve_on_each_backend(describing_app(), [](HttpServer& server) -> Coro<> {
        Client client = co_await Client::connect(server.port());
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;" + std::string(20000, 'a'));
        const auto reply1 = co_await client.reply();
        CHECK(reply1.status == 400);
        client.close();
    });
}

TEST_CASE("a large body arrives whole") {
    const std::string body(900 * 1024, 'z');
    App app;
    app.post("/", [&](Request& request) { return Response::text(request.text() == body ? "same" : "different"); });
    serve_on_each_backend(app, [&](HttpServer& server) -> Coro<> {
        Client client = co_await Client::connect(server.port());
        const auto reply1 = co_await client.ask("POST /", "", body);
        CHECK(reply1.body == "same");
    });
}

TEST_CASE("a client that expects 100 Continue is told so once, before it sends its body") {
    serve_on_each_backend(describing_app(), [](HttpServer& server) -> Coro<> {
        Client client = co_await Client::connect(server.port());
        client.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
        const Reply interim = co_await client.head();
        CHECK(interim.status == 100);
        CHECK(interim.headers.empty());
        client.send("bo");
        co_await turns(4);
        client.send("dy");
        const auto reply1 = co_await client.reply();
        CHECK(reply1.body == "POST path=/x body=body");
        // With the body already there nothing needs to be said, and HTTP/1.0 does not know it.
        client.request("POST /y", "Expect: 100-continue\r\n", "now");
        const auto reply2 = co_await client.reply();
        CHECK(reply2.body == "POST path=/y body=now");
        client.send("POST /z HTTP/1.0\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
        co_await turns(8);
        client.send("end");
        const auto reply3 = co_await client.reply();
        CHECK(reply3.body == "POST path=/z body=end");
    });
}

TEST_CASE("100 Continue waits for the responses that are due before it") {
    App app = describing_app();
    app.get("/slow", []() -> Coro<Response> {
        co_await sleep(20ms);
        co_return Response::text("slow");
    });
    serve_on_each_backend(app, [](HttpServer& server) -> Coro<> {
        Client client = co_await Client::connect(server.port());
        client.request("GET /slow");
        client.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
        const auto reply1 = co_await client.reply();
        CHECK(reply1.body == "slow");
        const auto head1 = co_await client.head();
        CHECK(head1.status == 100);
        client.send("body");
        const auto reply2 = co_await client.reply();
        CHECK(reply2.body == "POST path=/x body=body");
    });
}
