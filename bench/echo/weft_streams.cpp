// The echo server of the README, on a port from the command line.
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

Coro<> amain(int port) {
    Server server = co_await start_server(echo, "127.0.0.1", port);
    std::printf("port %d\n", server.sockets().front().port());
    std::fflush(stdout);
    co_await server.serve_forever();
}

}  // namespace

int main(int argc, char** argv) {
    return run(amain(argc > 1 ? std::atoi(argv[1]) : 0));
}
