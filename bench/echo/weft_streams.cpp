// The echo server of the README: PORT|PATH [CERTIFICATE KEY], with TLS if there are these.
#include <weft/weft.hpp>

#include <cstdio>
#include <cstdlib>

using namespace weft;

namespace {

Coro<> echo(StreamReader reader, StreamWriter writer) {
    while (true) {
        Bytes data = co_await reader.read(262144);
        if (data.empty()) break;
        writer.write(data);
        co_await writer.drain();
    }
}

Coro<> serve_unix(std::string path, ServerOptions options) {
    Server server = co_await start_unix_server(echo, path, options);
    std::printf("path %s\n", path.c_str());
    std::fflush(stdout);
    co_await server.serve_forever();
}

Coro<> amain(int port, ServerOptions options) {
    Server server = co_await start_server(echo, "127.0.0.1", port, options);
    std::printf("port %d\n", server.sockets().front().port());
    std::fflush(stdout);
    co_await server.serve_forever();
}

}  // namespace

int main(int argc, char** argv) {
    ServerOptions options;
    if (argc > 3) options.tls(TlsContext::server(argv[2], argv[3]));
    if (argc > 1 && argv[1][0] == '/') return run(serve_unix(argv[1], options));
    return run(amain(argc > 1 ? std::atoi(argv[1]) : 0, options));
}
