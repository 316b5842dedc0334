// The same awaited: PORT.
#include <weft/weft.hpp>

#include <cstdio>
#include <cstdlib>

using namespace weft;

namespace {

Coro<> amain(int port) {
    auto options = DatagramOptions().local_addr("127.0.0.1", port);
    DatagramEndpoint endpoint = co_await open_datagram_endpoint(options);
    std::printf("port %d\n", endpoint.sockname()->port());
    std::fflush(stdout);
    while (true) {
        const Datagram datagram = co_await endpoint.receive();
        co_await endpoint.send(datagram.data.span(), datagram.from);
    }
}

}  // namespace

int main(int argc, char** argv) {
    return run(amain(argc > 1 ? std::atoi(argv[1]) : 0));
}
