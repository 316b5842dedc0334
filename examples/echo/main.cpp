#include <weft/weft.hpp>
using namespace weft;

Coro<> echo(StreamReader reader, StreamWriter writer) {
    while (true) {
        Bytes data = co_await reader.read(65536);
        if (data.empty()) break;
        writer.write(data);
        co_await writer.drain();
    }
}

Coro<> amain() {
    Server server = co_await start_server(echo, "127.0.0.1", 8888);
    co_await server.serve_forever();
}

int main() {
    return run(amain());
}
