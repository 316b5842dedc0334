#pragma once
// A client for the tests of the HTTP server: raw streams, so that every byte sent is the test's.

#include "support/harness.hpp"

#include <weft/http/http.hpp>

#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weft::testing {

/// One response as it came.
class Reply {
public:
    Reply() = default;
    int status = 0;
    std::string version;
    std::vector<std::pair<std::string, std::string>> headers;
    std::string body;

    std::string header(std::string_view name) const {
        for (const auto& [key, value] : headers)
            if (http::equals_ignoring_case(key, name)) return value;
        return "<none>";
    }
    bool has(std::string_view name) const { return header(name) != "<none>"; }
};

class Client {
public:
    static Coro<Client> connect(int port) {
        auto [reader, writer] = co_await open_connection("127.0.0.1", port);
        co_return Client(std::move(reader), std::move(writer));
    }
    Client(StreamReader reader, StreamWriter writer) : reader(std::move(reader)), writer(std::move(writer)) {}

    void send(std::string_view text) { writer.write(text); }
    /// A whole request: the method and target, and header lines of the caller's.
    void request(std::string_view line, std::string_view headers = {}, std::string_view body = {}) {
        std::string text(line);
        text += " HTTP/1.1\r\nHost: test\r\n";
        text += headers;
        if (!body.empty()) text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
        text += "\r\n";
        text += body;
        send(text);
    }
    /// The next response up to its body.
    Coro<Reply> head() {
        Reply reply;
        const Bytes bytes = co_await reader.readuntil("\r\n\r\n");
        std::string_view text = bytes.text();
        bool first = true;
        while (!text.empty()) {
            const std::size_t end = text.find("\r\n");
            const std::string_view line = text.substr(0, end);
            text.remove_prefix(end + 2);
            if (first) {
                reply.version = line.substr(0, 8);
                reply.status = std::atoi(std::string(line.substr(9, 3)).c_str());
                first = false;
            } else if (!line.empty()) {
                const std::size_t colon = line.find(": ");
                reply.headers.emplace_back(line.substr(0, colon), line.substr(colon + 2));
            }
        }
        co_return reply;
    }
    /// The next response with its body.
    Coro<Reply> reply() {
        Reply reply = co_await head();
        if (reply.has("content-length")) {
            const Bytes body = co_await reader.readexactly(std::stoul(reply.header("content-length")));
            reply.body = body.str();
        } else if (reply.header("transfer-encoding") == "chunked") {
            while (true) {
                const std::string piece = co_await chunk();
                if (piece.empty()) break;
                reply.body += piece;
            }
        } else if (http::status_has_body(reply.status)) {
            reply.body = co_await rest();
        }
        co_return reply;
    }
    /// The next chunk's data; empty for the last.
    Coro<std::string> chunk() {
        const Bytes line = co_await reader.readuntil("\r\n");
        const std::size_t size = std::stoul(line.str(), nullptr, 16);
        const Bytes data = co_await reader.readexactly(size + 2);
        co_return data.str().substr(0, size);
    }
    /// Everything until the server closes.
    Coro<std::string> rest() {
        const Bytes data = co_await reader.read(-1);
        co_return data.str();
    }
    /// One request and its response.
    Coro<Reply> ask(std::string line, std::string headers = {}, std::string body = {}) {
        request(line, headers, body);
        co_return co_await reply();
    }
    void close() { writer.close(); }

    StreamReader reader;
    StreamWriter writer;
};

/// Serves `app` on each backend while `body(HttpServer&)`, a coroutine, runs.
template <class F>
void serve_on_each_backend(http::App app, http::ServeOptions options, F body) {
    run_on_each_backend([&]() -> Coro<> {
        http::HttpServer server = co_await app.serve("127.0.0.1", 0, options);
        co_await body(server);
        co_await server.shutdown(0s);
        CHECK(server.connections() == 0);
    });
}
template <class F>
void serve_on_each_backend(http::App app, F body) {
    serve_on_each_backend(std::move(app), http::ServeOptions(), std::move(body));
}

}  // namespace weft::testing
