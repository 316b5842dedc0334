#include "support/harness.hpp"

#include <limits>

using namespace weft;
using namespace weft::testing;

TEST_CASE("rule 44: sleep(0) yields exactly one iteration") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Trace trace;
        const TimePoint begin = loop.time();
        for (const Duration delay : {Duration(0), Duration(-1), Duration::min()}) {
            loop.call_soon([&] {
                trace("first");
                loop.call_soon([&] { trace("second"); });
            });
            co_await sleep(delay);
            trace("slept");
            co_await sleep(0s);
        }
        CHECK(trace.text() == "first slept second first slept second first slept second");
        CHECK(loop.time() == begin);
    });
}

TEST_CASE("rule 44: cancelling a task that sleeps cancels the timer") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto body = []() -> Coro<> { co_await sleep(24h); };
        const TimePoint begin = loop.time();
        Task<> task = create_task(body());
        co_await turns(1);
        task.cancel();
        const std::string text = co_await ending(task);
        CHECK(text == "CancelledError");
        CHECK(loop.time() == begin);
    });
    // No timer is left: a wait for ever is seen as one.
    auto loop = make_simulated_loop();
    loop->set_exception_handler([](EventLoop&, const ExceptionContext&) {});
    auto body = [](EventLoop& at) -> Coro<> {
        auto sleeper = []() -> Coro<> { co_await sleep(24h); };
        Task<> task = create_task(sleeper());
        co_await turns(1);
        task.cancel();
        (void)co_await ending(task);
        co_await at.create_future<void>();
    };
    const TimePoint begin = loop->time();
    CHECK_THROWS_AS(loop->run_until_complete(body(*loop)), sim::DeadlockError);
    CHECK(loop->time() == begin);
}

TEST_CASE("sleep ends when its time has come, one turn after its timer") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Trace trace;
        const TimePoint begin = loop.time();
        auto body = [&](std::string name, Duration delay) -> Coro<> {
            co_await sleep(delay);
            trace(std::move(name));
        };
        Task<> b = create_task(body("b", 2s));
        Task<> a = create_task(body("a", 1s));
        Task<> c = create_task(body("c", 2s));
        loop.call_later(2s, [&] { trace("timer"); });
        co_await c;
        // As in asyncio: the timer completes the sleep, and the task goes on in the next iteration.
        CHECK(trace.text() == "a timer b c");
        CHECK(loop.time() == begin + 2s);
        CHECK(a.done());
        CHECK(b.done());
    });
}

TEST_CASE("sleep gives its result") {
    run_simulated([]() -> Coro<> {
        const int number = co_await sleep(1s, 42);
        const std::string text = co_await sleep(0s, "word");
        std::unique_ptr<int> made = std::make_unique<int>(7);
        const std::unique_ptr<int> pointer = co_await sleep(1s, std::move(made));
        CHECK(number == 42);
        CHECK(text == "word");
        CHECK(*pointer == 7);
    });
}

TEST_CASE("a NaN delay is a ValueError; an infinite one is the longest there is") {
    run_simulated([]() -> Coro<> {
        using Seconds = std::chrono::duration<double>;
        CHECK(ending_of_call([] { (void)sleep(Seconds(std::numeric_limits<double>::quiet_NaN())); }) == "ValueError");
        const std::string text =
            co_await ending(wait_for(sleep(Seconds(std::numeric_limits<double>::infinity())), 24h * 365));
        CHECK(text == "TimeoutError");
        EventLoop& loop = get_running_loop();
        const TimePoint begin = loop.time();
        co_await sleep(Seconds(0.25));
        CHECK(loop.time() - begin == 250ms);
    });
}

TEST_CASE("a sleep with a name is awaited once: RuntimeError the second time") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const TimePoint begin = loop.time();
        auto twice = [](auto nap) -> Coro<std::string> {
            (void)co_await std::move(nap);
            std::string text;
            try {
                (void)co_await std::move(nap);
            } catch (const RuntimeError& error) {
                text = error.what();
            }
            co_return text;
        };
        const std::string timed = co_await twice(sleep(1s));
        CHECK(timed == "cannot reuse already awaited coroutine");
        CHECK(loop.time() - begin == 1s);
        const std::string bare = co_await twice(sleep(0s));
        CHECK(bare == "cannot reuse already awaited coroutine");
        const std::string with_result = co_await twice(sleep(1s, 42));
        CHECK(with_result == "cannot reuse already awaited coroutine");
    });
}

TEST_CASE("a cancelled sleep with a name is not slept again") {
    run_simulated([]() -> Coro<> {
        std::string first;
        std::string second;
        auto sleeper = [&]() -> Coro<> {
            auto nap = sleep(1h);
            try {
                co_await nap;
            } catch (const CancelledError&) {
                first = "cancelled";
            }
            try {
                co_await nap;
            } catch (const RuntimeError&) {
                second = "refused";
            }
        };
        Task<> task = create_task(sleeper());
        co_await turns(2);
        task.cancel();
        co_await task;
        CHECK(first == "cancelled");
        CHECK(second == "refused");
    });
}

TEST_CASE("a sleep is an awaitable that can be handed over") {
    run_simulated([]() -> Coro<> {
        auto [a, b] = co_await gather(sleep(1s, 1), sleep(2s, 2));
        CHECK(a + b == 3);
        auto nap = sleep(1s, 5);
        const int value = co_await std::move(nap);
        CHECK(value == 5);
    });
}
