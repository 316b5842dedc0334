#include "support/harness.hpp"

using namespace weft;
using namespace weft::testing;

TEST_CASE("rule 66: at the deadline the body is cancelled and TimeoutError thrown; cancelling() is 0 again") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const TimePoint begin = loop.time();
        std::string inside;
        auto body = [&]() -> Coro<> {
            const std::exception_ptr error = co_await error_of(sleep(1h));
            inside = error_type(error) + std::to_string(current_task().cancelling());
            std::rethrow_exception(error);
        };
        const std::string text = co_await ending(timeout(1s, body));
        CHECK(text == "TimeoutError");
        CHECK(inside == "CancelledError1");
        CHECK(loop.time() - begin == 1s);
        CHECK(current_task().cancelling() == 0);
        co_await sleep(1s);
    });
}

TEST_CASE("timeout gives the body's value, and its deadline is gone with it") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto body = [](Timeout& limit) -> Coro<int> {
            CHECK(limit.when() == get_running_loop().time() + 2s);
            CHECK_FALSE(limit.expired());
            co_await sleep(1s);
            co_return 4;
        };
        const int value = co_await timeout(2s, body);
        CHECK(value == 4);
        auto never = [](Timeout& limit) -> Coro<int> {
            CHECK_FALSE(limit.when());
            co_return 5;
        };
        const int unlimited = co_await timeout(std::nullopt, never);
        CHECK(unlimited == 5);
        const int at = co_await timeout_at(loop.time() + 2s, body);
        CHECK(at == 4);
        co_await sleep(10s);
    });
}

TEST_CASE("rule 67: external cancel and deadline in one iteration: CancelledError, cancelling() is 1") {
    for (const bool cancel_first : {true, false}) {
        run_simulated([cancel_first]() -> Coro<> {
            EventLoop& loop = get_running_loop();
            const TimePoint when = loop.time() + 1s;
            Task<> task;
            if (cancel_first) loop.call_at(when, [&] { task.cancel(); });
            auto waits = []() -> Coro<> { co_await sleep(1h); };
            auto body = [&]() -> Coro<> { co_await timeout_at(when, waits); };
            task = create_task(body());
            co_await turns(2);
            if (!cancel_first) loop.call_at(when, [&] { task.cancel(); });
            const std::string text = co_await ending(task);
            CHECK(text == "CancelledError");
            CHECK(task.cancelled());
            CHECK(task.cancelling() == 1);
        });
    }
}

TEST_CASE("rule 67: a cancellation from outside stays one") {
    run_simulated([]() -> Coro<> {
        auto waits = []() -> Coro<> { co_await sleep(1h); };
        auto body = [&]() -> Coro<> { co_await timeout(2h, waits); };
        Task<> task = create_task(body());
        co_await turns(1);
        task.cancel("outside");
        const std::exception_ptr error = co_await error_of(task);
        CHECK(error_text(error) == "CancelledError: outside");
    });
}

TEST_CASE("rule 68: a different error of the body at the deadline propagates") {
    run_simulated([]() -> Coro<> {
        auto body = []() -> Coro<> {
            try {
                co_await sleep(1h);
            } catch (const CancelledError&) {
                throw ValueError("foreign");
            }
        };
        const std::exception_ptr error = co_await error_of(timeout(1s, body));
        CHECK(error_text(error) == "ValueError: foreign");
        CHECK(current_task().cancelling() == 0);
    });
}

TEST_CASE("rule 68: a body that swallows the cancellation ends well, and expired() tells") {
    run_simulated([]() -> Coro<> {
        bool expired = false;
        auto body = [&](Timeout& limit) -> Coro<int> {
            const std::string text = co_await ending(sleep(1h));
            CHECK(text == "CancelledError");
            expired = limit.expired();
            co_return 1;
        };
        const int value = co_await timeout(1s, body);
        CHECK(value == 1);
        CHECK(expired);
        CHECK(current_task().cancelling() == 0);
    });
}

TEST_CASE("rule 69: nested: the inner one expires and is handled; the outer can still expire") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const TimePoint begin = loop.time();
        Trace trace;
        auto waits = []() -> Coro<> { co_await sleep(1h); };
        bool outer_expired = false;
        auto outer = [&](Timeout& limit) -> Coro<> {
            const std::string text = co_await ending(timeout(1s, waits));
            trace(text);
            CHECK_FALSE(limit.expired());
            const std::string second = co_await ending(sleep(1h));
            trace(second);
            outer_expired = limit.expired();
            throw CancelledError();
        };
        const std::string text = co_await ending(timeout(2s, outer));
        trace(text);
        CHECK(trace.text() == "TimeoutError CancelledError TimeoutError");
        CHECK(outer_expired);
        CHECK(loop.time() - begin == 2s);
        CHECK(current_task().cancelling() == 0);
    });
}

TEST_CASE("rule 69: nested with one deadline: both expire, and the outer throws") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const TimePoint when = loop.time() + 1s;
        bool inner_expired = false;
        bool outer_expired = false;
        std::string inner_end;
        auto waits = [&](Timeout& limit) -> Coro<> {
            const std::exception_ptr error = co_await error_of(sleep(1h));
            inner_expired = limit.expired();
            std::rethrow_exception(error);
        };
        auto outer = [&](Timeout& limit) -> Coro<> {
            const std::exception_ptr error = co_await error_of(timeout_at(when, waits));
            inner_end = error_type(error);
            outer_expired = limit.expired();
            std::rethrow_exception(error);
        };
        const std::string text = co_await ending(timeout_at(when, outer));
        CHECK(text == "TimeoutError");
        CHECK(inner_end == "CancelledError");
        CHECK(inner_expired);
        CHECK(outer_expired);
        CHECK(current_task().cancelling() == 0);
    });
}

TEST_CASE("rule 70: timeout(0) whose body never waits completes, not expired") {
    run_simulated([]() -> Coro<> {
        bool expired = true;
        auto body = [&](Timeout& limit) -> Coro<int> {
            expired = limit.expired();
            co_return 1;
        };
        const int value = co_await timeout(0s, body);
        CHECK(value == 1);
        CHECK_FALSE(expired);
        auto waits = []() -> Coro<> {
            co_await sleep(0s);
            co_await sleep(0s);
        };
        const std::string text = co_await ending(timeout(0s, waits));
        CHECK(text == "TimeoutError");
        const std::string past = co_await ending(timeout(-1s, waits));
        CHECK(past == "TimeoutError");
    });
}

TEST_CASE("rule 71: reschedule moves the deadline, disarms it, and fires a past one in the next iteration") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        TimePoint begin = loop.time();
        auto later = [&](Timeout& limit) -> Coro<> {
            limit.reschedule(begin + 5s);
            CHECK(limit.when() == begin + 5s);
            co_await sleep(1h);
        };
        const std::string moved = co_await ending(timeout(1s, later));
        CHECK(moved == "TimeoutError");
        CHECK(loop.time() - begin == 5s);

        auto disarm = [](Timeout& limit) -> Coro<int> {
            limit.reschedule(std::nullopt);
            co_await sleep(1h);
            co_return 1;
        };
        const int disarmed = co_await timeout(1s, disarm);
        CHECK(disarmed == 1);

        begin = loop.time();
        auto past = [&](Timeout& limit) -> Coro<> {
            limit.reschedule(begin - 1s);
            co_await sleep(1h);
        };
        const std::string fired = co_await ending(timeout(1h, past));
        CHECK(fired == "TimeoutError");
        CHECK(loop.time() == begin);
    });
}

TEST_CASE("rule 71: reschedule of a timeout that is not active is an error") {
    run_simulated([]() -> Coro<> {
        Timeout fresh(std::nullopt);
        CHECK(error_of_call([&] { fresh.reschedule(std::nullopt); }) == "RuntimeError: Timeout has not been entered");
        std::string expiring;
        auto body = [&](Timeout& limit) -> Coro<> {
            const std::string text = co_await ending(sleep(1h));
            CHECK(text == "CancelledError");
            expiring = error_of_call([&] { limit.reschedule(std::nullopt); });
        };
        co_await timeout(1s, body);
        CHECK(expiring == "RuntimeError: Cannot change state of expiring Timeout");
        Timeout finished(std::nullopt);
        finished.enter();
        CHECK(error_of_call([&] { finished.enter(); }) == "RuntimeError: Timeout has already been entered");
        finished.exit(nullptr);
        CHECK(error_of_call([&] { finished.reschedule(std::nullopt); }) ==
              "RuntimeError: Cannot change state of finished Timeout");
        CHECK(ending_of_call([&] { finished.enter(); }) == "RuntimeError");
    });
}

TEST_CASE("rule 72: a timeout outside a task is an error") {
    auto loop = make_simulated_loop();
    std::string text;
    loop->call_soon([&] {
        Timeout limit(std::nullopt);
        text = error_of_call([&] { limit.enter(); });
        loop->stop();
    });
    loop->run_forever();
    CHECK(text == "RuntimeError: Timeout should be used inside a task");
}

static_assert(!std::is_copy_constructible_v<Timeout> && !std::is_move_constructible_v<Timeout>);
