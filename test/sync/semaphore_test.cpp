#include "support/harness.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

Coro<> take(Semaphore semaphore, Trace& trace, std::string name) {
    co_await semaphore.acquire();
    trace(std::move(name));
}

}  // namespace

TEST_CASE("a semaphore gives its permits without suspending, and then locks") {
    run_simulated([]() -> Coro<> {
        Semaphore semaphore(2);
        const std::uint64_t steps = get_running_loop().steps();
        const bool taken = co_await semaphore.acquire();
        CHECK(taken);
        CHECK_FALSE(semaphore.locked());
        co_await semaphore.acquire();
        CHECK(semaphore.locked());
        CHECK(get_running_loop().steps() == steps);
        semaphore.release();
        CHECK_FALSE(semaphore.locked());
        CHECK(Semaphore(0).locked());
        CHECK_FALSE(Semaphore().locked());
    });
}

TEST_CASE("a negative value is a ValueError") {
    CHECK(error_of_call([] { Semaphore semaphore(-1); }) == "ValueError: Semaphore initial value must be >= 0");
    CHECK(error_of_call([] { BoundedSemaphore semaphore(-1); }) == "ValueError: Semaphore initial value must be >= 0");
}

TEST_CASE("a semaphore may be released above its first value") {
    run_simulated([]() -> Coro<> {
        Semaphore semaphore(0);
        semaphore.release();
        semaphore.release();
        CHECK(semaphore.repr() == "<Semaphore [unlocked, value:2]>");
        co_await semaphore.acquire();
        co_await semaphore.acquire();
        CHECK(semaphore.locked());
    });
}

TEST_CASE("rule 90: release gives the permit to the first waiter at once") {
    run_simulated([]() -> Coro<> {
        Semaphore semaphore(3);
        Trace trace;
        co_await semaphore.acquire();
        co_await semaphore.acquire();
        Task<> a = create_task(take(semaphore, trace, "a"));
        Task<> b = create_task(take(semaphore, trace, "b"));
        Task<> c = create_task(take(semaphore, trace, "c"));
        co_await turns(1);
        CHECK(trace.text() == "a");
        CHECK(semaphore.repr() == "<Semaphore [locked, waiters:2]>");
        Task<> d = create_task(take(semaphore, trace, "d"));
        semaphore.release();
        semaphore.release();
        CHECK(semaphore.locked());  // both permits are given away
        co_await turns(1);
        CHECK(trace.text() == "a b c");
        CHECK(semaphore.repr() == "<Semaphore [locked, waiters:1]>");
        semaphore.release();
        co_await d;
        CHECK(trace.text() == "a b c d");
    });
}

TEST_CASE("rule 90: strictly first come, first served, also for one that comes back at once") {
    run_simulated([]() -> Coro<> {
        Semaphore semaphore(1);
        Trace trace;
        auto body = [&](std::string name) -> Coro<> {
            for (const char* round : {"1", "2"}) {
                co_await semaphore.acquire();
                trace(name + round);
                co_await sleep(10ms);
                semaphore.release();
            }
        };
        Task<> a = create_task(body("a"));
        Task<> b = create_task(body("b"));
        Task<> c = create_task(body("c"));
        co_await gather(a, b, c);
        CHECK(trace.text() == "a1 b1 c1 a2 b2 c2");
    });
}

TEST_CASE("rule 90: a newcomer queues while a permit is free but somebody is about to run") {
    run_simulated([]() -> Coro<> {
        Semaphore semaphore(1);
        Trace trace;
        auto twice = [&]() -> Coro<> {
            co_await semaphore.acquire();
            trace("2");
            semaphore.release();
            co_await semaphore.acquire();
            trace("4");
        };
        Task<> a = create_task(take(semaphore, trace, "1"));
        Task<> b = create_task(twice());
        Task<> c = create_task(take(semaphore, trace, "3"));
        co_await turns(1);
        semaphore.release();
        semaphore.release();
        co_await gather(a, b, c);
        CHECK(trace.text() == "1 2 3 4");
    });
}

TEST_CASE("rule 90: a waiter that runs wakes as many others as there are permits") {
    run_simulated([]() -> Coro<> {
        Semaphore semaphore(0);
        Trace trace;
        Task<> d;
        auto fourth = [&]() -> Coro<> {
            trace("4");
            co_return;
        };
        auto first = [&]() -> Coro<> {
            co_await semaphore.acquire();
            d = create_task(fourth());  // runs after the third, which was woken before it was made
            trace("1");
        };
        auto second = [&]() -> Coro<> {
            for (int i = 0; i < 3; ++i)
                semaphore.release();
            CHECK(semaphore.locked());  // the first comes first
            CHECK(semaphore.repr() == "<Semaphore [locked, waiters:1]>");
            co_await semaphore.acquire();
            trace("2");
        };
        Task<> a = create_task(first());
        Task<> b = create_task(second());
        Task<> c = create_task(take(semaphore, trace, "3"));
        co_await turns(1);
        CHECK(semaphore.repr() == "<Semaphore [locked, waiters:3]>");
        co_await turns(1);
        co_await gather(a, b, c, d);
        CHECK(trace.text() == "1 2 3 4");
    });
}

TEST_CASE("rule 90: waiters that are cancelled before they are woken are passed over") {
    run_simulated([]() -> Coro<> {
        Semaphore semaphore(0);
        Trace trace;
        Task<> a = create_task(take(semaphore, trace, "a"));
        Task<> b = create_task(take(semaphore, trace, "b"));
        Task<> c = create_task(take(semaphore, trace, "c"));
        Task<> d = create_task(take(semaphore, trace, "d"));
        co_await turns(1);
        a.cancel();
        b.cancel();
        semaphore.release();
        co_await turns(2);
        CHECK(trace.text() == "c");
        CHECK(a.cancelled());
        CHECK(b.cancelled());
        CHECK_FALSE(d.done());
        semaphore.release();
        co_await d;
    });
}

TEST_CASE("rule 90: a waiter cancelled after it was woken gives its permit to the next") {
    run_simulated([]() -> Coro<> {
        Semaphore semaphore(0);
        Trace trace;
        Task<> a = create_task(take(semaphore, trace, "a"));
        Task<> b = create_task(take(semaphore, trace, "b"));
        co_await turns(1);
        semaphore.release();
        a.cancel();
        co_await turns(2);
        CHECK(a.cancelled());
        CHECK(trace.text() == "b");
        CHECK(semaphore.locked());
    });
}

TEST_CASE("rule 90: a waiter cancelled after it was woken gives its permit back if nobody else waits") {
    run_simulated([]() -> Coro<> {
        Semaphore semaphore(1);
        Task<> b;
        auto first = [&]() -> Coro<> {
            {
                auto permit = co_await semaphore.scoped();
                co_await sleep(0s);
            }
            b.cancel();
        };
        auto second = [&]() -> Coro<> {
            auto permit = co_await semaphore.scoped();
            FAIL_CHECK("it was cancelled");
        };
        Task<> a = create_task(first());
        b = create_task(second());
        const std::string text = co_await ending(b);
        CHECK(text == "CancelledError");
        co_await a;
        CHECK(semaphore.repr() == "<Semaphore [unlocked, value:1]>");
        co_await wait_for(semaphore.acquire(), 1s);
    });
}

TEST_CASE("a semaphore is locked while it has a permit and a waiter that lives, not for a cancelled one") {
    run_simulated([]() -> Coro<> {
        Semaphore semaphore(0);
        Trace trace;
        Task<> a = create_task(take(semaphore, trace, "a"));
        co_await turns(1);
        semaphore.release();
        semaphore.release();
        CHECK(semaphore.locked());
        co_await turns(1);
        CHECK_FALSE(semaphore.locked());
        co_await semaphore.acquire();
        Task<> b = create_task(take(semaphore, trace, "b"));
        co_await turns(1);
        b.cancel();
        semaphore.release();
        CHECK_FALSE(semaphore.locked());  // its task has not run yet
        co_await semaphore.acquire();
        co_await turns(1);
        CHECK(semaphore.repr() == "<Semaphore [locked]>");
    });
}

TEST_CASE("a semaphore's guard gives the permit back when it goes, and at most once") {
    run_simulated([]() -> Coro<> {
        Semaphore semaphore(1);
        {
            auto permit = co_await semaphore.scoped();
            CHECK(permit);
            SemaphoreGuard other = std::move(permit);
            CHECK(semaphore.locked());
        }
        CHECK(semaphore.repr() == "<Semaphore [unlocked, value:1]>");
        {
            auto permit = co_await semaphore.scoped();
            permit.release();
            permit.release();
            CHECK_FALSE(permit);
        }
        CHECK(semaphore.repr() == "<Semaphore [unlocked, value:1]>");
    });
}

TEST_CASE("a bounded semaphore refuses to be released too often") {
    run_simulated([]() -> Coro<> {
        BoundedSemaphore semaphore(2);
        CHECK(error_of_call([&] { semaphore.release(); }) == "ValueError: BoundedSemaphore released too many times");
        {
            auto permit = co_await semaphore.scoped();
            semaphore.release();
            CHECK(error_of_call([&] { permit.release(); }) == "ValueError: BoundedSemaphore released too many times");
        }
        {
            auto permit = co_await semaphore.scoped();
            semaphore.release();
        }
        CHECK(semaphore.repr() == "<BoundedSemaphore [unlocked, value:2]>");
        Semaphore same = semaphore;
        CHECK(ending_of_call([&] { same.release(); }) == "ValueError");
    });
}

TEST_CASE("a bounded semaphore with a permit on its way to a waiter still counts it as taken") {
    run_simulated([]() -> Coro<> {
        BoundedSemaphore semaphore(1);
        Trace trace;
        co_await semaphore.acquire();
        Task<> a = create_task(take(semaphore, trace, "a"));
        co_await turns(1);
        semaphore.release();
        semaphore.release();
        CHECK(ending_of_call([&] { semaphore.release(); }) == "ValueError");
        co_await a;
    });
}

TEST_CASE("a semaphore prints itself") {
    run_simulated([]() -> Coro<> {
        Semaphore semaphore(3);
        CHECK(semaphore.repr() == "<Semaphore [unlocked, value:3]>");
        Semaphore none(0);
        CHECK(none.repr() == "<Semaphore [locked]>");
        Trace trace;
        Task<> a = create_task(take(none, trace, "a"));
        co_await turns(1);
        CHECK(none.repr() == "<Semaphore [locked, waiters:1]>");
        none.release();
        co_await a;
    });
}

TEST_CASE("a semaphore belongs to the first loop that blocks on it") {
    Semaphore semaphore(0);
    auto blocks = [](Semaphore semaphore) -> Coro<> { (void)co_await ending(wait_for(semaphore.acquire(), 1s)); };
    make_simulated_loop()->run_until_complete(blocks(semaphore));
    auto elsewhere = [](Semaphore semaphore) -> Coro<> {
        const std::exception_ptr error = co_await error_of(semaphore.acquire());
        CHECK(error_text(error) == "RuntimeError: <Semaphore [locked]> is bound to a different event loop");
    };
    auto other = make_simulated_loop();
    other->run_until_complete(elsewhere(semaphore));
}

TEST_CASE("closing the loop takes waiting tasks out of a semaphore; a permit on its way comes back") {
    Semaphore semaphore(1);
    {
        auto loop = make_simulated_loop();
        loop->set_exception_handler([](EventLoop&, const ExceptionContext&) {});
        auto body = [](Semaphore semaphore) -> Coro<> {
            auto permit = co_await semaphore.scoped();
            co_await sleep(1h);
        };
        Task<> a = loop->create_task(body(semaphore));
        Task<> b = loop->create_task(body(semaphore));
        Task<> c = loop->create_task(body(semaphore));
        loop->run_until_complete(turns(2));
        CHECK(semaphore.repr() == "<Semaphore [locked, waiters:2]>");
        semaphore.release();  // given to b, which never runs again
    }
    CHECK(semaphore.repr() == "<Semaphore [unlocked, value:2]>");
}

TEST_CASE("waiters keep a semaphore whose last handle goes") {
    run_simulated([]() -> Coro<> {
        Task<> waiting;
        {
            Semaphore semaphore(0);
            auto body = [](Semaphore& semaphore) -> Coro<> { co_await semaphore.acquire(); };
            waiting = create_task(body(semaphore));
            co_await turns(1);
        }
        waiting.cancel();
        const std::string text = co_await ending(waiting);
        CHECK(text == "CancelledError");
    });
}
