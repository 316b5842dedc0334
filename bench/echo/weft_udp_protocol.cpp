// A UDP echo server on a DatagramProtocol: PORT.
#include <weft/weft.hpp>

#include <cstdio>
#include <cstdlib>

using namespace weft;

namespace {

class Echo : public DatagramProtocol {
    void connection_made(std::shared_ptr<DatagramTransport> transport) override { transport_ = std::move(transport); }
    void datagram_received(std::span<const std::byte> data, const Address& from) override {
        transport_->sendto(data, from);
    }
    void connection_lost(std::exception_ptr) override { transport_ = nullptr; }

    std::shared_ptr<DatagramTransport> transport_;
};

Coro<> amain(int port) {
    EventLoop& loop = get_running_loop();
    auto options = DatagramOptions().local_addr("127.0.0.1", port);
    auto [transport, protocol] =
        co_await loop.create_datagram_endpoint([] { return std::make_shared<Echo>(); }, options);
    std::printf("port %d\n", transport->sockname()->port());
    std::fflush(stdout);
    co_await loop.create_future<void>();
}

}  // namespace

int main(int argc, char** argv) {
    return run(amain(argc > 1 ? std::atoi(argv[1]) : 0));
}
