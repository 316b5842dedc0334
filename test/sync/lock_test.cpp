#include "support/harness.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

/// Takes the lock, says so, and keeps it.
Coro<> take(Lock lock, Trace& trace, std::string name) {
    co_await lock.acquire();
    trace(std::move(name));
}

}  // namespace

TEST_CASE("a free lock is taken without suspending, and acquire gives true") {
    run_simulated([]() -> Coro<> {
        Lock lock;
        const std::uint64_t steps = get_running_loop().steps();
        const bool taken = co_await lock.acquire();
        CHECK(taken);
        CHECK(lock.locked());
        CHECK(get_running_loop().steps() == steps);
        lock.release();
        CHECK_FALSE(lock.locked());
    });
}

TEST_CASE("rule 85: waiters get the lock in the order they came, one for each release") {
    run_simulated([]() -> Coro<> {
        Lock lock;
        Trace trace;
        co_await lock.acquire();
        Task<> a = create_task(take(lock, trace, "a"));
        Task<> b = create_task(take(lock, trace, "b"));
        co_await turns(1);
        CHECK(trace.text().empty());
        lock.release();
        co_await turns(1);
        CHECK(trace.text() == "a");
        co_await turns(1);
        CHECK(trace.text() == "a");
        Task<> c = create_task(take(lock, trace, "c"));
        lock.release();
        co_await turns(1);
        CHECK(trace.text() == "a b");
        lock.release();
        co_await turns(1);
        CHECK(trace.text() == "a b c");
        CHECK(a.done());
        CHECK(b.done());
        CHECK(c.done());
    });
}

TEST_CASE("rule 85: a newcomer queues behind the waiter that was woken, though the lock is not locked") {
    run_simulated([]() -> Coro<> {
        Lock lock;
        Trace trace;
        co_await lock.acquire();
        auto body = [&]() -> Coro<> {
            auto guard = co_await lock.scoped();
            trace("a");
        };
        Task<> a = create_task(body());
        co_await turns(1);
        lock.release();
        CHECK_FALSE(lock.locked());
        co_await lock.acquire();
        trace("main");
        CHECK(trace.text() == "a main");
    });
}

TEST_CASE("rule 85: release wakes at most one, also when it is called again before that one ran") {
    run_simulated([]() -> Coro<> {
        Lock lock;
        Trace trace;
        co_await lock.acquire();
        Task<> a = create_task(take(lock, trace, "a"));
        Task<> b = create_task(take(lock, trace, "b"));
        co_await turns(1);
        lock.release();
        CHECK(error_of_call([&] { lock.release(); }) == "RuntimeError: Lock is not acquired.");
        co_await turns(2);
        CHECK(trace.text() == "a");
        CHECK(lock.repr() == "<Lock [locked, waiters:1]>");
        lock.release();
        co_await b;
    });
}

TEST_CASE("releasing a lock that is not taken is a RuntimeError") {
    Lock lock;
    CHECK(error_of_call([&] { lock.release(); }) == "RuntimeError: Lock is not acquired.");
}

TEST_CASE("a waiter that is cancelled leaves the line") {
    run_simulated([]() -> Coro<> {
        Lock lock;
        co_await lock.acquire();
        Task<bool> waiting = create_task(Coro<bool>(lock.acquire()));
        get_running_loop().call_soon([&] { waiting.cancel("gone"); });
        const std::exception_ptr error = co_await error_of(waiting);
        CHECK(error_text(error) == "CancelledError: gone");
        CHECK(lock.repr() == "<Lock [locked]>");
    });
}

TEST_CASE("rule 86: a woken waiter that is cancelled before it runs passes the wake-up on") {
    run_simulated([]() -> Coro<> {
        Lock lock;
        Trace trace;
        co_await lock.acquire();
        Task<> b = create_task(take(lock, trace, "b"));
        Task<> c = create_task(take(lock, trace, "c"));
        co_await turns(1);
        lock.release();
        b.cancel();
        co_await turns(1);
        CHECK(b.cancelled());
        CHECK_FALSE(lock.locked());
        co_await turns(1);
        CHECK(trace.text() == "c");
        CHECK(lock.locked());
        co_await c;
    });
}

TEST_CASE("rule 86: a release that finds the first waiter cancelled reaches the next one") {
    run_simulated([]() -> Coro<> {
        Lock lock;
        Trace trace;
        Future<> go = get_running_loop().create_future<void>();
        auto holder = [&]() -> Coro<> {
            auto guard = co_await lock.scoped();
            co_await go;
        };
        Task<> a = create_task(holder());
        co_await turns(1);
        CHECK(lock.locked());
        Task<> b = create_task(take(lock, trace, "b"));
        Task<> c = create_task(take(lock, trace, "c"));
        co_await turns(1);
        go.set_result();
        b.cancel();
        co_await turns(1);
        CHECK_FALSE(lock.locked());
        CHECK(a.done());
        CHECK(b.cancelled());
        co_await c;
        CHECK(trace.text() == "c");
    });
}

TEST_CASE("rule 86: one release lets one waiter through, also when the first is cancelled in the same iteration") {
    run_simulated([]() -> Coro<> {
        Lock lock;
        Trace trace;
        co_await lock.acquire();
        Task<> a = create_task(take(lock, trace, "a"));
        Task<> b = create_task(take(lock, trace, "b"));
        Task<> c = create_task(take(lock, trace, "c"));
        co_await turns(1);
        get_running_loop().call_soon([&] {
            a.cancel();
            lock.release();
        });
        const std::string text = co_await ending(a);
        CHECK(text == "CancelledError");
        CHECK(trace.text() == "b");
        CHECK(b.done());
        c.cancel();
        co_await turns(1);
        CHECK(c.cancelled());
    });
}

TEST_CASE("rule 86: whoever comes takes a free lock at once if all waiters are cancelled") {
    run_simulated([]() -> Coro<> {
        Lock lock;
        Trace trace;
        co_await lock.acquire();
        Task<> b = create_task(take(lock, trace, "b"));
        co_await turns(1);
        b.cancel();
        lock.release();
        // The cancelled task has not run yet.
        co_await lock.acquire();
        trace("main");
        CHECK(trace.text() == "main");
        co_await turns(2);
        CHECK(b.cancelled());
        CHECK(lock.locked());
        CHECK(trace.text() == "main");
    });
}

TEST_CASE("rule 86: a newcomer queues behind a waiter that lives, though a cancelled one is first") {
    run_simulated([]() -> Coro<> {
        Lock lock;
        Trace trace;
        co_await lock.acquire();
        Task<> a = create_task(take(lock, trace, "a"));
        auto brief = [&]() -> Coro<> {
            auto guard = co_await lock.scoped();
            trace("b");
        };
        Task<> b = create_task(brief());
        co_await turns(1);
        a.cancel();
        lock.release();
        co_await take(lock, trace, "main");
        CHECK(trace.text() == "b main");
    });
}

TEST_CASE("rule 34: a waiter that has its turn and is cancelled in its own step's iteration does not keep the lock") {
    run_simulated([]() -> Coro<> {
        Lock lock;
        co_await lock.acquire();
        Task<bool> only = create_task(Coro<bool>(lock.acquire()));
        co_await turns(1);
        lock.release();
        only.cancel();
        const std::string text = co_await ending(only);
        CHECK(text == "CancelledError");
        CHECK_FALSE(lock.locked());
        co_await lock.acquire();
    });
}

TEST_CASE("a guard releases when it goes, also when an exception takes it, and at most once") {
    run_simulated([]() -> Coro<> {
        Lock lock;
        {
            auto guard = co_await lock.scoped();
            CHECK(guard);
            CHECK(lock.locked());
            LockGuard other = std::move(guard);
            CHECK(other);
            CHECK(lock.locked());
        }
        CHECK_FALSE(lock.locked());
        auto fails = [&]() -> Coro<> {
            auto guard = co_await lock.scoped();
            throw ValueError("x");
        };
        const std::string text = co_await ending(fails());
        CHECK(text == "ValueError");
        CHECK_FALSE(lock.locked());
        {
            auto guard = co_await lock.scoped();
            guard.release();
            CHECK_FALSE(guard);
            CHECK_FALSE(lock.locked());
            guard.release();
            co_await lock.acquire();
        }
        CHECK(lock.locked());
        lock.release();
        auto first = co_await lock.scoped();
        lock.release();
        CHECK(error_of_call([&] { first.release(); }) == "RuntimeError: Lock is not acquired.");
        LockGuard empty;
        CHECK_FALSE(empty);
        empty = co_await lock.scoped();
        empty = LockGuard();
        CHECK_FALSE(lock.locked());
    });
}

TEST_CASE("acquire and scoped are awaitables that can be handed over") {
    run_simulated([]() -> Coro<> {
        Lock lock;
        const bool taken = co_await wait_for(lock.acquire(), 1s);
        CHECK(taken);
        const std::string late = co_await ending(wait_for(lock.scoped(), 1s));
        CHECK(late == "TimeoutError");
        CHECK(lock.repr() == "<Lock [locked]>");
        get_running_loop().call_later(1s, [&] { lock.release(); });
        auto guard = co_await wait_for(lock.scoped(), 2s);
        CHECK(guard);
        CHECK(lock.locked());
    });
}

TEST_CASE("a lock belongs to the first loop that blocks on it") {
    Lock lock;
    auto blocks = [](Lock lock) -> Coro<> {
        co_await lock.acquire();
        (void)co_await ending(wait_for(lock.acquire(), 1s));
    };
    make_simulated_loop()->run_until_complete(blocks(lock));
    auto elsewhere = [](Lock lock) -> Coro<> {
        const std::exception_ptr error = co_await error_of(lock.acquire());
        CHECK(error_text(error) == "RuntimeError: <Lock [locked]> is bound to a different event loop");
        lock.release();
        co_await lock.acquire();  // does not block
    };
    auto other = make_simulated_loop();
    other->run_until_complete(elsewhere(lock));
}

TEST_CASE("a lock prints itself") {
    run_simulated([]() -> Coro<> {
        Lock lock;
        CHECK(lock.repr() == "<Lock [unlocked]>");
        co_await lock.acquire();
        CHECK(lock.repr() == "<Lock [locked]>");
        Trace trace;
        Task<> a = create_task(take(lock, trace, "a"));
        Task<> b = create_task(take(lock, trace, "b"));
        co_await turns(1);
        CHECK(lock.repr() == "<Lock [locked, waiters:2]>");
        lock.release();
        CHECK(lock.repr() == "<Lock [unlocked, waiters:2]>");
        co_await turns(1);
        CHECK(lock.repr() == "<Lock [locked, waiters:1]>");
        lock.release();
        co_await b;
    });
}

TEST_CASE("copies mean the same lock; waiters and guards keep it when the last handle goes") {
    run_simulated([]() -> Coro<> {
        Trace trace;
        LockGuard guard;
        Task<> waiting;
        {
            Lock lock;
            Lock copy = lock;
            CHECK(copy == lock);
            CHECK_FALSE(Lock() == lock);
            guard = co_await lock.scoped();
            CHECK(copy.locked());
            auto body = [](Trace& trace, Lock& lock) -> Coro<> {
                auto guard = co_await lock.scoped();
                trace("a");
            };
            waiting = create_task(body(trace, lock));
            co_await turns(1);
        }
        guard.release();
        co_await waiting;
        CHECK(trace.text() == "a");
    });
}

TEST_CASE("closing the loop takes its waiting tasks out of the line, and frees their guards") {
    Lock lock;
    {
        auto loop = make_simulated_loop();
        loop->set_exception_handler([](EventLoop&, const ExceptionContext&) {});
        auto holds = [](Lock lock) -> Coro<> {
            auto guard = co_await lock.scoped();
            co_await sleep(1h);
        };
        Task<> a = loop->create_task(holds(lock));
        Task<> b = loop->create_task(holds(lock));
        Task<> c = loop->create_task(holds(lock));
        loop->run_until_complete(turns(2));
        CHECK(lock.repr() == "<Lock [locked, waiters:2]>");
    }
    CHECK(lock.repr() == "<Lock [unlocked]>");
}

TEST_CASE("closing the loop destroys a lock that its tasks still wait on, whoever goes first") {
    auto loop = make_simulated_loop();
    loop->set_exception_handler([](EventLoop&, const ExceptionContext&) {});
    auto owner = []() -> Coro<> {
        Lock lock;
        auto guard = co_await lock.scoped();
        auto uses = [](Lock& lock) -> Coro<> { auto guard = co_await lock.scoped(); };
        Task<> a = create_task(uses(lock));
        Task<> b = create_task(uses(lock));
        co_await sleep(1h);
    };
    Task<> task = loop->create_task(owner());
    loop->run_until_complete(turns(3));
    loop->close();
    CHECK(task.cancelled());
}
