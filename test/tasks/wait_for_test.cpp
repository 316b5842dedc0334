#include "support/harness.hpp"

using namespace weft;
using namespace weft::testing;

TEST_CASE("wait_for gives the result in time; a coroutine runs in the calling task") {
    run_simulated([]() -> Coro<> {
        const CurrentTask self = current_task();
        auto body = [&]() -> Coro<int> {
            CHECK(current_task() == self);
            co_await sleep(1s);
            co_return 5;
        };
        const int limited = co_await wait_for(body(), 2s);
        const int unlimited = co_await wait_for(body(), std::nullopt);
        CHECK(limited == 5);
        CHECK(unlimited == 5);
        CHECK(current_task().cancelling() == 0);
    });
}

TEST_CASE("wait_for cancels the awaited future at the deadline and throws TimeoutError") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const TimePoint begin = loop.time();
        Future<> future = loop.create_future<void>();
        const std::string text = co_await ending(wait_for(future, 2s));
        CHECK(text == "TimeoutError");
        CHECK(future.cancelled());
        CHECK(loop.time() - begin == 2s);
        CHECK(current_task().cancelling() == 0);
    });
}

TEST_CASE("rule 59: with no time left a done future gives its result, and a coroutine never starts") {
    run_simulated([]() -> Coro<> {
        bool started = false;
        auto body = [&]() -> Coro<int> {
            started = true;
            co_return 1;
        };
        for (const Duration limit : {Duration(0), Duration(-1)}) {
            const std::string text = co_await ending(wait_for(body(), limit));
            CHECK(text == "TimeoutError");
            CHECK_FALSE(started);
            Future<int> done = get_running_loop().create_future<int>();
            done.set_result(3);
            const int value = co_await wait_for(done, limit);
            CHECK(value == 3);
            Future<int> pending = get_running_loop().create_future<int>();
            const std::string late = co_await ending(wait_for(pending, limit));
            CHECK(late == "TimeoutError");
            CHECK(pending.cancelled());
        }
    });
}

TEST_CASE("rule 59: with no time left a gather is cancelled, and that is a TimeoutError") {
    run_simulated([]() -> Coro<> {
        Task<> child = create_task([]() -> Coro<> { co_await sleep(1h); });
        co_await turns(2);
        const std::string text = co_await ending(wait_for(gather(child), 0s));
        CHECK(text == "TimeoutError");
        CHECK(child.cancelled());
    });
}

TEST_CASE("rule 59: with no time left a future of another loop is not cancelled: RuntimeError") {
    auto loop = make_simulated_loop();
    auto other = make_simulated_loop();
    Future<> foreign = other->create_future<void>();
    CHECK(loop->run_until_complete(ending(wait_for(foreign, 0s))) == "RuntimeError");
    CHECK_FALSE(foreign.done());
}

TEST_CASE("rule 60: wait_for waits until the cancelled inner task has cleaned up") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const TimePoint begin = loop.time();
        bool cleaned = false;
        auto body = [&]() -> Coro<> {
            const std::exception_ptr error = co_await error_of(sleep(1h));
            co_await sleep(3s);
            cleaned = true;
            std::rethrow_exception(error);
        };
        Task<> inner = create_task(body());
        const std::string text = co_await ending(wait_for(inner, 1s));
        CHECK(text == "TimeoutError");
        CHECK(cleaned);
        CHECK(inner.cancelled());
        CHECK(loop.time() - begin == 4s);
    });
}

TEST_CASE("rule 61: another error of the inner task during its cancellation propagates") {
    run_simulated([]() -> Coro<> {
        auto body = []() -> Coro<> {
            try {
                co_await sleep(1h);
            } catch (const CancelledError&) {
                throw ValueError("cleanup");
            }
        };
        const std::exception_ptr error = co_await error_of(wait_for(body(), 1s));
        CHECK(error_text(error) == "ValueError: cleanup");
        CHECK(current_task().cancelling() == 0);
        Task<> started = create_task(body());
        co_await turns(1);
        const std::exception_ptr at_once = co_await error_of(wait_for(started, 0s));
        CHECK(error_text(at_once) == "ValueError: cleanup");
    });
}

TEST_CASE("rule 62: an inner coroutine that refuses the cancellation gives its value") {
    run_simulated([]() -> Coro<> {
        auto body = []() -> Coro<int> {
            try {
                co_await sleep(1h);
            } catch (const CancelledError&) {
                co_return 8;
            }
            co_return 1;
        };
        const int value = co_await wait_for(body(), 1s);
        CHECK(value == 8);
        CHECK(current_task().cancelling() == 0);
        Task<int> task = create_task(body());
        const int of_task = co_await wait_for(task, 1s);
        CHECK(of_task == 8);
    });
}

TEST_CASE("rule 63: result and deadline in one iteration: TimeoutError, and the inner future keeps its result") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Future<int> future = loop.create_future<int>();
        const TimePoint begin = loop.time();
        loop.call_at(begin + 1s, [&] { future.set_result(1); });
        const std::string text = co_await ending(wait_for(future, 1s));
        CHECK(text == "TimeoutError");
        CHECK_FALSE(future.cancelled());
        CHECK(future.result() == 1);
        CHECK(current_task().cancelling() == 0);
    });
}

TEST_CASE("rule 64: result and external cancellation in one step: CancelledError") {
    run_simulated([]() -> Coro<> {
        Future<int> future = get_running_loop().create_future<int>();
        auto body = [&]() -> Coro<int> { co_return co_await wait_for(future, 1h); };
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

TEST_CASE("cancelling the caller of wait_for cancels what it waits for") {
    run_simulated([]() -> Coro<> {
        Future<int> future = get_running_loop().create_future<int>();
        auto body = [&]() -> Coro<int> { co_return co_await wait_for(future, 1h); };
        Task<int> task = create_task(body());
        co_await turns(1);
        task.cancel();
        const std::string text = co_await ending(task);
        CHECK(text == "CancelledError");
        CHECK(future.cancelled());
        CHECK(task.cancelling() == 1);
    });
}

TEST_CASE("wait_for leaves no timer behind") {
    auto loop = make_simulated_loop();
    loop->set_exception_handler([](EventLoop&, const ExceptionContext&) {});
    auto body = [](EventLoop& at) -> Coro<> {
        co_await wait_for(sleep(1s), 24h);
        co_await at.create_future<void>();
    };
    const TimePoint begin = loop->time();
    CHECK_THROWS_AS(loop->run_until_complete(body(*loop)), sim::DeadlockError);
    CHECK(loop->time() - begin == 1s);
}
