#include "support/harness.hpp"

using namespace weft;
using namespace weft::testing;

TEST_CASE("rule 55: cancelling the outer future leaves the inner one running") {
    run_simulated([]() -> Coro<> {
        auto work = []() -> Coro<int> {
            co_await sleep(2s);
            co_return 3;
        };
        Task<int> inner = create_task(work());
        auto body = [&]() -> Coro<int> { co_return co_await shield(inner); };
        Task<int> outer = create_task(body());
        co_await turns(2);
        outer.cancel();
        const std::string text = co_await ending(outer);
        CHECK(text == "CancelledError");
        CHECK_FALSE(inner.done());
        CHECK(inner.cancelling() == 0);
        const int value = co_await inner;
        CHECK(value == 3);
    });
}

TEST_CASE("rule 55: cancelling the inner future cancels the outer one") {
    run_simulated([]() -> Coro<> {
        Future<int> inner = get_running_loop().create_future<int>();
        Future<int> outer = shield(inner);
        CHECK_FALSE(outer == inner);
        inner.cancel();
        CHECK_FALSE(outer.done());
        co_await turns(1);
        CHECK(outer.cancelled());
    });
}

TEST_CASE("rule 55: results and errors pass through; a done inner future is given back as it is") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Future<int> good = loop.create_future<int>();
        Future<int> outer = shield(good);
        good.set_result(4);
        const int value = co_await outer;
        CHECK(value == 4);
        CHECK(shield(good) == good);
        Future<> bad = loop.create_future<void>();
        Future<> failing = shield(bad);
        bad.set_exception(ValueError("x"));
        const std::exception_ptr error = co_await error_of(failing);
        CHECK(error_text(error) == "ValueError: x");
    });
}

TEST_CASE("rule 55: shield inside gather, and gather inside shield") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Future<int> a = loop.create_future<int>();
        Future<int> b = loop.create_future<int>();
        auto outer = gather(shield(a), shield(b));
        CHECK(outer.cancel());
        const std::string text = co_await ending(outer);
        CHECK(text == "CancelledError");
        CHECK_FALSE(a.done());
        CHECK_FALSE(b.done());

        auto inner = gather(a, b);
        auto shielded = shield(inner);
        shielded.cancel();
        co_await turns(2);
        CHECK_FALSE(inner.done());
        CHECK_FALSE(a.done());
        a.set_result(1);
        b.set_result(2);
        auto [x, y] = co_await inner;
        CHECK(x + y == 3);
    });
}

TEST_CASE("after the outer future was cancelled, an exception of the inner one is reported") {
    run_simulated([]() -> Coro<> {
        Reports reports(get_running_loop());
        auto work = []() -> Coro<> {
            co_await sleep(1s);
            throw ValueError("unseen");
        };
        Future<> outer = shield(work());
        outer.cancel();
        co_await sleep(2s);
        REQUIRE(reports.size() == 1);
        CHECK(reports[0].message == "Task exception was never retrieved");
        CHECK(error_text(reports[0].exception) == "ValueError: unseen");
    });
}

TEST_CASE("an inner exception that is there before the outer future is cancelled is consumed by the shield") {
    run_simulated([]() -> Coro<> {
        Reports reports(get_running_loop());
        {
            Future<> inner = get_running_loop().create_future<void>();
            Future<> outer = shield(inner);
            inner.set_exception(ValueError("x"));
            CHECK(outer.cancel());
        }
        co_await turns(3);
        CHECK(reports.size() == 0);
    });
}

TEST_CASE("a task that awaits shield or gather of a future that never comes is freed with its loop") {
    auto token = std::make_shared<int>(0);
    {
        auto loop = make_simulated_loop();
        Reports reports(*loop);
        const auto waits = [](Future<> future) -> Coro<> { co_await shield(future); };
        const auto gathers = [](Future<> future) -> Coro<> { co_await gather(future, sleep(1h)); };
        for (int i = 0; i < 2; ++i) {
            Future<> never = loop->create_future<void>();
            never.add_done_callback([token] {});  // goes with the future
            if (i == 0)
                loop->create_task(waits(never));
            else
                loop->create_task(gathers(never));
        }
        loop->run_until_complete(turns(3));
        CHECK(token.use_count() == 3);
        loop->close();
        CHECK(reports.size() == 3);  // the sleep's task too
    }
    CHECK(token.use_count() == 1);
}

TEST_CASE("dropping a shield or gather before its future has told it is safe") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Trace trace;
        Future<int> future = loop.create_future<int>();
        {
            Future<int> outer = shield(future);
            auto all = gather(future);
            loop.call_soon([&] { trace("before"); });
            future.set_result(1);
            loop.call_soon([&] { trace("after"); });
        }
        co_await turns(2);
        CHECK(trace.text() == "before after");
    });
}

TEST_CASE("shield of a pending future of another loop is a ValueError") {
    auto loop = make_simulated_loop();
    auto other = make_simulated_loop();
    Future<int> foreign = other->create_future<int>();
    auto body = [&]() -> Coro<std::string> { co_return ending_of_call([&] { (void)shield(foreign); }); };
    CHECK(loop->run_until_complete(body()) == "ValueError");
    foreign.set_result(1);
    CHECK(loop->run_until_complete(body()) == "ok");
}
