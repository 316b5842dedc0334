#include "support/harness.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

class Sink : public Protocol {
public:
    void connection_made(std::shared_ptr<Transport> to) override {
        transport = std::move(to);
        transport->pause_reading();
    }
    void data_received(std::span<const std::byte> data) override { bytes += data.size(); }
    std::shared_ptr<Transport> transport;
    std::size_t bytes = 0;
};

class Source : public Protocol {
public:
    explicit Source(EventLoop& loop) : resumed(loop.create_future<void>()) {}
    void connection_made(std::shared_ptr<Transport> to) override {
        trace("made");
        transport = std::move(to);
    }
    void pause_writing() override { trace("pause"); }
    void resume_writing() override {
        trace("resume");
        size_at_resume = transport->get_write_buffer_size();
        if (!resumed.done()) resumed.set_result();
    }
    Trace trace;
    std::shared_ptr<Transport> transport;
    std::size_t size_at_resume = 0;
    Future<> resumed;
};

/// Runs `body` with a connection whose far end does not read.
template <class F>
Coro<> with_slow_peer(F& body) {
    EventLoop& loop = get_running_loop();
    auto sink = std::make_shared<Sink>();
    auto source = std::make_shared<Source>(loop);
    auto make_sink = [sink] { return sink; };
    auto make_source = [source] { return source; };
    Server server = co_await loop.create_server(make_sink, "127.0.0.1", 0);
    co_await loop.create_connection(make_source, "127.0.0.1", server.sockets().front().port());
    while (!sink->transport)
        co_await sleep(1ms);
    co_await body(*source, *sink);
    server.close();
    server.abort_clients();
    source->transport->abort();
    co_await server.wait_closed();
}

}  // namespace

TEST_CASE("rule 99: pause_writing is called inside write when the buffer rises above high, resume at low") {
    run_on_each_backend([]() -> Coro<> {
        auto body = [](Source& source, Sink& sink) -> Coro<> {
            source.transport->set_write_buffer_limits(100'000, 20'000);
            const std::string chunk(50'000, 'x');
            // Until the socket takes no more.
            while (source.transport->get_write_buffer_size() == 0)
                source.transport->write(chunk);
            while (source.transport->get_write_buffer_size() <= 100'000) {
                CHECK(source.trace.text() == "made");
                source.transport->write(chunk);
            }
            source.trace("wrote");
            CHECK(source.trace.text() == "made pause wrote");
            source.transport->write(chunk);
            CHECK(source.trace.text() == "made pause wrote");
            sink.transport->resume_reading();
            co_await source.resumed;
            CHECK(source.trace.text() == "made pause wrote resume");
            CHECK(source.size_at_resume <= 20'000);
        };
        co_await with_slow_peer(body);
    });
}

TEST_CASE("rule 99: limits: defaults, low alone, high alone, wrong ones; lowering them pauses at once") {
    run_on_each_backend([]() -> Coro<> {
        auto body = [](Source& source, Sink&) -> Coro<> {
            using Limits = std::pair<std::size_t, std::size_t>;
            Transport& transport = *source.transport;
            CHECK(transport.get_write_buffer_limits() == Limits(16 * 1024, 64 * 1024));
            transport.set_write_buffer_limits(std::nullopt, 1000);
            CHECK(transport.get_write_buffer_limits() == Limits(1000, 4000));
            transport.set_write_buffer_limits(1000);
            CHECK(transport.get_write_buffer_limits() == Limits(250, 1000));
            CHECK(error_of_call([&] { transport.set_write_buffer_limits(10, 11); }) ==
                  "ValueError: high (10) must be >= low (11)");
            transport.set_write_buffer_limits();
            CHECK(transport.get_write_buffer_limits() == Limits(16 * 1024, 64 * 1024));
            while (transport.get_write_buffer_size() == 0)
                transport.write("some bytes and some more");
            CHECK(source.trace.text() == "made");
            transport.set_write_buffer_limits(0);
            CHECK(source.trace.text() == "made pause");
            co_return;
        };
        co_await with_slow_peer(body);
    });
}

TEST_CASE("a stream reader that nobody reads pauses its transport above twice the limit, and resumes when read") {
    run_on_each_backend([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Future<> done = loop.create_future<void>();
        constexpr std::size_t total = 2'000'000;
        auto handler = [&](StreamReader reader, StreamWriter writer) -> Coro<> {
            std::size_t read = 0;
            std::size_t largest = 0;
            while (true) {
                const Bytes data = co_await reader.read(1'000'000);
                if (data.empty()) break;
                read += data.size();
                largest = std::max(largest, data.size());
                co_await sleep(1ms);
            }
            CHECK(read == total);
            CHECK(largest <= 2 * 4096 + 256 * 1024);  // one read of the socket above the mark at most
            writer.close();
            done.set_result();
        };
        Server server = co_await start_server(handler, "127.0.0.1", 0, ServerOptions().limit(4096));
        auto [reader, writer] = co_await open_connection("127.0.0.1", server.sockets().front().port());
        const std::string chunk(10'000, 'z');
        for (std::size_t sent = 0; sent < total; sent += chunk.size()) {
            writer.write(chunk);
            co_await writer.drain();
        }
        writer.close();
        co_await done;
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("an echo for a peer that sends and does not read: memory stays bounded, and nothing is lost") {
    run_on_each_backend([]() -> Coro<> {
        constexpr std::size_t total = 64 * 1024 * 1024;
        std::size_t largest = 0;
        std::size_t echoed = 0;
        auto echo = [&](StreamReader reader, StreamWriter writer) -> Coro<> {
            while (true) {
                const Bytes data = co_await reader.read(65536);
                if (data.empty()) break;
                writer.write(data.span());
                largest = std::max(largest, writer.transport().get_write_buffer_size());
                co_await writer.drain();
                echoed += data.size();
            }
            writer.close();
        };
        Server server = co_await start_server(echo, "127.0.0.1", 0);
        auto [reader, writer] = co_await open_connection("127.0.0.1", server.sockets().front().port());
        auto send = [&]() -> Coro<> {
            const std::string chunk(64 * 1024, 'e');
            for (std::size_t sent = 0; sent < total; sent += chunk.size()) {
                writer.write(chunk);
                co_await writer.drain();
            }
            writer.write_eof();
        };
        Task<> sender = create_task(send());
        // Until the pipe is full in both directions: nothing moves any more.
        for (std::size_t last = 1; last != echoed;) {
            last = echoed;
            co_await sleep(100ms);
        }
        CHECK_FALSE(sender.done());
        CHECK(echoed < total);
        std::size_t back = 0;
        for (Bytes data = co_await reader.read(1 << 20); !data.empty(); data = co_await reader.read(1 << 20))
            back += data.size();
        co_await sender;
        CHECK(back == total);
        // What the mark allows and the piece that went above it.
        CHECK(largest > 0);
        CHECK(largest <= 64 * 1024 + 65536);
        writer.close();
        server.close();
        co_await server.wait_closed();
    });
}

namespace {

/// Pauses and resumes reading inside each call, which once gave the buffer in use away.
class Stutter : public Protocol {
public:
    explicit Stutter(EventLoop& loop) : done(loop.create_future<void>()) {}
    void connection_made(std::shared_ptr<Transport> transport) override { transport_ = std::move(transport); }
    void data_received(std::span<const std::byte> data) override {
        transport_->pause_reading();
        transport_->resume_reading();
        received.append(data);
    }
    bool eof_received() override {
        done.set_result();
        return false;
    }
    Bytes received;
    Future<> done;

private:
    std::shared_ptr<Transport> transport_;
};

}  // namespace

TEST_CASE("regression: a protocol that pauses and resumes inside data_received loses nothing") {
    run_on_each_backend([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto protocol = std::make_shared<Stutter>(loop);
        auto factory = [&] { return protocol; };
        Server server = co_await loop.create_server(factory, "127.0.0.1", 0);
        std::string sent;
        {
            auto [reader, writer] = co_await open_connection("127.0.0.1", server.sockets()[0].port());
            for (int i = 0; i < 200; ++i) {
                const std::string piece(1000 + static_cast<std::size_t>(i) * 37, static_cast<char>('a' + i % 26));
                sent += piece;
                writer.write(piece);
                co_await writer.drain();
                co_await sleep(0s);
            }
            writer.write_eof();
            co_await protocol->done;
            writer.close();
            co_await writer.wait_closed();
        }
        CHECK(protocol->received == sent);
        server.close();
        co_await server.wait_closed();
    });
}
