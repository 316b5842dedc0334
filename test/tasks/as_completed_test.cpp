#include "support/harness.hpp"

#include <weft/tasks/as_completed.hpp>

using namespace weft;
using namespace weft::testing;

namespace {

Coro<int> value_after(Duration delay, int value) {
    co_await sleep(delay);
    co_return value;
}

}  // namespace

TEST_CASE("rule 65: as_completed gives the original tasks in the order in which they end") {
    run_simulated([]() -> Coro<> {
        std::vector<Task<int>> tasks;
        for (int i = 0; i < 4; ++i)
            tasks.push_back(create_task(value_after(std::chrono::seconds(4 - i), i)));
        auto ends = as_completed(tasks);
        std::string order;
        for (auto next = co_await ends.next(); next; next = co_await ends.next()) {
            CHECK(next->done());
            CHECK(*next == tasks[static_cast<std::size_t>(next->result())]);
            order += std::to_string(next->result());
        }
        CHECK(order == "3210");
        const auto again = co_await ends.next();
        CHECK_FALSE(again);
    });
}

TEST_CASE("rule 65: the loop form gives a coroutine for each, with its result or its error") {
    run_simulated([]() -> Coro<> {
        std::vector<Coro<int>> coros;
        coros.push_back(value_after(3s, 3));
        auto fail = []() -> Coro<int> {
            co_await sleep(2s);
            throw ValueError("two");
        };
        coros.push_back(fail());
        coros.push_back(value_after(1s, 1));
        auto ends = as_completed(std::move(coros));
        Trace trace;
        for (Coro<int>& coro : ends.coroutines()) {
            try {
                const int value = co_await std::move(coro);
                trace(std::to_string(value));
            } catch (const ValueError& error) {
                trace(error.what());
            }
        }
        CHECK(trace.text() == "1 two 3");
    });
}

TEST_CASE("rule 65: after the limit each remaining one is a TimeoutError; the tasks go on") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const TimePoint begin = loop.time();
        std::vector<Task<int>> tasks{create_task(value_after(1s, 1)), create_task(value_after(5s, 2)),
                                     create_task(value_after(6s, 3))};
        auto ends = as_completed(tasks, 2s);
        auto coroutines = ends.coroutines();
        REQUIRE(coroutines.size() == 3);
        const int first = co_await std::move(coroutines[0]);
        const std::string second = co_await ending(std::move(coroutines[1]));
        CHECK(loop.time() - begin == 2s);
        const std::string third = co_await ending(std::move(coroutines[2]));
        CHECK(first == 1);
        CHECK(second == "TimeoutError");
        CHECK(third == "TimeoutError");
        CHECK(loop.time() - begin == 2s);
        const int late = co_await tasks[2];
        CHECK(late == 3);
    });
}

TEST_CASE("rule 65: after the limit next() is a TimeoutError once for each that remains, then it gives nothing") {
    run_simulated([]() -> Coro<> {
        std::vector<Task<int>> tasks{create_task(value_after(1s, 1)), create_task(value_after(5s, 2)),
                                     create_task(value_after(6s, 3))};
        auto ends = as_completed(tasks, 2s);
        std::string order;
        for (bool more = true; more;) {
            try {
                const auto next = co_await ends.next();
                if (next) order += std::to_string(next->result());
                more = next.has_value();
            } catch (const TimeoutError&) {
                order += "t";
            }
        }
        CHECK(order == "1tt");
        const auto again = co_await ends.next();
        CHECK_FALSE(again);
    });
}

TEST_CASE("rule 65: of more waiters than futures remain at the limit, each one too many gets nothing") {
    run_simulated([]() -> Coro<> {
        std::vector<Task<int>> tasks{create_task(value_after(5s, 1)), create_task(value_after(6s, 2))};
        auto ends = as_completed(tasks, 2s);
        std::string order;
        auto take = [&]() -> Coro<> {
            try {
                const auto next = co_await ends.next();
                order += next ? "v" : "n";
            } catch (const TimeoutError&) {
                order += "t";
            }
        };
        co_await gather(take(), take(), take());
        CHECK(order == "ttn");
    });
}

TEST_CASE("rule 65: what ended before the limit is given after it too") {
    run_simulated([]() -> Coro<> {
        std::vector<Task<int>> tasks{create_task(value_after(1s, 1)), create_task(value_after(1h, 2))};
        auto ends = as_completed(tasks, 2s);
        co_await sleep(3s);
        const auto first = co_await ends.next();
        REQUIRE(first);
        CHECK(first->result() == 1);
        const std::string second = co_await ending(ends.next());
        CHECK(second == "TimeoutError");
        tasks[1].cancel();
        const std::string end = co_await ending(tasks[1]);
        CHECK(end == "CancelledError");
    });
}

TEST_CASE("rule 65: it can be left and taken up again, and a cancelled next() loses nothing") {
    run_simulated([]() -> Coro<> {
        std::vector<Task<int>> tasks{create_task(value_after(1s, 1)), create_task(value_after(2s, 2)),
                                     create_task(value_after(3s, 3))};
        auto ends = as_completed(tasks);
        const auto first = co_await ends.next();
        CHECK(first->result() == 1);
        auto take = [&]() -> Coro<> { (void)co_await ends.next(); };
        Task<> cancelled = create_task(take());
        co_await turns(2);
        cancelled.cancel();
        const std::string text = co_await ending(cancelled);
        CHECK(text == "CancelledError");
        co_await sleep(10s);
        const auto second = co_await ends.next();
        const auto third = co_await ends.next();
        CHECK(second->result() == 2);
        CHECK(third->result() == 3);
    });
}

TEST_CASE("rule 65: one that is there twice counts once; of nothing there is nothing") {
    run_simulated([]() -> Coro<> {
        Task<int> task = create_task(value_after(1s, 1));
        std::vector<Task<int>> tasks{task, task};
        auto ends = as_completed(tasks);
        CHECK(ends.coroutines().size() == 1);
        const auto first = co_await ends.next();
        CHECK(first->result() == 1);
        const auto none = co_await ends.next();
        CHECK_FALSE(none);
        std::vector<Coro<int>> nothing;
        auto empty = as_completed(std::move(nothing));
        const auto end = co_await empty.next();
        CHECK_FALSE(end);
    });
}

TEST_CASE("rule 65: as_completed dropped early leaves the tasks running") {
    run_simulated([]() -> Coro<> {
        std::vector<Task<int>> tasks{create_task(value_after(1s, 1)), create_task(value_after(2s, 2))};
        {
            auto ends = as_completed(tasks, 1h);
            const auto first = co_await ends.next();
            CHECK(first->result() == 1);
        }
        const int value = co_await tasks[1];
        CHECK(value == 2);
    });
}

TEST_CASE("as_completed of a future of another loop is a ValueError") {
    auto loop = make_simulated_loop();
    auto other = make_simulated_loop();
    std::vector<Future<int>> foreign{other->create_future<int>()};
    auto body = [&]() -> Coro<std::string> { co_return ending_of_call([&] { (void)as_completed(foreign); }); };
    CHECK(loop->run_until_complete(body()) == "ValueError");
    foreign[0].set_result(1);  // nothing was left on it
}

TEST_CASE("as_completed takes any duration as its limit") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const TimePoint begin = loop.time();
        std::vector<Future<>> futures;
        futures.push_back(loop.create_future<void>());
        auto ends = as_completed(futures, 0.5s);
        const std::string text = co_await ending(ends.next());
        CHECK(text == "TimeoutError");
        CHECK(loop.time() == begin + 500ms);
    });
}
