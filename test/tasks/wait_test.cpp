#include "support/harness.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

Coro<int> value_after(Duration delay, int value) {
    co_await sleep(delay);
    co_return value;
}
Coro<int> fail_after(Duration delay) {
    co_await sleep(delay);
    throw ValueError("x");
}

}  // namespace

TEST_CASE("rule 56: wait never raises TimeoutError and never cancels") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const TimePoint begin = loop.time();
        std::vector<Task<int>> tasks{create_task(value_after(1s, 1)), create_task(value_after(5s, 2))};
        auto result = co_await wait(tasks, WaitOptions().timeout(2s));
        CHECK(loop.time() - begin == 2s);
        REQUIRE(result.done.size() == 1);
        REQUIRE(result.pending.size() == 1);
        CHECK(result.done[0] == tasks[0]);
        CHECK(result.pending[0] == tasks[1]);
        const int value = co_await tasks[1];
        CHECK(value == 2);
    });
}

TEST_CASE("rule 56: cancelling the wait leaves the futures running") {
    run_simulated([]() -> Coro<> {
        std::vector<Task<int>> tasks{create_task(value_after(3s, 1))};
        auto body = [&]() -> Coro<> { (void)co_await wait(tasks); };
        Task<> waiter = create_task(body());
        co_await turns(2);
        waiter.cancel();
        const std::string text = co_await ending(waiter);
        CHECK(text == "CancelledError");
        CHECK_FALSE(tasks[0].done());
        CHECK(tasks[0].cancelling() == 0);
        const int value = co_await tasks[0];
        CHECK(value == 1);
    });
}

TEST_CASE("rule 57: whatever is done by the time wait wakes up is in done") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        std::vector<Future<int>> futures;
        for (int i = 0; i < 3; ++i)
            futures.push_back(loop.create_future<int>());
        loop.call_later(1s, [&] {
            futures[1].set_result(1);
            loop.call_soon([&] { futures[2].set_result(2); });
        });
        auto result = co_await wait(futures, WaitOptions().return_when(ReturnWhen::first_completed));
        REQUIRE(result.done.size() == 2);
        CHECK(result.done[0] == futures[1]);
        CHECK(result.done[1] == futures[2]);
        CHECK(result.pending.size() == 1);
    });
}

TEST_CASE("rule 57: wait on futures that are done still lets the loop go round, and counts what ends meanwhile") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        std::vector<Future<int>> futures{loop.create_future<int>(), loop.create_future<int>()};
        futures[0].set_result(1);
        loop.call_soon([&] { futures[1].set_result(2); });
        auto result = co_await wait(futures, WaitOptions().return_when(ReturnWhen::first_completed));
        CHECK(result.done.size() == 2);
        CHECK(result.pending.empty());
    });
}

TEST_CASE("rule 58: FIRST_EXCEPTION ends at an exception, not at a cancellation") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const TimePoint begin = loop.time();
        Task<int> victim = create_task(value_after(1h, 0));
        std::vector<Task<int>> tasks{victim, create_task(value_after(1s, 1)), create_task(fail_after(2s)),
                                     create_task(value_after(3s, 2))};
        co_await turns(1);
        victim.cancel();
        auto result = co_await wait(tasks, WaitOptions().return_when(ReturnWhen::first_exception));
        CHECK(loop.time() - begin == 2s);
        CHECK(result.done.size() == 3);
        REQUIRE(result.pending.size() == 1);
        CHECK(result.pending[0] == tasks[3]);
        CHECK(error_type(tasks[2].exception()) == "ValueError");
        auto rest = co_await wait(result.pending, WaitOptions().return_when(ReturnWhen::first_exception));
        CHECK(rest.done.size() == 1);
        CHECK(loop.time() - begin == 3s);
    });
}

TEST_CASE("FIRST_COMPLETED returns with the first; ALL_COMPLETED with the last; order is the order given") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const TimePoint begin = loop.time();
        std::vector<Task<int>> tasks{create_task(value_after(3s, 1)), create_task(value_after(1s, 2)),
                                     create_task(value_after(2s, 3))};
        auto first = co_await wait(tasks, WaitOptions().return_when(ReturnWhen::first_completed));
        CHECK(loop.time() - begin == 1s);
        REQUIRE(first.done.size() == 1);
        CHECK(first.done[0].result() == 2);
        CHECK(first.pending.size() == 2);
        auto all = co_await wait(tasks);
        CHECK(loop.time() - begin == 3s);
        CHECK(all.pending.empty());
        REQUIRE(all.done.size() == 3);
        CHECK(all.done[0].result() == 1);
    });
}

TEST_CASE("wait of nothing is a ValueError") {
    run_simulated([]() -> Coro<> {
        std::vector<Future<>> none;
        const std::exception_ptr error = co_await error_of(wait(none));
        CHECK(error_text(error) == "ValueError: Set of Tasks/Futures is empty.");
    });
}

TEST_CASE("wait leaves no callback behind on futures that stay pending") {
    run_simulated([]() -> Coro<> {
        std::vector<Future<int>> futures{get_running_loop().create_future<int>()};
        for (int i = 0; i < 100; ++i) {
            auto result = co_await wait(futures, WaitOptions().timeout(1s));
            CHECK(result.pending.size() == 1);
        }
        const auto steps = get_running_loop().steps();
        futures[0].set_result(1);
        co_await turns(2);
        CHECK(get_running_loop().steps() == steps + 2);  // our two turns alone
    });
}

TEST_CASE("a timeout of 0 still lets what is ready end") {
    run_simulated([]() -> Coro<> {
        std::vector<Task<int>> tasks{create_task(value_after(1h, 1))};
        const TimePoint begin = get_running_loop().time();
        auto result = co_await wait(tasks, WaitOptions().timeout(0s));
        CHECK(result.done.empty());
        CHECK(get_running_loop().time() == begin);
        tasks[0].cancel();
        const std::string text = co_await ending(tasks[0]);
        CHECK(text == "CancelledError");
    });
}

TEST_CASE("wait for a future of another loop: RuntimeError, and nothing is left on it") {
    auto loop = make_simulated_loop();
    auto other = make_simulated_loop();
    std::vector<Future<>> foreign{other->create_future<void>()};
    CHECK(loop->run_until_complete(ending(wait(foreign))) == "RuntimeError");
    foreign[0].set_result();
}
