#include "support/harness.hpp"

using namespace weft;
using namespace weft::testing;

TEST_CASE("rule 32: a task cancelled before its first step never runs its body, and frees its arguments") {
    run_simulated([]() -> Coro<> {
        bool ran = false;
        auto token = std::make_shared<int>(0);
        auto body = [&](std::shared_ptr<int>) -> Coro<> {
            ran = true;
            co_return;
        };
        Task<> task = create_task(body(token));
        CHECK(task.cancel("early"));
        CHECK_FALSE(task.done());
        const std::exception_ptr error = co_await error_of(task);
        CHECK(error_text(error) == "CancelledError: early");
        CHECK(task.cancelled());
        CHECK_FALSE(ran);
        CHECK(token.use_count() == 1);
    });
}

TEST_CASE("rule 33: cancel cancels the awaited future at once; the task sees it in the next iteration") {
    run_simulated([]() -> Coro<> {
        Trace trace;
        Future<> future = get_running_loop().create_future<void>();
        auto body = [&]() -> Coro<> {
            const std::string text = co_await ending(future);
            trace(text);
        };
        Task<> task = create_task(body());
        co_await turns(1);
        CHECK(task.cancel());
        trace("after-cancel");
        CHECK(future.cancelled());
        CHECK_FALSE(task.done());
        CHECK(trace.text() == "after-cancel");
        co_await turns(1);
        CHECK(trace.text() == "after-cancel CancelledError");
        CHECK(task.done());
        CHECK_FALSE(task.cancelled());
    });
}

TEST_CASE("rule 34: cancel while runnable is raised at the next step, and the result is dropped by that await") {
    run_simulated([]() -> Coro<> {
        Future<int> future = get_running_loop().create_future<int>();
        auto body = [&]() -> Coro<int> { co_return co_await future; };
        Task<int> task = create_task(body());
        co_await turns(1);
        future.set_result(1);
        CHECK(task.cancel());
        const std::string text = co_await ending(task);
        CHECK(text == "CancelledError");
        CHECK(task.cancelled());
        CHECK(future.result() == 1);
    });
}

TEST_CASE("rule 34: the same for a sleep that has just ended and for an exception that is due") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto sleeps = []() -> Coro<> { co_await sleep(1s); };
        Task<> task = create_task(sleeps());
        co_await turns(1);
        // The sleep's timer is older: it wakes the task, and this runs before the task's step.
        loop.call_later(1s, [&] { CHECK(task.cancel()); });
        const std::string slept = co_await ending(task);
        CHECK(slept == "CancelledError");

        Future<> future = loop.create_future<void>();
        auto waits = [&]() -> Coro<> { co_await future; };
        Task<> other = create_task(waits());
        co_await turns(1);
        future.set_exception(ValueError("dropped"));
        other.cancel();
        const std::string waited = co_await ending(other);
        CHECK(waited == "CancelledError");
        CHECK(error_type(future.exception()) == "ValueError");
    });
}

TEST_CASE("rule 35: a task that cancels itself and returns a value ends cancelled") {
    run_simulated([]() -> Coro<> {
        auto body = []() -> Coro<int> {
            CHECK(current_task().cancel("self"));
            co_return 1;
        };
        Task<int> task = create_task(body());
        const std::exception_ptr error = co_await error_of(task);
        CHECK(error_text(error) == "CancelledError: self");
        CHECK(task.cancelled());
    });
}

TEST_CASE("rule 36: a task that catches CancelledError and returns a value is done, not cancelled") {
    run_simulated([]() -> Coro<> {
        auto body = []() -> Coro<int> {
            try {
                co_await sleep(1h);
            } catch (const CancelledError&) {
                co_return 5;
            }
            co_return 1;
        };
        Task<int> task = create_task(body());
        co_await turns(1);
        CHECK(task.cancel());
        const int value = co_await task;
        CHECK(value == 5);
        CHECK_FALSE(task.cancelled());
        CHECK(task.cancelling() == 1);
    });
}

TEST_CASE("rule 36: a task may await on while it cleans up, and fail with another error") {
    run_simulated([]() -> Coro<> {
        Trace trace;
        auto body = [&]() -> Coro<> {
            std::exception_ptr cancelled;
            try {
                co_await sleep(1h);
            } catch (const CancelledError&) {
                cancelled = std::current_exception();
            }
            co_await sleep(1s);
            trace("cleaned");
            throw ValueError("instead");
        };
        Task<> task = create_task(body());
        co_await turns(1);
        task.cancel();
        const std::exception_ptr error = co_await error_of(task);
        CHECK(error_text(error) == "ValueError: instead");
        CHECK(trace.text() == "cleaned");
        CHECK_FALSE(task.cancelled());
    });
}

TEST_CASE("rule 37: two cancels before the step are one exception and count two; uncancel takes one back") {
    run_simulated([]() -> Coro<> {
        Trace trace;
        auto body = [&]() -> Coro<> {
            const std::string text = co_await ending(sleep(1h));
            trace(text + "-" + std::to_string(current_task().cancelling()));
            CHECK(current_task().uncancel() == 1);
            const std::string again = co_await ending(sleep(1s));
            trace(again);
        };
        Task<> task = create_task(body());
        co_await turns(1);
        CHECK(task.cancel());
        CHECK(task.cancel());
        CHECK(task.cancelling() == 2);
        co_await task;
        CHECK(trace.text() == "CancelledError-2 ok");
        CHECK(task.cancelling() == 1);
    });
}

TEST_CASE("rule 37: each cancel after a delivery is delivered anew") {
    run_simulated([]() -> Coro<> {
        int seen = 0;
        auto body = [&]() -> Coro<> {
            for (int i = 0; i < 3; ++i) {
                const std::string text = co_await ending(sleep(1h));
                if (text == "CancelledError") ++seen;
            }
        };
        Task<> task = create_task(body());
        for (int i = 0; i < 3; ++i) {
            co_await turns(2);
            CHECK(task.cancel());
        }
        co_await task;
        CHECK(seen == 3);
        CHECK(task.cancelling() == 3);
    });
}

TEST_CASE("rule 38: cancel of a done task is refused and changes nothing; it counts as having seen the exception") {
    run_simulated([]() -> Coro<> {
        Reports reports(get_running_loop());
        auto good = []() -> Coro<int> { co_return 1; };
        Task<int> task = create_task(good());
        co_await task;
        CHECK_FALSE(task.cancel());
        CHECK(task.cancelling() == 0);
        CHECK(task.result() == 1);
        auto bad = []() -> Coro<> {
            throw ValueError("x");
            co_return;
        };
        {
            Task<> failed = create_task(bad());
            co_await turns(1);
            CHECK(failed.done());
            CHECK_FALSE(failed.cancel());
        }
        co_await turns(1);
        CHECK(reports.size() == 0);
    });
}

TEST_CASE("rule 39: uncancel does not go below 0; at 0 a request that was not delivered is dropped") {
    run_simulated([]() -> Coro<> {
        auto body = []() -> Coro<int> {
            CHECK(current_task().uncancel() == 0);
            CHECK(current_task().cancel());
            CHECK(current_task().cancelling() == 1);
            CHECK(current_task().uncancel() == 0);
            co_await sleep(0s);
            co_await sleep(1s);
            co_return 2;
        };
        Task<int> task = create_task(body());
        const int value = co_await task;
        CHECK(value == 2);
        // With two requests one uncancel leaves it due.
        auto twice = []() -> Coro<> {
            current_task().cancel();
            current_task().cancel();
            CHECK(current_task().uncancel() == 1);
            co_await sleep(1s);
        };
        Task<> other = create_task(twice());
        const std::string text = co_await ending(other);
        CHECK(text == "CancelledError");
    });
}

TEST_CASE("rule 40: cancelling a task cancels the task it awaits; that one may refuse") {
    run_simulated([]() -> Coro<> {
        Future<> future = get_running_loop().create_future<void>();
        auto inner = [&]() -> Coro<int> {
            const std::string text = co_await ending(future);
            CHECK(text == "CancelledError");
            co_return 9;
        };
        Task<int> b = create_task(inner());
        auto outer = [&]() -> Coro<int> { co_return co_await b; };
        Task<int> a = create_task(outer());
        co_await turns(2);
        CHECK(a.cancel());
        CHECK(future.cancelled());
        CHECK(b.cancelling() == 1);
        const int value = co_await a;
        CHECK(value == 9);
        CHECK_FALSE(a.cancelled());
    });
}

TEST_CASE("rule 40: a chain that does not refuse is cancelled from end to end, each in its own step") {
    run_simulated([]() -> Coro<> {
        Trace trace;
        auto inner = [&]() -> Coro<> {
            const std::exception_ptr error = co_await error_of(sleep(1h));
            trace("inner");
            std::rethrow_exception(error);
        };
        Task<> b = create_task(inner());
        auto outer = [&]() -> Coro<> {
            const std::exception_ptr error = co_await error_of(b);
            trace("outer");
            std::rethrow_exception(error);
        };
        Task<> a = create_task(outer());
        co_await turns(2);
        a.cancel();
        co_await turns(1);
        CHECK(trace.text() == "inner");
        co_await turns(1);
        CHECK(trace.text() == "inner outer");
        CHECK(a.cancelled());
        CHECK(b.cancelled());
    });
}

TEST_CASE("rule 41: a task with a request due that awaits a new future has it cancelled at once") {
    run_simulated([]() -> Coro<> {
        Future<> future = get_running_loop().create_future<void>();
        auto body = [&]() -> Coro<> {
            current_task().cancel();
            co_await future;
        };
        Task<> task = create_task(body());
        co_await turns(1);
        CHECK(future.cancelled());
        CHECK_FALSE(task.done());
        co_await turns(1);
        CHECK(task.cancelled());
    });
}

TEST_CASE("rule 42: the message of cancel reaches the exception; the last one wins") {
    run_simulated([]() -> Coro<> {
        auto body = [](Future<> future) -> Coro<> { co_await future; };
        EventLoop& loop = get_running_loop();
        Future<> first = loop.create_future<void>();
        Task<> waiting = create_task(body(first));
        co_await turns(1);
        waiting.cancel("stop it");
        const std::exception_ptr one = co_await error_of(waiting);
        CHECK(error_text(one) == "CancelledError: stop it");
        CHECK(error_of_call([&] { waiting.result(); }) == "CancelledError: stop it");
        CHECK(error_of_call([&] { first.result(); }) == "CancelledError: stop it");

        Future<> second = loop.create_future<void>();
        Task<> runnable = create_task(body(second));
        co_await turns(1);
        second.set_result();
        runnable.cancel("a");
        runnable.cancel("b");
        const std::exception_ptr two = co_await error_of(runnable);
        CHECK(error_text(two) == "CancelledError: b");

        Task<> none = create_task(body(loop.create_future<void>()));
        co_await turns(1);
        none.cancel();
        const std::exception_ptr three = co_await error_of(none);
        CHECK(error_text(three) == "CancelledError");
    });
}

TEST_CASE("CancelledError is not a std::exception") {
    static_assert(!std::is_base_of_v<std::exception, CancelledError>);
    run_simulated([]() -> Coro<> {
        auto body = []() -> Coro<> {
            try {
                co_await sleep(1h);
            } catch (const std::exception&) {
                FAIL_CHECK("a cancellation was caught as an error");
            }
        };
        Task<> task = create_task(body());
        co_await turns(1);
        task.cancel();
        const std::string text = co_await ending(task);
        CHECK(text == "CancelledError");
    });
}

TEST_CASE("a task that throws CancelledError of its own is cancelled") {
    run_simulated([]() -> Coro<> {
        auto body = []() -> Coro<> {
            throw CancelledError("mine");
            co_return;
        };
        Task<> task = create_task(body());
        const std::exception_ptr error = co_await error_of(task);
        CHECK(error_text(error) == "CancelledError: mine");
        CHECK(task.cancelled());
        CHECK(task.cancelling() == 0);
    });
}

TEST_CASE("a future cancelled by somebody else cancels its waiters' awaits, not their tasks' count") {
    run_simulated([]() -> Coro<> {
        Future<> future = get_running_loop().create_future<void>();
        auto body = [&]() -> Coro<> { co_await future; };
        Task<> a = create_task(body());
        Task<> b = create_task(body());
        co_await turns(1);
        a.cancel();  // cancels the future both wait for, as in asyncio
        const std::string one = co_await ending(a);
        const std::string two = co_await ending(b);
        CHECK(one == "CancelledError");
        CHECK(two == "CancelledError");
        CHECK(a.cancelling() == 1);
        CHECK(b.cancelling() == 0);
    });
}

TEST_CASE("rule 42: cancelled twice while it waits, a task sees the first message; runnable, the last") {
    run_simulated([]() -> Coro<> {
        const auto waits_for = [](Future<> future) -> Coro<> { co_await future; };
        const auto sleeps = []() -> Coro<> { co_await sleep(1h); };
        Task<> waiting = create_task(waits_for(get_running_loop().create_future<void>()));
        Task<> sleeping = create_task(sleeps());
        Task<> fresh = create_task(sleeps());
        fresh.cancel("one");
        fresh.cancel("two");
        co_await turns(1);
        for (Task<>* task : {&waiting, &sleeping}) {
            task->cancel("first");
            task->cancel("second");
            CHECK(task->cancelling() == 2);
        }
        const std::exception_ptr error = co_await error_of(waiting);
        CHECK(error_text(error) == "CancelledError: first");
        const std::exception_ptr slept = co_await error_of(sleeping);
        CHECK(error_text(slept) == "CancelledError: first");
        const std::exception_ptr unstarted = co_await error_of(fresh);
        CHECK(error_text(unstarted) == "CancelledError: two");
    });
}
