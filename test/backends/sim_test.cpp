#include "support/harness.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

sim::SimBackend& backend_of(EventLoop& loop) {
    return static_cast<sim::SimBackend&>(loop.backend());
}
Coro<> echo(StreamReader reader, StreamWriter writer) {
    while (true) {
        const Bytes data = co_await reader.read(65536);
        if (data.empty()) break;
        writer.write(data.span());
        co_await writer.drain();
    }
}

}  // namespace

TEST_CASE("virtual time passes only when nothing is ready, and then at once") {
    const auto begin = std::chrono::steady_clock::now();
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const TimePoint start = loop.time();
        co_await turns(1000);
        CHECK(loop.time() == start);
        co_await sleep(24h * 365);
        CHECK(loop.time() - start == 24h * 365);
    });
    CHECK(std::chrono::steady_clock::now() - begin < 30s);
}

TEST_CASE("a program that can never go on is a DeadlockError with the task tree") {
    auto loop = make_simulated_loop();
    loop->set_exception_handler([](EventLoop&, const ExceptionContext&) {});
    auto stuck = [](EventLoop& at) -> Coro<> { co_await at.create_future<void>(); };
    Task<> task = loop->create_task(stuck(*loop), TaskOptions().name("stuck"));
    std::string text;
    try {
        loop->run_until_complete(task);
    } catch (const sim::DeadlockError& error) {
        text = error.what();
    }
    CHECK(text.find("stuck pending: Future at sim_test.cpp:") != std::string::npos);
}

TEST_CASE("the same seed gives the same random bits, another seed others") {
    const auto draw = [](std::uint64_t seed) {
        auto loop = make_simulated_loop(seed);
        std::vector<std::uint64_t> bits;
        for (int i = 0; i < 4; ++i)
            bits.push_back(loop->backend().entropy());
        return bits;
    };
    CHECK(draw(1) == draw(1));
    CHECK(draw(1) != draw(2));
}

TEST_CASE("latency is what it takes a byte to travel") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        backend_of(loop).network().set_latency(50ms);
        Server server = co_await start_server(echo, "10.0.0.1", 7);
        const TimePoint begin = loop.time();
        auto [reader, writer] = co_await open_connection("10.0.0.1", 7);
        CHECK(loop.time() - begin == 50ms);
        writer.write("ping");
        const Bytes back = co_await reader.readexactly(4);
        CHECK(back == "ping");
        CHECK(loop.time() - begin == 150ms);
        writer.close();
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("a small capacity is felt as back-pressure") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        backend_of(loop).network().set_capacity(10);
        Server server = co_await start_server(echo, "10.0.0.1", 7);
        auto [reader, writer] = co_await open_connection("10.0.0.1", 7);
        writer.write("0123456789abcdef");
        CHECK(writer.transport().get_write_buffer_size() == 6);
        const Bytes back = co_await reader.readexactly(16);
        CHECK(back == "0123456789abcdef");
        writer.close();
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("two runs of one program have the same trace") {
    const auto trace_of = [] {
        Trace trace;
        run_simulated([&]() -> Coro<> {
            Server server = co_await start_server(echo, "10.0.0.1", 7);
            auto client = [&](int i) -> Coro<> {
                auto [reader, writer] = co_await open_connection("10.0.0.1", 7);
                for (int n = 0; n < 3; ++n) {
                    writer.write(std::to_string(i));
                    const Bytes back = co_await reader.readexactly(1);
                    trace(back.str());
                    co_await sleep(std::chrono::milliseconds(i * 7 % 5));
                }
                writer.close();
            };
            std::vector<Task<>> clients;
            for (int i = 0; i < 6; ++i)
                clients.push_back(create_task(client(i)));
            for (Task<>& task : clients)
                co_await task;
            server.close();
            co_await server.wait_closed();
        });
        return trace.text();
    };
    const std::string first = trace_of();
    CHECK(first.size() == 35);
    CHECK(first == trace_of());
}

TEST_CASE("posted events run in the order of their times, equal ones in the order of the calls") {
    auto loop = make_simulated_loop();
    Trace trace;
    auto& backend = backend_of(*loop);
    backend.post(2s, [&] { trace("c"); });
    backend.post(1s, [&] { trace("a"); });
    backend.post(1s, [&] { trace("b"); });
    backend.post(3s, [&] { loop->stop(); });
    loop->run_forever();
    CHECK(trace.text() == "a b c");
}
