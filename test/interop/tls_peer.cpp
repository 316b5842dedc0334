// The Weft end of the TLS interop tests; tls_interop.py runs it.
//
//     tls_peer server CERTIFICATE KEY CA [starttls|mtls|names]     prints `port N`; echoes until SIGTERM
//     tls_peer client PORT CA BYTES|line [starttls|mtls CERTIFICATE KEY]
//
// The client sends so many bytes, or a line that reads the same from both ends, compares what comes back, and prints
// `ok VERSION CIPHER ALPN` when the connection has been closed in order, or `failed ERROR`. With starttls both talk
// plain first: STARTTLS, then READY. With names the server asks who wants strict.test for a certificate, and who wants
// new.test for TLS 1.3.
#include <weft/weft.hpp>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

using namespace weft;

namespace {

void say(const std::string& line) {
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
}

class EchoSettings {
public:
    EchoSettings(TlsContext context, bool upgrade) : context(std::move(context)), upgrade(upgrade) {}
    TlsContext context;
    bool upgrade;
};

Coro<> echo(const EchoSettings& settings, StreamReader reader, StreamWriter writer) {
    if (settings.upgrade) {
        const Bytes line = co_await reader.readline();
        if (line != "STARTTLS\n") throw RuntimeError("expected STARTTLS");
        writer.write("READY\n");
        co_await writer.start_tls(settings.context);
    }
    for (;;) {
        const Bytes data = co_await reader.read(65536);
        if (data.empty()) break;
        writer.write(data.span());
        co_await writer.drain();
    }
    writer.close();
    co_await writer.wait_closed();
}

Coro<> serve(EchoSettings settings) {
    ServerOptions options;
    if (!settings.upgrade) options.tls(settings.context);
    auto handler = [&settings](StreamReader reader, StreamWriter writer) {
        return echo(settings, std::move(reader), std::move(writer));
    };
    Server server = co_await start_server(handler, "127.0.0.1", 0, options);
    say("port " + std::to_string(server.sockets().front().port()));
    co_await server.serve_forever();
}

std::string text_to_send(const std::string& what) {
    if (what == "line") return "level\n";
    std::string text;
    const std::size_t size = std::stoul(what);
    for (std::size_t i = 0; i < size; ++i)
        text += static_cast<char>(i * 2654435761U >> 24);
    return text;
}

/// Writes while it reads, so that neither side waits for the other's buffers.
Coro<bool> exchange(StreamReader& reader, StreamWriter& writer, const std::string& sent) {
    auto write_all = [&]() -> Coro<> {
        writer.write(sent);
        co_await writer.drain();
    };
    Task<> writing = create_task(write_all());
    const Bytes back = co_await reader.readexactly(sent.size());
    co_await writing;
    co_return back == sent;
}

Coro<> visit(int port, TlsContext context, std::string text, bool upgrade) {
    ConnectionOptions options;
    if (!upgrade) options.tls(context);
    auto [reader, writer] = co_await open_connection("localhost", port, options);
    if (upgrade) {
        writer.write("STARTTLS\n");
        const Bytes line = co_await reader.readline();
        if (line != "READY\n") throw RuntimeError("expected READY");
        co_await writer.start_tls(context, StartTlsOptions().server_hostname("localhost"));
    }
    const TlsInfo info = *writer.tls_info();
    const bool same = co_await exchange(reader, writer, text);
    if (!same) throw RuntimeError("the echo differs from what was sent");
    writer.close();
    co_await writer.wait_closed();
    say("ok " + info.version + " " + info.cipher + " " + (info.alpn.empty() ? "-" : info.alpn));
}

Coro<> visit_and_tell(int port, TlsContext context, std::string text, bool upgrade) {
    std::exception_ptr error;
    try {
        co_await visit(port, std::move(context), std::move(text), upgrade);
    } catch (const std::exception&) {
        error = std::current_exception();
    }
    if (error) say("failed " + describe_exception(error));
}

int run_server(const std::vector<std::string>& arguments) {
    TlsContext context = TlsContext::server(arguments.at(0), arguments.at(1));
    const std::string mode = arguments.size() > 3 ? arguments[3] : "";
    context.set_alpn_protocols({"weft", "echo"});
    if (mode == "mtls") context.load_verify_locations(arguments.at(2)).verify_mode(TlsVerify::required);
    if (mode == "names") {
        TlsContext strict = TlsContext::server(arguments.at(0), arguments.at(1));
        strict.load_verify_locations(arguments.at(2)).verify_mode(TlsVerify::required);
        TlsContext recent = TlsContext::server(arguments.at(0), arguments.at(1));
        recent.minimum_version(TlsVersion::tls1_3);
        context.set_servername_callback([strict, recent](const std::string& name) -> std::optional<TlsContext> {
            if (name == "strict.test") return strict;
            if (name == "new.test") return recent;
            return std::nullopt;
        });
    }
    return run(serve(EchoSettings(context, mode == "starttls")));
}

int run_client(const std::vector<std::string>& arguments) {
    TlsContext context = TlsContext::client();
    const std::string mode = arguments.size() > 3 ? arguments[3] : "";
    context.load_verify_locations(arguments.at(1)).set_alpn_protocols({"echo"});
    if (mode == "mtls") context.load_cert_chain(arguments.at(4), arguments.at(5));
    return run(visit_and_tell(std::stoi(arguments.at(0)), context, text_to_send(arguments.at(2)), mode == "starttls"));
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> arguments(argv + std::min(argc, 2), argv + argc);
    const std::string role = argc > 1 ? argv[1] : "";
    if (role == "server" && arguments.size() >= 3) return run_server(arguments);
    if (role == "client" && arguments.size() >= 3) return run_client(arguments);
    std::fprintf(stderr, "usage: tls_peer server CERTIFICATE KEY CA [MODE] | client PORT CA BYTES [MODE]\n");
    return 2;
}
