#include "support/harness.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

/// Waits with the lock held, tells, and keeps the lock.
Coro<bool> wait_and_keep(Condition condition, Trace& trace, std::string name) {
    co_await condition.acquire();
    const bool value = co_await condition.wait();
    trace(std::move(name));
    co_return value;
}

/// The same, and releases it.
Coro<> wait_and_release(Condition condition, Trace& trace, std::string name) {
    auto guard = co_await condition.scoped();
    co_await condition.wait();
    trace(std::move(name));
}

/// Takes one of `items` at a time; ends when it is negative.
Coro<> consume(Condition condition, int& items) {
    auto guard = co_await condition.scoped();
    while (true) {
        co_await condition.wait_for([&items] { return items != 0; });
        if (items < 0) co_return;
        --items;
    }
}

}  // namespace

TEST_CASE("a notified waiter returns when it has the lock again, in the order of waiting") {
    run_simulated([]() -> Coro<> {
        Condition condition;
        Trace trace;
        Task<bool> a = create_task(wait_and_keep(condition, trace, "a"));
        Task<bool> b = create_task(wait_and_keep(condition, trace, "b"));
        Task<bool> c = create_task(wait_and_keep(condition, trace, "c"));
        co_await turns(1);
        CHECK(trace.text().empty());
        CHECK_FALSE(condition.locked());

        const bool taken = co_await condition.acquire();
        CHECK(taken);
        condition.notify();
        co_await turns(1);
        CHECK(trace.text().empty());
        CHECK(condition.locked());
        condition.release();
        co_await turns(1);
        CHECK(trace.text() == "a");
        CHECK(condition.locked());

        condition.notify(2);
        co_await turns(1);
        CHECK(trace.text() == "a");
        condition.release();
        co_await turns(1);
        CHECK(trace.text() == "a b");
        condition.release();
        co_await turns(1);
        CHECK(trace.text() == "a b c");
        CHECK(condition.locked());
        CHECK(a.result());
        CHECK(b.result());
        CHECK(c.result());
    });
}

TEST_CASE("notify wakes as many as it is told, notify_all all") {
    run_simulated([]() -> Coro<> {
        Condition condition;
        Trace trace;
        std::vector<Task<>> tasks;
        for (const char* name : {"a", "b", "c", "d", "e"})
            tasks.push_back(create_task(wait_and_release(condition, trace, name)));
        co_await turns(1);
        auto notify = [&](int count) -> Coro<> {
            auto guard = co_await condition.scoped();
            condition.notify(count);
        };
        co_await notify(0);
        co_await notify(-1);
        co_await turns(2);
        CHECK(trace.text().empty());
        co_await notify(1);
        co_await turns(1);
        CHECK(trace.text() == "a");
        {
            auto guard = co_await condition.scoped();
            condition.notify(1);
            condition.notify(1);
        }
        co_await turns(1);
        CHECK(trace.text() == "a b c");
        {
            auto guard = co_await condition.scoped();
            condition.notify_all();
        }
        co_await turns(1);
        CHECK(trace.text() == "a b c d e");
        co_await notify(2048);
    });
}

TEST_CASE("a condition whose lock is not held refuses to wait and to notify") {
    run_simulated([]() -> Coro<> {
        Condition condition;
        const std::exception_ptr error = co_await error_of(condition.wait());
        CHECK(error_text(error) == "RuntimeError: cannot wait on un-acquired lock");
        CHECK(error_of_call([&] { condition.notify(); }) == "RuntimeError: cannot notify on un-acquired lock");
        CHECK(error_of_call([&] { condition.notify_all(); }) == "RuntimeError: cannot notify on un-acquired lock");
        CHECK(error_of_call([&] { condition.release(); }) == "RuntimeError: Lock is not acquired.");
        CHECK(condition.repr() == "<Condition [unlocked]>");
    });
}

TEST_CASE("wait_for waits until the predicate is true and gives its value") {
    run_simulated([]() -> Coro<> {
        Condition condition;
        std::optional<std::string> answer;
        Trace trace;
        auto body = [&]() -> Coro<> {
            auto guard = co_await condition.scoped();
            auto predicate = [&answer] { return answer; };
            const std::optional<std::string> value = co_await condition.wait_for(predicate);
            trace(*value);
        };
        Task<> task = create_task(body());
        co_await turns(1);
        for (int i = 0; i < 3; ++i) {
            auto guard = co_await condition.scoped();
            condition.notify();
            guard.release();
            co_await turns(2);
        }
        CHECK(trace.text().empty());
        {
            auto guard = co_await condition.scoped();
            answer = "yes";
            condition.notify();
        }
        co_await task;
        CHECK(trace.text() == "yes");
    });
}

TEST_CASE("wait_for needs no lock if its predicate is true at once") {
    run_simulated([]() -> Coro<> {
        Condition condition;
        const int value = co_await condition.wait_for([] { return 7; });
        CHECK(value == 7);
        const std::string text = co_await ending(condition.wait_for([] { return false; }));
        CHECK(text == "RuntimeError");
    });
}

TEST_CASE("a predicate that throws ends wait_for with the lock held") {
    run_simulated([]() -> Coro<> {
        Condition condition;
        bool fail = false;
        auto body = [&]() -> Coro<> {
            co_await condition.acquire();
            co_await condition.wait_for([&fail]() -> bool {
                if (fail) throw ValueError("predicate");
                return false;
            });
        };
        Task<> task = create_task(body());
        co_await turns(1);
        {
            auto guard = co_await condition.scoped();
            fail = true;
            condition.notify();
        }
        const std::string text = co_await ending(task);
        CHECK(text == "ValueError");
        CHECK(condition.locked());
    });
}

TEST_CASE("rule 88: a cancelled wait takes the lock again before it throws") {
    run_simulated([]() -> Coro<> {
        Condition condition;
        co_await condition.acquire();
        Task<bool> waiting = create_task(condition.wait());
        get_running_loop().call_soon([&] { waiting.cancel("foo"); });
        const std::exception_ptr error = co_await error_of(waiting);
        CHECK(error_text(error) == "CancelledError: foo");
        CHECK(condition.repr() == "<Condition [locked]>");
    });
}

TEST_CASE("rule 88: a wait cancelled while the lock is contested holds it when it ends") {
    run_simulated([]() -> Coro<> {
        Condition condition;
        co_await condition.acquire();
        Task<bool> waiting = create_task(condition.wait());
        co_await turns(1);
        CHECK_FALSE(condition.locked());
        co_await condition.acquire();
        condition.notify();
        EventLoop& loop = get_running_loop();
        loop.call_soon([&] { waiting.cancel(); });
        loop.call_soon([&] { condition.release(); });
        (void)co_await ending(waiting);
        CHECK(condition.locked());
    });
}

TEST_CASE("rule 88: cancellations while it takes the lock again do not stop it; the last one is thrown") {
    run_simulated([]() -> Coro<> {
        Condition condition;
        Trace trace;
        auto body = [&]() -> Coro<> {
            co_await condition.acquire();
            const std::exception_ptr error = co_await error_of(condition.wait());
            trace(error_text(error));
            CHECK(condition.locked());
            condition.release();
        };
        Task<> task = create_task(body());
        co_await turns(1);
        co_await condition.acquire();
        task.cancel("one");
        co_await turns(1);
        for (const char* message : {"two", "three", "four"}) {
            task.cancel(message);
            co_await turns(1);
            CHECK_FALSE(task.done());
            CHECK(condition.locked());
        }
        CHECK(trace.text().empty());
        condition.release();
        co_await task;
        CHECK(trace.text() == "CancelledError: four");
        CHECK(task.cancelling() == 4);
        CHECK_FALSE(condition.locked());
    });
}

TEST_CASE("rule 88: a cancellation while it takes the lock again after a notification is thrown") {
    run_simulated([]() -> Coro<> {
        Condition condition;
        bool waited = false;
        auto body = [&]() -> Coro<> {
            auto guard = co_await condition.scoped();
            waited = true;
            co_await condition.wait();
        };
        Task<> task = create_task(body());
        co_await turns(1);
        co_await condition.acquire();
        condition.notify();
        co_await turns(1);  // it waits for the lock now
        task.cancel("foo");
        co_await turns(1);
        CHECK_FALSE(task.done());
        condition.release();
        const std::exception_ptr error = co_await error_of(task);
        CHECK(error_text(error) == "CancelledError: foo");
        CHECK(task.cancelled());
        CHECK(waited);
        CHECK_FALSE(condition.locked());
    });
}

TEST_CASE("rule 89: a waiter that was notified and is cancelled before it runs notifies another one") {
    run_simulated([]() -> Coro<> {
        Condition condition;
        int items = 0;
        Task<> a = create_task(consume(condition, items));
        Task<> b = create_task(consume(condition, items));
        co_await turns(1);
        auto guard = co_await condition.scoped();
        items = 1;
        condition.notify();
        a.cancel();
        guard.release();
        co_await turns(4);
        CHECK(a.cancelled());
        CHECK(items == 0);
        guard = co_await condition.scoped();
        items = -1;
        condition.notify_all();
        guard.release();
        co_await b;
    });
}

TEST_CASE("rule 89: the same for one that is cancelled while it takes the lock again") {
    run_simulated([]() -> Coro<> {
        Condition condition;
        int items = 0;
        Task<> a = create_task(consume(condition, items));
        Task<> b = create_task(consume(condition, items));
        co_await turns(1);
        auto guard = co_await condition.scoped();
        items = 1;
        condition.notify();
        co_await turns(1);
        a.cancel();
        guard.release();
        co_await turns(4);
        CHECK(a.cancelled());
        CHECK(items == 0);
        guard = co_await condition.scoped();
        items = -1;
        condition.notify_all();
        guard.release();
        co_await b;
    });
}

TEST_CASE("rule 89: a waiter cancelled without a notification wakes another one, which is allowed to be in vain") {
    run_simulated([]() -> Coro<> {
        Condition condition;
        Trace trace;
        Task<> a = create_task(wait_and_release(condition, trace, "a"));
        Task<> b = create_task(wait_and_release(condition, trace, "b"));
        co_await turns(1);
        a.cancel();
        co_await turns(3);
        CHECK(a.cancelled());
        CHECK(trace.text() == "b");
    });
}

TEST_CASE("a timeout around a wait throws with the lock held") {
    run_simulated([]() -> Coro<> {
        Condition condition;
        auto guard = co_await condition.scoped();
        const std::string text = co_await ending(wait_for(condition.wait(), 500ms));
        CHECK(text == "TimeoutError");
        CHECK(condition.locked());
    });
}

TEST_CASE("a condition with a lock of somebody else's uses that one") {
    run_simulated([]() -> Coro<> {
        Lock lock;
        Condition condition(lock);
        Condition other(lock);
        {
            auto guard = co_await condition.scoped();
            CHECK(lock.locked());
            CHECK(other.locked());
        }
        CHECK_FALSE(lock.locked());
        Trace trace;
        Task<> a = create_task(wait_and_release(condition, trace, "a"));
        Task<> b = create_task(wait_and_release(other, trace, "b"));
        co_await turns(1);
        {
            auto guard = co_await lock.scoped();
            CHECK(condition.locked());
            other.notify_all();
        }
        co_await turns(2);
        CHECK(trace.text() == "b");
        co_await lock.acquire();
        condition.notify();
        condition.release();
        co_await a;
        CHECK_FALSE(lock.locked());
    });
}

TEST_CASE("a condition and its lock may belong to different loops only until they block") {
    Lock lock;
    Condition condition(lock);
    auto blocks_lock = [](Lock lock) -> Coro<> {
        co_await lock.acquire();
        (void)co_await ending(wait_for(lock.acquire(), 1s));
    };
    make_simulated_loop()->run_until_complete(blocks_lock(lock));
    auto acquire = [](Condition condition) -> Coro<> {
        const std::exception_ptr error = co_await error_of(condition.acquire());
        CHECK(error_text(error) == "RuntimeError: <Lock [locked]> is bound to a different event loop");
    };
    auto other = make_simulated_loop();
    other->run_until_complete(acquire(condition));

    Condition bound;
    auto blocks = [](Condition condition) -> Coro<> {
        co_await condition.acquire();
        (void)co_await ending(wait_for(condition.wait(), 1s));
    };
    make_simulated_loop()->run_until_complete(blocks(bound));
    auto waits = [](Condition condition) -> Coro<> {
        const std::exception_ptr error = co_await error_of(condition.wait());
        CHECK(error_text(error) == "RuntimeError: <Condition [locked]> is bound to a different event loop");
        CHECK(condition.locked());
    };
    auto third = make_simulated_loop();
    third->run_until_complete(waits(bound));
}

TEST_CASE("a condition prints itself") {
    run_simulated([]() -> Coro<> {
        Condition condition;
        CHECK(condition.repr() == "<Condition [unlocked]>");
        Trace trace;
        Task<> a = create_task(wait_and_release(condition, trace, "a"));
        Task<> b = create_task(wait_and_release(condition, trace, "b"));
        co_await turns(1);
        CHECK(condition.repr() == "<Condition [unlocked, waiters:2]>");
        auto guard = co_await condition.scoped();
        CHECK(condition.repr() == "<Condition [locked, waiters:2]>");
        condition.notify_all();
        guard.release();
        co_await turns(1);
        CHECK(condition.repr() == "<Condition [unlocked]>");
    });
}

TEST_CASE("waiters keep a condition whose last handle goes, and unwind from it") {
    run_simulated([]() -> Coro<> {
        Trace trace;
        Task<> waiting;
        {
            Condition condition;
            auto body = [](Condition& condition) -> Coro<> {
                auto guard = co_await condition.scoped();
                co_await condition.wait();
            };
            waiting = create_task(body(condition));
            co_await turns(1);
        }
        waiting.cancel();
        const std::string text = co_await ending(waiting);
        CHECK(text == "CancelledError");
    });
}

TEST_CASE("closing the loop takes waiting tasks out of a condition; their guards leave its lock alone") {
    Condition condition;
    {
        auto loop = make_simulated_loop();
        loop->set_exception_handler([](EventLoop&, const ExceptionContext&) {});
        auto body = [](Condition condition) -> Coro<> {
            auto guard = co_await condition.scoped();
            co_await condition.wait();
        };
        Task<> a = loop->create_task(body(condition));
        Task<> b = loop->create_task(body(condition));
        loop->run_until_complete(turns(2));
        CHECK(condition.repr() == "<Condition [unlocked, waiters:2]>");
    }
    CHECK(condition.repr() == "<Condition [unlocked]>");
}

TEST_CASE("closing the loop destroys a condition that its tasks still wait on, whoever goes first") {
    auto loop = make_simulated_loop();
    loop->set_exception_handler([](EventLoop&, const ExceptionContext&) {});
    auto owner = []() -> Coro<> {
        Condition condition;
        auto uses = [](Condition& condition) -> Coro<> {
            auto guard = co_await condition.scoped();
            co_await condition.wait();
        };
        Task<> a = create_task(uses(condition));
        Task<> b = create_task(uses(condition));
        co_await turns(1);
        // One of them waits for the lock when everything ends.
        co_await condition.acquire();
        condition.notify();
        co_await sleep(1h);
    };
    Task<> task = loop->create_task(owner());
    loop->run_until_complete(turns(5));
    loop->close();
    CHECK(task.cancelled());
}
