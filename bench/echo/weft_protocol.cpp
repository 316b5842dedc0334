// An echo server on a Protocol, on a port from the command line.
#include <weft/weft.hpp>

#include <cstdio>
#include <cstdlib>

using namespace weft;

namespace {

class Echo : public Protocol {
    void connection_made(std::shared_ptr<Transport> transport) override { transport_ = std::move(transport); }
    void data_received(std::span<const std::byte> data) override { transport_->write(data); }
    void connection_lost(std::exception_ptr) override { transport_ = nullptr; }
    void pause_writing() override { transport_->pause_reading(); }
    void resume_writing() override { transport_->resume_reading(); }

    std::shared_ptr<Transport> transport_;
};

Coro<> amain(int port) {
    EventLoop& loop = get_running_loop();
    Server server = co_await loop.create_server([] { return std::make_shared<Echo>(); }, "127.0.0.1", port);
    std::printf("port %d\n", server.sockets().front().port());
    std::fflush(stdout);
    co_await server.serve_forever();
}

}  // namespace

int main(int argc, char** argv) {
    return run(amain(argc > 1 ? std::atoi(argv[1]) : 0));
}
