#include "support/harness.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

Coro<int> value_after(Duration delay, int value) {
    co_await sleep(delay);
    co_return value;
}
Coro<int> fail_after(Duration delay, std::string what) {
    co_await sleep(delay);
    throw ValueError(what);
}

template <class... A>
concept CanGather = requires(A... a) { gather(std::move(a)...); };
static_assert(CanGather<Coro<int>, Future<>, Task<std::string>> && CanGather<std::vector<Coro<int>>>);
static_assert(!CanGather<int> && !CanGather<std::vector<int>> && !CanGather<Coro<int>, int>);

}  // namespace

TEST_CASE("gather gives the results in the order of its arguments, whatever the order of their ends") {
    run_simulated([]() -> Coro<> {
        const TimePoint begin = get_running_loop().time();
        auto word = []() -> Coro<std::string> { co_return "w"; };
        auto [a, b, c, d] = co_await gather(value_after(3s, 1), word(), sleep(1s), value_after(2s, 4));
        CHECK(a == 1);
        CHECK(b == "w");
        CHECK(c == None());
        CHECK(d == 4);
        CHECK(get_running_loop().time() - begin == 3s);

        std::vector<Coro<int>> coros;
        for (int i = 0; i < 5; ++i)
            coros.push_back(value_after(std::chrono::seconds(5 - i), i));
        const std::vector<int> all = co_await gather(std::move(coros));
        CHECK(all == std::vector<int>{0, 1, 2, 3, 4});
    });
}

TEST_CASE("rule 49: the first error is raised at once; siblings go on; later errors are consumed silently") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Reports reports(loop);
        const TimePoint begin = loop.time();
        bool finished = false;
        auto sibling = [&]() -> Coro<int> {
            co_await sleep(3s);
            finished = true;
            co_return 1;
        };
        const std::exception_ptr error =
            co_await error_of(gather(sibling(), fail_after(1s, "first"), fail_after(2s, "second")));
        CHECK(error_text(error) == "ValueError: first");
        CHECK(loop.time() - begin == 1s);
        CHECK_FALSE(finished);
        co_await sleep(5s);
        CHECK(finished);
        CHECK(reports.size() == 0);
    });
}

TEST_CASE("rule 50: a cancelled child is a CancelledError out of gather; the outer is not cancelled, siblings run on") {
    run_simulated([]() -> Coro<> {
        Task<int> victim = create_task(value_after(1h, 1));
        Task<int> sibling = create_task(value_after(1s, 2));
        auto outer = gather(victim, sibling);
        co_await turns(1);
        victim.cancel("gone");
        const std::exception_ptr error = co_await error_of(outer);
        CHECK(error_text(error) == "CancelledError: gone");
        CHECK_FALSE(outer.cancelled());
        CHECK(outer.done());
        CHECK(error_type(outer.exception()) == "CancelledError");
        CHECK_FALSE(sibling.done());
        const int value = co_await sibling;
        CHECK(value == 2);
    });
}

TEST_CASE("rule 51: cancelling the gather cancels every pending child, and it is over when they have all ended") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const TimePoint begin = loop.time();
        auto stubborn = [](Duration cleanup) -> Coro<int> {
            try {
                co_await sleep(1h);
            } catch (const CancelledError&) {}
            co_await sleep(cleanup);
            co_return 7;
        };
        Task<int> one = create_task(stubborn(1s));
        Task<int> two = create_task(stubborn(2s));
        Task<int> done = create_task(value_after(0s, 3));
        co_await turns(3);
        CHECK(done.done());
        auto outer = gather(return_exceptions, one, two, done);
        CHECK(outer.cancel());
        CHECK_FALSE(outer.done());
        const std::string text = co_await ending(outer);
        CHECK(text == "CancelledError");
        CHECK_FALSE(outer.cancelled());
        CHECK(loop.time() - begin == 2s);
        CHECK(one.result() == 7);
        CHECK(two.result() == 7);
        CHECK_FALSE(outer.cancel());
    });
}

TEST_CASE("rule 51: a task that awaits a gather passes its cancellation on to the children") {
    run_simulated([]() -> Coro<> {
        Task<int> one = create_task(value_after(1h, 1));
        Task<int> two = create_task(value_after(1h, 2));
        auto body = [&]() -> Coro<> { (void)co_await gather(one, two); };
        Task<> waiter = create_task(body());
        co_await turns(2);
        CHECK(waiter.cancel());
        const std::string text = co_await ending(waiter);
        CHECK(text == "CancelledError");
        CHECK(waiter.cancelled());
        CHECK(one.cancelled());
        CHECK(two.cancelled());
    });
}

TEST_CASE("rule 52: with return_exceptions errors and cancellations are values of the result") {
    run_simulated([]() -> Coro<> {
        Task<int> victim = create_task(value_after(1h, 1));
        auto outer = gather(return_exceptions, value_after(1s, 5), fail_after(2s, "bad"), victim);
        co_await turns(1);
        victim.cancel();
        auto [good, bad, gone] = co_await outer;
        REQUIRE(good.has_value());
        CHECK(*good == 5);
        CHECK_FALSE(bad.has_value());
        CHECK_FALSE(bad.cancelled());
        CHECK(error_text(bad.exception()) == "ValueError: bad");
        CHECK(gone.cancelled());
        CHECK(error_type(gone.exception()) == "CancelledError");
        CHECK(ending_of_call([&] { (void)gone.value(); }) == "CancelledError");

        std::vector<Coro<int>> coros;
        coros.push_back(value_after(1s, 1));
        coros.push_back(fail_after(1s, "x"));
        auto outcomes = co_await gather(return_exceptions, std::move(coros));
        REQUIRE(outcomes.size() == 2);
        CHECK(outcomes[0].value() == 1);
        CHECK_FALSE(outcomes[1]);
    });
}

TEST_CASE("rule 53: an argument that is there twice is awaited once and gives its result twice") {
    run_simulated([]() -> Coro<> {
        int runs = 0;
        auto body = [&]() -> Coro<int> {
            ++runs;
            co_await sleep(1s);
            co_return runs;
        };
        Task<int> task = create_task(body());
        auto [a, b] = co_await gather(task, task);
        CHECK(a == 1);
        CHECK(b == 1);
        std::vector<Task<int>> tasks{task, task, task};
        const std::vector<int> all = co_await gather(tasks);
        CHECK(all == std::vector<int>{1, 1, 1});
        CHECK(runs == 1);
    });
}

TEST_CASE("rule 54: gather of nothing, or of what is done, is done at once") {
    run_simulated([]() -> Coro<> {
        CHECK(gather().done());
        std::vector<Coro<int>> none;
        auto empty = gather(std::move(none));
        CHECK(empty.done());
        CHECK(empty.result().empty());
        Future<int> done = get_running_loop().create_future<int>();
        done.set_result(1);
        auto outer = gather(done, done);
        CHECK(outer.done());
        bool other = false;
        get_running_loop().call_soon([&] { other = true; });
        auto [a, b] = co_await outer;
        CHECK(a + b == 2);
        CHECK_FALSE(other);
        co_await turns(1);
        CHECK(other);
    });
}

TEST_CASE("gather moves values that only move") {
    run_simulated([]() -> Coro<> {
        auto make = [](int n) -> Coro<std::unique_ptr<int>> {
            co_await sleep(1s);
            co_return std::make_unique<int>(n);
        };
        auto [a, b] = co_await gather(make(1), make(2));
        CHECK(*a + *b == 3);
    });
}

TEST_CASE("the tasks that gather makes know where it was called") {
    run_simulated([]() -> Coro<> {
        const auto lines = [] {
            std::vector<unsigned> lines;
            for (const AnyTask& task : all_tasks())
                if (!(task == current_task())) lines.push_back(task.task().spawned_at().line());
            return lines;
        };
        const unsigned here = std::source_location::current().line();
        auto two = gather(value_after(1s, 1), value_after(1s, 2));
        CHECK(lines() == std::vector<unsigned>(2, here + 1));
        co_await two;
        auto three = gather(value_after(1s, 1), value_after(1s, 2), value_after(1s, 3));
        CHECK(lines() == std::vector<unsigned>(3, here + 4));
        co_await three;
        auto outcomes = gather(return_exceptions, value_after(1s, 1), value_after(1s, 2));
        CHECK(lines() == std::vector<unsigned>(2, here + 7));
        co_await outcomes;
        auto five =
            gather(value_after(1s, 1), value_after(1s, 2), value_after(1s, 3), value_after(1s, 4), value_after(1s, 5));
        const auto [a, b, c, d, e] = co_await five;
        CHECK(a + b + c + d + e == 15);
    });
}

TEST_CASE("gather outside a running loop is an error") {
    CHECK(ending_of_call([] { (void)gather(value_after(1s, 1)); }) == "RuntimeError");
}

TEST_CASE("gather of a future of another loop is a ValueError, and nothing is started") {
    auto loop = make_simulated_loop();
    auto other = make_simulated_loop();
    std::vector<Future<int>> foreign{other->create_future<int>()};
    std::string values;
    std::string range;
    std::size_t tasks = 0;
    auto body = [&]() -> Coro<> {
        values = error_of_call([&] { (void)gather(value_after(1s, 1), foreign[0]); });
        std::vector<Future<int>> mixed{get_running_loop().create_future<int>(), foreign[0]};
        range = ending_of_call([&] { (void)gather(return_exceptions, mixed); });
        tasks = all_tasks().size();
        co_return;
    };
    loop->run_until_complete(body());
    CHECK(values == "ValueError: The future belongs to a different loop than the one specified as the loop argument");
    CHECK(range == "ValueError");
    CHECK(tasks == 1);
    foreign[0].set_result(1);
}

TEST_CASE("a gather of futures belongs to their loop, which need not run") {
    auto loop = make_simulated_loop();
    Future<int> one = loop->create_future<int>();
    Future<std::string> two = loop->create_future<std::string>();
    auto both = gather(one, two);
    std::vector<Future<int>> several{one, one};
    auto all = gather(several);
    loop->call_soon([&] {
        one.set_result(1);
        two.set_result("two");
    });
    CHECK(loop->run_until_complete(both) == std::tuple(1, std::string("two")));
    CHECK(loop->run_until_complete(all) == std::vector<int>{1, 1});
    CHECK(ending_of_call([] { (void)gather(std::vector<Future<int>>()); }) == "RuntimeError");
}

TEST_CASE("a gather that was cancelled ends with the message of its last child, whichever ends last") {
    run_simulated([]() -> Coro<> {
        const auto slow_to_end = [](Duration delay) -> Coro<> {
            const auto body = []() -> Coro<> { co_await sleep(1h); };
            const auto cleanup = [delay]() -> Coro<> { co_await sleep(delay); };
            co_await try_finally(body, cleanup);
        };
        std::vector<Coro<>> children;
        children.push_back(slow_to_end(2s));
        children.push_back(slow_to_end(1s));
        auto both = gather(std::move(children));
        co_await sleep(1s);
        both.cancel("why");
        const std::exception_ptr error = co_await error_of(both);
        CHECK(error_text(error) == "CancelledError: why");
    });
}
