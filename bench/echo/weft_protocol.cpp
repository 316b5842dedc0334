// An echo server on a Protocol: PORT|PATH [CERTIFICATE KEY], with TLS if there are these.
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

Coro<> serve_unix(std::string path, ServerOptions options) {
    EventLoop& loop = get_running_loop();
    Server server = co_await loop.create_unix_server([] { return std::make_shared<Echo>(); }, path, options);
    std::printf("path %s\n", path.c_str());
    std::fflush(stdout);
    co_await server.serve_forever();
}

Coro<> amain(int port, ServerOptions options) {
    EventLoop& loop = get_running_loop();
    Server server = co_await loop.create_server([] { return std::make_shared<Echo>(); }, "127.0.0.1", port, options);
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
