#include "torture/torture.hpp"

namespace weft::testing {

namespace {

Coro<> echo(StreamReader reader, StreamWriter writer) {
    const Probe in_frame;
    for (;;) {
        const Bytes data = co_await reader.read(1000);
        if (data.empty()) break;
        writer.write(data.span());
        co_await writer.drain();
    }
    writer.close();
    co_await writer.wait_closed();
}

/// Closes a server and its connections when it goes.
class Closed {
public:
    explicit Closed(Server server) noexcept : server_(std::move(server)) {}
    Closed(const Closed&) = delete;
    Closed& operator=(const Closed&) = delete;
    ~Closed() {
        server_.close();
        server_.abort_clients();
    }

private:
    Server server_;
};

Coro<> streams() {
    Server server = co_await start_server(echo, "127.0.0.1", 0);
    const Closed end(server);
    {
        auto [reader, writer] = co_await open_connection("127.0.0.1", server.sockets().front().port());
        writer.write("a line that is rather long, longer than a small string\n");
        writer.write("exactly");
        co_await writer.drain();
        const Bytes line = co_await reader.readline();
        const Bytes rest = co_await reader.readexactly(7);
        require(line.text().starts_with("a line") && rest == "exactly", "streams: wrong echo");
        writer.write_eof();
        const Bytes nothing = co_await reader.read();
        require(nothing.empty(), "streams: there is more");
        writer.close();
        co_await writer.wait_closed();
    }
    server.close();
    co_await server.wait_closed();
}

/// More than the network and the buffers hold.
Coro<> flow_control() {
    Server server = co_await start_server(echo, "127.0.0.1", 0);
    const Closed end(server);
    constexpr std::size_t size = 300 * 1000;
    auto [reader, writer] = co_await open_connection("127.0.0.1", server.sockets().front().port());
    auto send = [writer = writer]() mutable -> Coro<> {
        const std::string piece(size / 3, 'x');
        for (int i = 0; i < 3; ++i) {
            writer.write(piece);
            co_await writer.drain();
        }
        writer.write_eof();
    };
    auto receive = [reader = reader]() mutable -> Coro<std::size_t> {
        std::size_t count = 0;
        while (true) {
            const Bytes data = co_await reader.read(100000);
            if (data.empty()) break;
            count += data.size();
        }
        co_return count;
    };
    std::size_t received = 0;
    co_await task_group([&](TaskGroup& group) -> Coro<> {
        group.create_task(send());
        received = co_await receive();
    });
    require(received == size, "streams: bytes were lost");
}

class Counter final : public Protocol {
public:
    explicit Counter(std::shared_ptr<int> ends) : ends_(std::move(ends)) {}
    void connection_made(std::shared_ptr<Transport> transport) override { transport_ = std::move(transport); }
    void data_received(std::span<const std::byte> data) override {
        transport_->write(data);
        transport_->close();
    }
    void connection_lost(std::exception_ptr) override {
        ++*ends_;
        transport_ = nullptr;
    }

private:
    std::shared_ptr<int> ends_;
    std::shared_ptr<Transport> transport_;
    Probe probe_;
};

Coro<> protocols() {
    EventLoop& loop = get_running_loop();
    auto ends = std::make_shared<int>(0);
    auto factory = [ends] { return std::make_shared<Counter>(ends); };
    Server server = co_await loop.create_server(factory, "127.0.0.1", 0);
    const Closed end(server);
    auto connection = co_await loop.create_connection(factory, "127.0.0.1", server.sockets().front().port());
    connection.transport->write("bytes that come back and go nowhere");
    for (int waited = 0; *ends < 2 && waited < 1000; ++waited)
        co_await sleep(1ms);
    require(*ends == 2, "protocols: connections were not lost");
    server.close();
    co_await server.wait_closed();
}

Coro<> refused() {
    bool failed = false;
    try {
        (void)co_await open_connection("localhost", 9);
    } catch (const OSError&) {
        failed = true;
    }
    require(failed, "streams: nobody listens there");
}

/// The client goes while the server's handler waits, and the other way round.
Coro<> cancelled_streams() {
    Server server = co_await start_server(echo, "127.0.0.1", 0);
    const Closed end(server);
    auto talk = [port = server.sockets().front().port()]() -> Coro<> {
        auto [reader, writer] = co_await open_connection("127.0.0.1", port);
        (void)co_await reader.read(1);
    };
    Task<> client = create_task(talk);
    Task<> forever = create_task([server]() mutable -> Coro<> { co_await server.serve_forever(); });
    co_await sleep(1ms);
    if (client.done()) client.result();
    client.cancel(long_text);
    co_await sleep(1ms);
    if (forever.done()) forever.result();
    forever.cancel();
    co_await sleep(1ms);
    require(client.cancelled() && forever.cancelled(), "streams: a task was not cancelled");
}

}  // namespace

const std::vector<Scenario>& io_scenarios() {
    static const std::vector<Scenario> scenarios{
        Scenario("streams", streams),
        Scenario("flow control", flow_control),
        Scenario("protocols", protocols),
        Scenario("refused connection", refused),
        Scenario("cancelled streams", cancelled_streams),
    };
    return scenarios;
}

}  // namespace weft::testing
