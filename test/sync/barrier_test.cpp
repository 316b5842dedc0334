#include "support/harness.hpp"

#include <algorithm>

using namespace weft;
using namespace weft::testing;

namespace {

constexpr int parties = 5;

template <class F>
std::vector<Task<>> start(int count, F& body) {
    std::vector<Task<>> tasks;
    for (int i = 0; i < count; ++i)
        tasks.push_back(create_task(body()));
    return tasks;
}

/// How a wait ends: its index as text, or the error.
Coro<> pass(Barrier barrier, Trace& trace) {
    try {
        const int index = co_await barrier.wait();
        trace(std::to_string(index));
    } catch (const BrokenBarrierError& error) {
        trace(error.what());
    }
}

bool says(const Barrier& barrier, std::string_view phase) {
    return barrier.repr().find(phase) != std::string::npos;
}

}  // namespace

TEST_CASE("a barrier needs at least one party") {
    CHECK(error_of_call([] { Barrier barrier(0); }) == "ValueError: parties must be > 0");
    CHECK(error_of_call([] { Barrier barrier(-4); }) == "ValueError: parties must be > 0");
    CHECK(Barrier(3).parties() == 3);
}

TEST_CASE("rule 91: tasks go on when all have come; each has another index") {
    run_simulated([]() -> Coro<> {
        Barrier barrier(3);
        Trace trace;
        Task<> a = create_task(pass(barrier, trace));
        co_await turns(1);
        CHECK(barrier.n_waiting() == 1);
        CHECK(barrier.repr() == "<Barrier [filling, waiters:1/3]>");
        Task<> b = create_task(pass(barrier, trace));
        co_await turns(1);
        CHECK(barrier.n_waiting() == 2);
        CHECK(trace.text().empty());
        Task<> c = create_task(pass(barrier, trace));
        co_await gather(a, b, c);
        // The one that completes it does not wait.
        CHECK(trace.text() == "2 0 1");
        CHECK(barrier.n_waiting() == 0);
        CHECK_FALSE(barrier.broken());
        CHECK(barrier.repr() == "<Barrier [filling, waiters:0/3]>");
    });
}

TEST_CASE("rule 91: a barrier of one lets everyone pass, again and again") {
    run_simulated([]() -> Coro<> {
        Barrier barrier(1);
        for (int i = 0; i < 3; ++i) {
            const int index = co_await barrier.wait();
            CHECK(index == 0);
        }
        CHECK(barrier.n_waiting() == 0);
    });
}

TEST_CASE("rule 91: the same tasks pass a barrier again and again, with all indices each time") {
    run_simulated([]() -> Coro<> {
        Barrier barrier(parties);
        std::vector<std::vector<int>> rounds(4);
        auto body = [&]() -> Coro<> {
            for (std::vector<int>& round : rounds) {
                const int index = co_await barrier.wait();
                round.push_back(index);
            }
        };
        std::vector<Task<>> tasks = start(parties, body);
        co_await gather(std::move(tasks));
        for (std::vector<int>& round : rounds) {
            std::sort(round.begin(), round.end());
            CHECK(round == std::vector<int>{0, 1, 2, 3, 4});
        }
    });
}

TEST_CASE("rule 91: it drains until the last one has left") {
    run_simulated([]() -> Coro<> {
        Barrier barrier(parties);
        Trace trace;
        auto body = [&]() -> Coro<> {
            co_await barrier.wait();
            trace(says(barrier, "draining") ? "draining" : "filling");
        };
        std::vector<Task<>> tasks = start(parties, body);
        co_await gather(std::move(tasks));
        CHECK(trace.text() == "draining draining draining draining filling");
    });
}

TEST_CASE("rule 91: while it drains, those who come wait outside for the next round") {
    run_simulated([]() -> Coro<> {
        Barrier barrier(parties);
        Barrier others(parties - 2);
        int again = 2;
        auto body = [&]() -> Coro<> {
            co_await barrier.wait();
            // Two come back at once, while it drains; the others meet each other first.
            if (again > 0) {
                --again;
                co_await barrier.wait();
            } else {
                co_await others.wait();
                co_await barrier.wait();
            }
        };
        std::vector<Task<>> tasks = start(parties, body);
        co_await gather(std::move(tasks));
        CHECK(barrier.n_waiting() == 0);
    });
}

TEST_CASE("rule 91: a waiter that is cancelled leaves; the barrier is not broken") {
    run_simulated([]() -> Coro<> {
        Barrier barrier(3);
        Trace trace;
        Task<> a = create_task(pass(barrier, trace));
        Task<> b = create_task(pass(barrier, trace));
        co_await turns(1);
        CHECK(barrier.n_waiting() == 2);
        a.cancel();
        co_await turns(1);
        CHECK(a.cancelled());
        CHECK(barrier.n_waiting() == 1);
        CHECK_FALSE(barrier.broken());
        Task<> c = create_task(pass(barrier, trace));
        co_await turns(1);
        CHECK(barrier.n_waiting() == 2);
        Task<> d = create_task(pass(barrier, trace));
        co_await gather(b, c, d);
        CHECK(trace.events().size() == 3);
        CHECK(barrier.n_waiting() == 0);
    });
}

TEST_CASE("rule 91: a task cancelled when the barrier has filled up leaves it too, and the next round starts") {
    run_simulated([]() -> Coro<> {
        Barrier barrier(3);
        Trace trace;
        Task<> a = create_task(pass(barrier, trace));
        Task<> b = create_task(pass(barrier, trace));
        co_await turns(1);
        co_await barrier.wait();
        CHECK(says(barrier, "draining"));
        a.cancel();
        co_await b;
        CHECK(a.cancelled());
        CHECK(trace.text() == "1");
        CHECK(barrier.repr() == "<Barrier [filling, waiters:0/3]>");
    });
}

TEST_CASE("rule 91: a task cancelled outside while the barrier drains does not count") {
    run_simulated([]() -> Coro<> {
        Barrier barrier(2);
        Trace trace;
        Task<> a = create_task(pass(barrier, trace));
        co_await turns(1);
        co_await barrier.wait();
        CHECK(says(barrier, "draining"));
        // It waits outside, since a has not left yet.
        auto outside = barrier.wait();
        const std::string text = co_await ending(wait_for(std::move(outside), 0s));
        CHECK(text == "TimeoutError");
        co_await a;
        CHECK(barrier.n_waiting() == 0);
        Task<> b = create_task(pass(barrier, trace));
        co_await turns(1);
        CHECK(barrier.n_waiting() == 1);
        co_await barrier.wait();
        co_await b;
    });
}

TEST_CASE("rule 91: reset of an empty barrier does nothing") {
    run_simulated([]() -> Coro<> {
        Barrier barrier(1);
        co_await barrier.reset();
        CHECK(barrier.repr() == "<Barrier [filling, waiters:0/1]>");
        co_await barrier.wait();
    });
}

TEST_CASE("rule 91: reset sends those that wait away") {
    run_simulated([]() -> Coro<> {
        Barrier barrier(parties);
        Trace trace;
        auto body = [&]() -> Coro<> { return pass(barrier, trace); };
        std::vector<Task<>> tasks = start(parties - 1, body);
        co_await turns(1);
        co_await barrier.reset();
        CHECK(barrier.repr() == "<Barrier [resetting, waiters:0/5]>");
        co_await gather(std::move(tasks));
        CHECK(trace.events() == std::vector<std::string>(parties - 1, "Abort or reset of barrier"));
        CHECK(barrier.repr() == "<Barrier [filling, waiters:0/5]>");
        CHECK_FALSE(barrier.broken());
    });
}

TEST_CASE("rule 91: those sent away by a reset may come again at once") {
    run_simulated([]() -> Coro<> {
        Barrier barrier(parties);
        Trace trace;
        auto body = [&]() -> Coro<> {
            const std::string text = co_await ending(barrier.wait());
            trace(text);
            co_await barrier.wait();
            trace("passed");
        };
        std::vector<Task<>> tasks = start(parties - 1, body);
        co_await turns(1);
        co_await barrier.reset();
        co_await barrier.wait();
        trace("passed");
        co_await gather(std::move(tasks));
        const auto& events = trace.events();
        CHECK(std::count(events.begin(), events.end(), "BrokenBarrierError") == parties - 1);
        CHECK(std::count(events.begin(), events.end(), "passed") == parties);
    });
}

TEST_CASE("rule 91: reset while half of the tasks have left sends the other half away") {
    run_simulated([]() -> Coro<> {
        Barrier barrier(parties);
        Trace trace;
        int left = 0;
        auto body = [&]() -> Coro<> {
            const std::string text = co_await ending(barrier.wait());
            trace(text);
            if (text == "ok" && ++left == parties - parties / 2) co_await barrier.reset();
        };
        std::vector<Task<>> tasks = start(parties, body);
        co_await gather(std::move(tasks));
        CHECK(trace.text() == "ok ok ok BrokenBarrierError BrokenBarrierError");
        CHECK(barrier.repr() == "<Barrier [filling, waiters:0/5]>");
    });
}

TEST_CASE("rule 91: reset while tasks of the next round wait outside lets those come in") {
    run_simulated([]() -> Coro<> {
        Barrier barrier(parties);
        const int outside = parties / 2;
        int left = 0;
        int sent_away = 0;
        int sent_away_outside = 0;
        auto body = [&]() -> Coro<> {
            const std::string text = co_await ending(barrier.wait());
            if (text == "BrokenBarrierError") {
                ++sent_away;
                co_await barrier.wait();
            } else if (++left > outside) {
                co_await barrier.reset();
                co_await barrier.wait();
            } else {
                const std::string again = co_await ending(barrier.wait());
                if (again == "BrokenBarrierError") ++sent_away_outside;
            }
        };
        std::vector<Task<>> tasks = start(parties, body);
        co_await gather(std::move(tasks));
        CHECK(sent_away == outside);
        CHECK(sent_away_outside == 0);
        CHECK(barrier.repr() == "<Barrier [filling, waiters:0/5]>");
    });
}

TEST_CASE("rule 91: reset after the last one has left takes nobody's place") {
    run_simulated([]() -> Coro<> {
        Barrier barrier(parties);
        int left = 0;
        int passed_again = 0;
        int passed_last = 0;
        auto body = [&]() -> Coro<> {
            co_await barrier.wait();
            if (++left == parties) {
                co_await barrier.reset();
                co_await barrier.wait();
            } else {
                co_await barrier.wait();
                ++passed_again;
            }
            co_await barrier.wait();
            ++passed_last;
        };
        std::vector<Task<>> tasks = start(parties, body);
        co_await gather(std::move(tasks));
        CHECK(passed_again == parties - 1);
        CHECK(passed_last == parties);
    });
}

TEST_CASE("rule 91: abort sends those that wait away, and those that come, until reset") {
    run_simulated([]() -> Coro<> {
        Barrier barrier(3);
        Trace trace;
        Task<> a = create_task(pass(barrier, trace));
        Task<> b = create_task(pass(barrier, trace));
        co_await turns(1);
        co_await barrier.abort();
        CHECK(barrier.broken());
        CHECK(barrier.n_waiting() == 0);
        CHECK(barrier.repr() == "<Barrier [broken]>");
        co_await gather(a, b);
        CHECK(trace.events() == std::vector<std::string>(2, "Abort or reset of barrier"));
        for (int i = 0; i < 3; ++i) {
            const std::exception_ptr error = co_await error_of(barrier.wait());
            CHECK(error_text(error) == "BrokenBarrierError: Barrier aborted");
        }
        co_await barrier.reset();
        CHECK_FALSE(barrier.broken());
        auto body = [&]() -> Coro<> { return pass(barrier, trace); };
        std::vector<Task<>> tasks = start(3, body);
        co_await gather(std::move(tasks));
        CHECK(trace.events().back() == "1");
    });
}

TEST_CASE("rule 91: abort while half of the tasks have left and come back sends all away") {
    run_simulated([]() -> Coro<> {
        Barrier barrier(parties);
        const int outside = parties / 2;
        int left = 0;
        int sent_away = 0;
        int sent_away_outside = 0;
        auto body = [&]() -> Coro<> {
            const std::string text = co_await ending(barrier.wait());
            if (text == "BrokenBarrierError") {
                ++sent_away;
            } else if (++left > outside) {
                co_await barrier.abort();
            } else {
                const std::string again = co_await ending(barrier.wait());
                if (again == "BrokenBarrierError") ++sent_away_outside;
            }
        };
        std::vector<Task<>> tasks = start(parties, body);
        co_await gather(std::move(tasks));
        CHECK(barrier.broken());
        CHECK(sent_away == outside);
        CHECK(sent_away_outside == parties - outside - 1);
        CHECK(barrier.repr() == "<Barrier [broken]>");
    });
}

TEST_CASE(
    "rule 91: one that fails after a round and aborts sends away the others, wherever they are; reset makes it whole") {
    run_simulated([]() -> Coro<> {
        Barrier barrier(parties);
        Barrier meeting(parties);
        int passed = 0;
        int sent_away = 0;
        int passed_last = 0;
        auto body = [&]() -> Coro<> {
            bool fails = false;
            try {
                const int index = co_await barrier.wait();
                fails = index == parties / 2;
                if (!fails) co_await barrier.wait();
                if (!fails) ++passed;
            } catch (const BrokenBarrierError&) {
                ++sent_away;
            }
            if (fails) co_await barrier.abort();
            const int place = co_await meeting.wait();
            if (place == parties / 2) co_await barrier.reset();
            co_await meeting.wait();
            co_await barrier.wait();
            ++passed_last;
        };
        std::vector<Task<>> tasks = start(parties, body);
        co_await gather(std::move(tasks));
        CHECK(passed == 0);
        CHECK(sent_away == parties - 1);
        CHECK(passed_last == parties);
        CHECK_FALSE(barrier.broken());
    });
}

TEST_CASE("a barrier belongs to the first loop that blocks on it") {
    Barrier barrier(2);
    auto blocks = [](Barrier barrier) -> Coro<> { (void)co_await ending(wait_for(barrier.wait(), 1s)); };
    make_simulated_loop()->run_until_complete(blocks(barrier));
    CHECK(barrier.n_waiting() == 0);
    auto elsewhere = [](Barrier barrier) -> Coro<> {
        const std::exception_ptr error = co_await error_of(barrier.wait());
        CHECK(error_text(error) == "RuntimeError: <Condition [locked]> is bound to a different event loop");
    };
    auto other = make_simulated_loop();
    other->run_until_complete(elsewhere(barrier));
    CHECK(barrier.n_waiting() == 0);
}

TEST_CASE("closing the loop takes waiting tasks out of a barrier, whoever goes first") {
    Barrier outlives(3);
    auto loop = make_simulated_loop();
    loop->set_exception_handler([](EventLoop&, const ExceptionContext&) {});
    auto owner = [](Barrier outlives) -> Coro<> {
        Barrier barrier(3);
        auto uses = [](Barrier& barrier) -> Coro<> { co_await barrier.wait(); };
        Task<> a = create_task(uses(barrier));
        Task<> b = create_task(uses(barrier));
        co_await outlives.wait();
    };
    Task<> task = loop->create_task(owner(outlives));
    loop->run_until_complete(turns(3));
    CHECK(outlives.n_waiting() == 1);
    loop->close();
    CHECK(task.cancelled());
    CHECK(outlives.n_waiting() == 0);
}
