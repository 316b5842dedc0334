// A chat room: terminals join over TCP (nc), browsers over HTTP, and all meet in the same rooms.
//
//     chatroom [--host H] [--http-port P] [--tcp-port P]

#include "line_chat.hpp"
#include "web_chat.hpp"

#include <charconv>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

using namespace weft;
using namespace std::chrono_literals;

namespace {

class Arguments {
public:
    std::string host = "127.0.0.1";
    int http_port = 8080;
    int tcp_port = 8888;
};

std::optional<int> parse_port(std::string_view text) {
    int port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc() || end != text.data() + text.size() || port < 0 || port > 65535) return std::nullopt;
    return port;
}

/// Nothing if they are wrong.
std::optional<Arguments> parse_arguments(int count, char** values) {
    Arguments arguments;
    for (int i = 1; i < count; i += 2) {
        const std::string_view name = values[i];
        if (i + 1 == count) return std::nullopt;
        const std::optional<int> port = parse_port(values[i + 1]);
        if (name == "--host")
            arguments.host = values[i + 1];
        else if (name == "--http-port" && port)
            arguments.http_port = *port;
        else if (name == "--tcp-port" && port)
            arguments.tcp_port = *port;
        else
            return std::nullopt;
    }
    return arguments;
}

void announce(const std::string& host, int http_port, int tcp_port) {
    const bool ipv6 = host.find(':') != std::string::npos;
    const std::string shown = host.empty() ? "127.0.0.1" : host;
    const std::string url = "http://" + (ipv6 ? "[" + shown + "]" : shown) + ":" + std::to_string(http_port) + "/";
    std::printf("chat room on %s and nc %s %d\n", url.c_str(), shown.c_str(), tcp_port);
    std::printf("live tasks: %sdebug/tasks\n", url.c_str());
    std::fflush(stdout);
}

Coro<> amain(Arguments arguments) {
    current_task().set_name("main");
    const auto lobby = std::make_shared<chat::Lobby>(get_running_loop());
    auto on_connection = [lobby](StreamReader reader, StreamWriter writer) {
        return chat::line_chat(lobby, std::move(reader), std::move(writer));
    };
    Server tcp = co_await start_server(on_connection, arguments.host, arguments.tcp_port,
                                       ServerOptions().limit(chat::longest_line));
    const int tcp_port = tcp.sockets().front().port();

    http::App app = chat::web_chat(lobby);
    app.on_shutdown([lobby, tcp]() mutable {
        tcp.close();
        lobby->close();
    });
    const auto announce_ports = [host = arguments.host, tcp_port](const http::HttpServer& server) {
        announce(host, server.port(), tcp_port);
    };
    const http::ServeOptions options =
        http::ServeOptions().shutdown_timeout(3s).server_name("weft-chatroom").on_listening(announce_ports);
    co_await app.run(arguments.host, arguments.http_port, options);

    // Goodbye was said; who does not take it in time is left behind.
    Handle deadline = get_running_loop().call_later(3s, [tcp]() mutable { tcp.abort_clients(); });
    co_await tcp.wait_closed();
    deadline.cancel();
}

}  // namespace

int main(int argc, char** argv) {
    const std::optional<Arguments> arguments = parse_arguments(argc, argv);
    if (!arguments) {
        std::fputs("usage: chatroom [--host H] [--http-port P] [--tcp-port P]\n", stderr);
        return 2;
    }
    return run(amain(*arguments));
}
