#include "support/harness.hpp"

#include <atomic>
#include <thread>

using namespace weft;
using namespace weft::testing;

TEST_CASE("rule 4: from the loop's own thread call_soon_threadsafe shares the FIFO of call_soon") {
    run_on_each_backend([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Trace trace;
        Future<> end = loop.create_future<void>();
        loop.call_soon([&] { trace("a"); });
        loop.call_soon_threadsafe([&] { trace("b"); });
        loop.call_soon([&, end]() mutable {
            trace("c");
            end.set_result();
        });
        co_await end;
        CHECK(trace.text() == "a b c");
    });
}

TEST_CASE("rule 4: what another thread has scheduled comes before what is scheduled or woken after it") {
    run_on_each_backend([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Trace trace;
        const auto elsewhere = [&](const char* name) {
            std::thread other([&trace, &loop, name] { loop.call_soon_threadsafe([&trace, name] { trace(name); }); });
            other.join();
        };
        const auto waits = [&trace](Future<> future, const char* name) -> Coro<> {
            co_await future;
            trace(name);
        };
        Future<> first = loop.create_future<void>();
        Event event;
        Task<> one = create_task(waits(first, "b"));
        const auto waits_for_event = [&]() -> Coro<> {
            co_await event.wait();
            trace("d");
        };
        Task<> two = create_task(waits_for_event());
        co_await sleep(0s);
        elsewhere("a");
        first.set_result();
        elsewhere("c");
        event.set();
        elsewhere("e");
        loop.call_soon([&] { trace("f"); });
        elsewhere("g");
        Task<> three = create_task(waits(first, "h"));
        elsewhere("i");
        loop.call_soon_threadsafe([&] { trace("j"); });
        co_await three;
        co_await sleep(0s);
        CHECK(trace.text() == "a b c d e f g h i j");
    });
}

TEST_CASE("rule 4: call_soon_threadsafe wakes a loop that waits") {
    auto loop = make_real_loop();
    bool woken = false;
    std::atomic<bool> waiting{false};
    // Only if the wake-up is lost does this end the run.
    loop->call_later(30s, [&] { loop->stop(); });
    loop->call_soon([&] { waiting = true; });
    std::thread other([&] {
        while (!waiting)
            std::this_thread::yield();
        loop->call_soon_threadsafe([&] {
            woken = true;
            loop->stop();
        });
    });
    loop->run_forever();
    other.join();
    CHECK(woken);
}

TEST_CASE("call_soon_threadsafe from several threads: nothing is lost, and each thread's calls keep their order") {
    constexpr int threads = 4;
    constexpr int calls = 5000;
    auto loop = make_real_loop();
    std::vector<int> last(threads, -1);
    int disorder = 0;
    int total = 0;
    std::thread::id where;
    std::vector<std::thread> pool;
    loop->call_soon([&] { where = std::this_thread::get_id(); });
    for (int t = 0; t < threads; ++t)
        pool.emplace_back([&, t] {
            for (int i = 0; i < calls; ++i)
                loop->call_soon_threadsafe([&, t, i] {
                    disorder += last[static_cast<std::size_t>(t)] != i - 1;
                    disorder += std::this_thread::get_id() != where;
                    last[static_cast<std::size_t>(t)] = i;
                    if (++total == threads * calls) loop->stop();
                });
        });
    loop->run_forever();
    for (std::thread& thread : pool)
        thread.join();
    CHECK(total == threads * calls);
    CHECK(disorder == 0);
}

TEST_CASE("threads that call while the loop closes get an error or are dropped, never run later") {
    for (int round = 0; round < 20; ++round) {
        auto loop = make_real_loop();
        auto token = std::make_shared<int>(0);
        std::atomic<bool> refused{false};
        std::thread other([&loop, &refused, token] {
            while (!refused) {
                try {
                    loop->call_soon_threadsafe([token] {});
                } catch (const RuntimeError&) {
                    refused = true;
                }
            }
        });
        loop->stop();
        loop->run_forever();
        loop->close();
        other.join();
        CHECK(refused);
        CHECK(token.use_count() == 1);
    }
}

TEST_CASE("a future is completed from another thread through the loop") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Future<int> future = loop.create_future<int>();
        std::thread other([&loop, &future] { loop.call_soon_threadsafe([&future] { future.set_result(9); }); });
        const int value = co_await future;
        other.join();
        CHECK(value == 9);
    });
}
