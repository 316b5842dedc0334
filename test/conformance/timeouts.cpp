// Rules 66 to 72: timeout.
#include "twin.hpp"

using namespace weft;
using namespace weft::conformance;

namespace {

std::string cancelling(const CurrentTask& task) {
    return "cancelling: " + std::to_string(task.cancelling());
}

}  // namespace

TWIN(66, "at the deadline the body is cancelled and TimeoutError raised; cancelling() is 0 again") {
    const CurrentTask self = current_task();
    auto body = [&]() -> Coro<> {
        try {
            co_await sleep_ms(1000);
        } catch (const CancelledError&) {
            trace("in the body: " + error_text(std::current_exception()) + ", " + cancelling(self));
            throw;
        }
    };
    auto limited = [&](Timeout& limit) -> Coro<> {
        trace("expired: " + yes(limit.expired()));
        co_await body();
    };
    trace(co_await ending(timeout(5ms, limited)));
    trace(cancelling(self));
    trace("-- in time");
    auto quick = [](Timeout& limit) -> Coro<> {
        co_await turns(1);
        trace("expired: " + yes(limit.expired()));
    };
    co_await timeout(1s, quick);
    auto unlimited = [](Timeout& limit) -> Coro<> {
        trace("no deadline: " + yes(!limit.when()));
        co_return;
    };
    co_await timeout(std::nullopt, unlimited);
    trace("-- timeout_at");
    const TimePoint when = get_running_loop().time() + 5ms;
    auto until = [&](Timeout& limit) -> Coro<> {
        trace("when: " + yes(limit.when() == when));
        co_await body();
    };
    trace(co_await ending(timeout_at(when, until)));
}

TWIN(67, "external cancel and deadline in one iteration: CancelledError, cancelling() is 1", real_loop) {
    EventLoop& loop = get_running_loop();
    auto work = []() -> Coro<> {
        const CurrentTask self = current_task();
        bool expired = false;
        auto body = [&](Timeout& limit) -> Coro<> {
            try {
                co_await sleep_ms(1000);
            } catch (const CancelledError&) {
                expired = limit.expired();
                throw;
            }
        };
        try {
            co_await timeout(12ms, body);
        } catch (const CancelledError&) {
            trace("raised, expired: " + yes(expired) + ", " + cancelling(self));
            throw;
        }
    };
    auto run = [&](Duration cancel_after) -> Coro<> {
        Task<> task = loop.create_task(work());
        co_await turns(1);
        loop.call_later(cancel_after, [task]() mutable { task.cancel(); });
        std::this_thread::sleep_for(40ms);  // both timers are due in the next iteration
        trace(co_await ending(task));
        trace("cancelled: " + yes(task.cancelled()) + ", cancelling: " + std::to_string(task.cancelling()));
    };
    trace("-- cancelled before");
    co_await run(1ms);
    trace("-- cancelled after");
    co_await run(30ms);
    trace("-- from outside, no deadline");
    Task<> task = loop.create_task(work());
    co_await turns(1);
    task.cancel();
    trace(co_await ending(task));
    trace("-- a request from before");
    auto requested = []() -> Coro<> {
        CurrentTask self = current_task();
        self.cancel();
        trace(co_await ending(sleep_ms(0)));
        auto body = []() -> Coro<> { co_await sleep_ms(1000); };
        try {
            co_await timeout(5ms, body);
        } catch (const TimeoutError&) {
            trace("TimeoutError, " + cancelling(self));
        }
    };
    trace(co_await ending(loop.create_task(requested())));
}

TWIN(68, "another error of the body at the deadline propagates; a body that swallows the cancellation ends well") {
    const CurrentTask self = current_task();
    auto other_error = [](Timeout& limit) -> Coro<> {
        try {
            co_await sleep_ms(1000);
        } catch (const CancelledError&) {
            trace("expired: " + yes(limit.expired()));
            throw ValueError("instead");
        }
    };
    trace(error_text(co_await error_of(timeout(5ms, other_error))));
    trace(cancelling(self));

    auto swallow = [&]() -> Coro<> {
        Timeout limit(get_running_loop().time() + 5ms);
        limit.enter();
        trace(co_await ending(sleep_ms(1000)));
        limit.exit(nullptr);
        trace("expired: " + yes(limit.expired()) + ", " + cancelling(self));
    };
    trace(co_await ending(swallow()));
    trace("-- before the deadline");
    auto early = []() -> Coro<> {
        throw ValueError("early");
        co_return;
    };
    trace(error_text(co_await error_of(timeout(1s, early))));
}

TWIN(69, "nested: the inner deadline is handled inside and the outer can still expire; with one deadline both expire",
     real_loop) {
    const CurrentTask self = current_task();
    const auto expired = [](bool inner, const Timeout& outer) {
        return "inner: " + yes(inner) + ", outer: " + yes(outer.expired());
    };
    auto one_after_the_other = [&](Timeout& outer) -> Coro<> {
        bool inner_expired = false;
        auto inner_body = [&](Timeout& inner) -> Coro<> {
            const std::exception_ptr error = co_await error_of(sleep_ms(1000));
            inner_expired = inner.expired();
            std::rethrow_exception(error);
        };
        try {
            co_await timeout(5ms, inner_body);
        } catch (const TimeoutError&) {
            trace(expired(inner_expired, outer));
            trace(cancelling(self));
        }
        outer.reschedule(get_running_loop().time() + 5ms);
        const std::exception_ptr error = co_await error_of(sleep_ms(1000));
        trace(expired(inner_expired, outer));
        std::rethrow_exception(error);
    };
    trace(co_await ending(timeout(10s, one_after_the_other)));
    trace(cancelling(self));

    auto outer_first = [&](Timeout& outer) -> Coro<> {
        bool inner_expired = false;
        auto inner_body = [&](Timeout& inner) -> Coro<> {
            const std::exception_ptr error = co_await error_of(sleep_ms(1000));
            inner_expired = inner.expired();
            std::rethrow_exception(error);
        };
        try {
            co_await timeout(1s, inner_body);
        } catch (const CancelledError&) {
            trace(expired(inner_expired, outer));
            throw;
        }
    };
    trace("-- the outer one first");
    trace(co_await ending(timeout(5ms, outer_first)));

    auto both = [&](Timeout& outer) -> Coro<> {
        bool inner_expired = false;
        auto inner_body = [&](Timeout& inner) -> Coro<> {
            get_running_loop().call_soon([] { std::this_thread::sleep_for(20ms); });
            const std::exception_ptr error = co_await error_of(sleep_ms(1000));
            inner_expired = inner.expired();
            std::rethrow_exception(error);
        };
        try {
            co_await timeout(5ms, inner_body);
        } catch (...) {
            trace("inner: " + error_type(std::current_exception()) + ", " + yes(inner_expired) + ", " +
                  yes(outer.expired()));
            throw;
        }
    };
    trace("-- both at once");
    trace(co_await ending(timeout(5ms, both)));
    trace(cancelling(self));
}

TWIN(70, "timeout(0) whose body never waits completes, not expired") {
    auto body = []() -> Coro<> {
        Timeout limit(get_running_loop().time());
        limit.enter();
        trace("body");
        limit.exit(nullptr);
        trace("expired: " + yes(limit.expired()));
        co_return;
    };
    auto waits = []() -> Coro<> {
        co_await turns(1);
        trace("one iteration passes");
        co_await turns(1);
        trace("never");
    };
    auto past = []() -> Coro<> { co_await sleep_ms(1000); };
    trace(co_await ending(body()));
    co_await turns(2);
    trace(co_await ending(timeout(0s, waits)));
    trace(co_await ending(timeout(-1s, past)));
}

TWIN(71, "reschedule moves the deadline, disarms it, fires a past one in the next iteration; it must be active") {
    EventLoop& loop = get_running_loop();
    auto earlier = [&](Timeout& limit) -> Coro<> {
        limit.reschedule(loop.time() + 5ms);
        co_await sleep_ms(1000);
    };
    auto later = [&](Timeout& limit) -> Coro<> {
        limit.reschedule(loop.time() + 10s);
        co_await sleep_ms(20);
        trace("expired: " + yes(limit.expired()));
    };
    auto never = [](Timeout& limit) -> Coro<> {
        limit.reschedule(std::nullopt);
        trace("disarmed: " + yes(!limit.when()));
        co_await sleep_ms(20);
    };
    auto past = [&](Timeout& limit) -> Coro<> {
        limit.reschedule(loop.time() - 1s);
        loop.call_soon([&] { trace("after the deadline: " + yes(limit.expired())); });
        co_await sleep_ms(1000);
    };
    auto expiring = [&](Timeout& limit) -> Coro<> {
        const std::exception_ptr error = co_await error_of(sleep_ms(1000));
        trace(error_of_call([&] { limit.reschedule(loop.time()); }));
        std::rethrow_exception(error);
    };
    trace(co_await ending(timeout(10s, earlier)));
    trace(co_await ending(timeout(5ms, later)));
    trace(co_await ending(timeout(5ms, never)));
    trace(co_await ending(timeout(10s, past)));
    trace(co_await ending(timeout(5ms, expiring)));
    Timeout limit(std::nullopt);
    trace(error_of_call([&] { limit.reschedule(std::nullopt); }));
    limit.enter();
    limit.exit(nullptr);
    trace(error_of_call([&] { limit.reschedule(std::nullopt); }));
    trace(error_of_call([&] { limit.enter(); }));
}

LOOP_TWIN(72, "a timeout outside a task is an error") {
    loop.call_soon([&] {
        try {
            Timeout(loop.time() + 1s).enter();
        } catch (const RuntimeError&) {
            trace(error_text(std::current_exception()));
        }
    });
    loop.stop();
    loop.run_forever();
}
