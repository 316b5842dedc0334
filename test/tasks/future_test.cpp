#include "support/harness.hpp"

#include <thread>
#include <unordered_set>

using namespace weft;
using namespace weft::testing;

namespace {

template <class F, class... A>
concept CanSetResult = requires(F future, A... value) { future.set_result(value...); };
template <class F>
concept CanSetException = requires(F future) { future.set_exception(ValueError("x")); };

// What must not compile.
static_assert(CanSetResult<Future<int>, int> && !CanSetResult<Future<int>> && !CanSetResult<Future<int>, int, int>);
static_assert(CanSetResult<Future<>> && !CanSetResult<Future<>, int>);
static_assert(!CanSetResult<Task<int>, int> && !CanSetResult<Task<>> && !CanSetException<Task<int>>);
static_assert(Awaitable<Future<int>> && Awaitable<Future<>&> && !Awaitable<int> && !Awaitable<std::string>);
static_assert(std::is_same_v<await_result_t<Future<int&>>, int&> && std::is_same_v<await_result_t<Task<>>, void>);

}  // namespace

TEST_CASE("rule 23: done-callbacks and task wake-ups run through the loop in the order of registration") {
    run_simulated([]() -> Coro<> {
        Trace trace;
        Future<> future = get_running_loop().create_future<void>();
        auto wait = [&](int i) -> Coro<> {
            co_await future;
            trace(std::to_string(i));
        };
        Task<> zero = create_task(wait(0));
        Task<> one = create_task(wait(1));
        co_await turns(1);
        future.add_done_callback([&] { trace("cb"); });
        Task<> two = create_task(wait(2));
        co_await turns(1);
        future.set_result();
        trace("set");
        co_await two;
        CHECK(trace.text() == "set 0 1 cb 2");
    });
}

TEST_CASE("rule 24: a callback added to a done future is scheduled, not called inline") {
    run_simulated([]() -> Coro<> {
        Trace trace;
        Future<int> future = get_running_loop().create_future<int>();
        future.set_result(1);
        future.add_done_callback([&](Future<int> done) { trace("called-" + std::to_string(done.result())); });
        trace("added");
        co_await turns(1);
        CHECK(trace.text() == "added called-1");
    });
}

TEST_CASE("rule 25: awaiting a done future does not yield") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        bool other_ran = false;
        loop.call_soon([&] { other_ran = true; });
        Future<int> good = loop.create_future<int>();
        good.set_result(1);
        const int value = co_await good;
        CHECK(value == 1);
        Future<int> bad = loop.create_future<int>();
        bad.set_exception(ValueError("x"));
        const std::string failed = co_await ending(bad);
        CHECK(failed == "ValueError");
        Future<int> gone = loop.create_future<int>();
        gone.cancel();
        const std::string cancelled = co_await ending(gone);
        CHECK(cancelled == "CancelledError");
        CHECK_FALSE(other_ran);
        co_await turns(1);
        CHECK(other_ran);
    });
}

TEST_CASE("rule 26: a future is completed once") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Future<int> future = loop.create_future<int>();
        CHECK_FALSE(future.done());
        CHECK(ending_of_call([&] { (void)future.result(); }) == "InvalidStateError");
        CHECK(ending_of_call([&] { (void)future.exception(); }) == "InvalidStateError");
        future.set_result(1);
        CHECK(future.done());
        CHECK(ending_of_call([&] { future.set_result(2); }) == "InvalidStateError");
        CHECK(ending_of_call([&] { future.set_exception(ValueError("x")); }) == "InvalidStateError");
        CHECK_FALSE(future.cancel());
        CHECK(future.result() == 1);
        CHECK(future.exception() == nullptr);
        CHECK_FALSE(future.cancelled());

        Future<int> gone = loop.create_future<int>();
        CHECK(gone.cancel("why"));
        CHECK(gone.done());
        CHECK(gone.cancelled());
        CHECK_FALSE(gone.cancel());
        CHECK(ending_of_call([&] { gone.set_result(2); }) == "InvalidStateError");
        CHECK(ending_of_call([&] { gone.set_exception(ValueError("x")); }) == "InvalidStateError");
        CHECK(error_of_call([&] { (void)gone.result(); }) == "CancelledError: why");
        CHECK(ending_of_call([&] { (void)gone.exception(); }) == "CancelledError");
        co_return;
    });
}

TEST_CASE("rule 27: callbacks may be added and removed while others are scheduled or run") {
    run_simulated([]() -> Coro<> {
        Trace trace;
        Future<> future = get_running_loop().create_future<void>();
        const auto first = future.add_done_callback([&] { trace("a"); });
        const auto second = future.add_done_callback([&] {
            trace("b");
            future.add_done_callback([&] { trace("late"); });
        });
        const auto third = future.add_done_callback([&] { trace("c"); });
        CHECK(future.remove_done_callback(first) == 1);
        future.set_result();
        // Scheduled: removing is too late and says so.
        CHECK(future.remove_done_callback(second) == 0);
        CHECK(future.remove_done_callback(third) == 0);
        co_await turns(2);
        CHECK(trace.text() == "b c late");
    });
}

TEST_CASE("rule 27: the id of a callback that was removed or has run removes no other one") {
    run_simulated([]() -> Coro<> {
        Trace trace;
        EventLoop& loop = get_running_loop();
        Future<> future = loop.create_future<void>();
        const auto removed = future.add_done_callback([&] { trace("a"); });
        CHECK(future.remove_done_callback(removed) == 1);
        future.add_done_callback([&] { trace("b"); });  // in the same place, perhaps
        CHECK(future.remove_done_callback(removed) == 0);
        const auto ran = future.add_done_callback([&] { trace("c"); });
        future.set_result();
        co_await turns(2);
        Future<> other = loop.create_future<void>();
        other.add_done_callback([&] { trace("d"); });
        other.add_done_callback([&] { trace("e"); });
        CHECK(other.remove_done_callback(ran) == 0);
        CHECK(other.remove_done_callback({}) == 0);
        other.set_result();
        co_await turns(2);
        CHECK(trace.text() == "b c d e");
    });
}

TEST_CASE("rule 27: a callback may remove the only other reference to its future") {
    run_simulated([]() -> Coro<> {
        auto future = std::make_unique<Future<int>>(get_running_loop().create_future<int>());
        int seen = 0;
        future->add_done_callback([&](Future<int> done) {
            future.reset();
            seen = done.result();
        });
        future->set_result(5);
        co_await turns(1);
        CHECK(seen == 5);
    });
}

TEST_CASE("rule 28: an exception nobody retrieves is reported once, when the last handle goes") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Reports reports(loop);
        Future<> copy;
        {
            Future<> future = loop.create_future<void>();
            future.set_exception(ValueError("lost"));
            copy = future;
        }
        co_await turns(2);
        CHECK(reports.size() == 0);
        copy = Future<>();
        REQUIRE(reports.size() == 1);
        CHECK(reports[0].message == "Future exception was never retrieved");
        CHECK(error_text(reports[0].exception) == "ValueError: lost");
        co_await turns(2);
        CHECK(reports.size() == 1);
    });
}

TEST_CASE("rule 28: of a task the report names it") {
    run_simulated([]() -> Coro<> {
        Reports reports(get_running_loop());
        auto fail = []() -> Coro<> {
            throw ValueError("task");
            co_return;
        };
        { Task<> task = create_task(fail(), TaskOptions().name("failing")); }
        co_await turns(2);
        REQUIRE(reports.size() == 1);
        CHECK(reports[0].message == "Task exception was never retrieved");
        CHECK(reports[0].task == "failing");
    });
}

TEST_CASE("rule 28: result(), exception(), await and cancel() silence the report") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Reports reports(loop);
        for (int way = 0; way < 4; ++way) {
            Future<> future = loop.create_future<void>();
            future.set_exception(ValueError("seen"));
            if (way == 0) CHECK(ending_of_call([&] { future.result(); }) == "ValueError");
            if (way == 1) CHECK(error_type(future.exception()) == "ValueError");
            if (way == 2) {
                const std::string text = co_await ending(future);
                CHECK(text == "ValueError");
            }
            if (way == 3) CHECK_FALSE(future.cancel());
        }
        co_await turns(2);
        CHECK(reports.size() == 0);
    });
}

TEST_CASE("rule 28: at loop close what is still held is reported, once") {
    auto loop = make_simulated_loop();
    Reports reports(*loop);
    Future<> held = loop->create_future<void>();
    held.set_exception(ValueError("held"));
    loop->close();
    CHECK(reports.messages() == "Future exception was never retrieved");
    loop.reset();
    CHECK(reports.size() == 1);
}

TEST_CASE("rule 30: a future of another loop cannot be awaited: RuntimeError in the task") {
    auto loop = make_simulated_loop();
    auto other = make_simulated_loop();
    Future<> foreign = other->create_future<void>();
    const std::string text = error_text(loop->run_until_complete(error_of(foreign)));
    CHECK(text == "RuntimeError: Task got Future attached to a different loop");
    // One that is done does not have to be waited for.
    foreign.set_result();
    CHECK(loop->run_until_complete(ending(foreign)) == "ok");
}

TEST_CASE("a future holds values that only move, references, and nothing") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Future<std::unique_ptr<int>> moved = loop.create_future<std::unique_ptr<int>>();
        moved.set_result(std::make_unique<int>(3));
        const std::unique_ptr<int> pointer = co_await moved;
        CHECK(*pointer == 3);

        int number = 1;
        Future<int&> reference = loop.create_future<int&>();
        reference.set_result(number);
        int& same = co_await reference;
        CHECK(&same == &number);

        Future<> nothing = loop.create_future<void>();
        nothing.set_result();
        co_await nothing;
        nothing.result();
    });
}

TEST_CASE("several awaits of one future each get the value") {
    run_simulated([]() -> Coro<> {
        Future<std::string> future = get_running_loop().create_future<std::string>();
        auto get = [&]() -> Coro<std::string> { co_return co_await future; };
        Task<std::string> a = create_task(get());
        Task<std::string> b = create_task(get());
        co_await turns(1);
        future.set_result("x");
        const std::string one = co_await a;
        const std::string two = co_await b;
        const std::string three = co_await future;
        CHECK(one + two + three == "xxx");
        CHECK(future.result() == "x");
    });
}

TEST_CASE("an exception is given as an object or as a pointer, and every await throws it") {
    run_simulated([]() -> Coro<> {
        Future<> future = get_running_loop().create_future<void>();
        future.set_exception(std::make_exception_ptr(ValueError("v")));
        const std::string once = co_await ending(future);
        const std::string twice = co_await ending(future);
        CHECK(once == "ValueError");
        CHECK(twice == "ValueError");
    });
}

TEST_CASE("set_exception of a null pointer is a ValueError and changes nothing") {
    run_simulated([]() -> Coro<> {
        Future<int> future = get_running_loop().create_future<int>();
        CHECK(ending_of_call([&] { future.set_exception(std::exception_ptr()); }) == "ValueError");
        CHECK_FALSE(future.done());
        future.set_result(1);
        CHECK(ending_of_call([&] { future.set_exception(std::exception_ptr()); }) == "InvalidStateError");
        ConcurrentFuture<int> shared;
        CHECK(ending_of_call([&] { shared.set_exception(std::exception_ptr()); }) == "ValueError");
        CHECK_FALSE(shared.done());
        shared.set_result(1);
        CHECK(shared.result() == 1);
        co_return;
    });
}

TEST_CASE("a task is not completed from outside: RuntimeError, and it ends with its coroutine's result") {
    run_simulated([]() -> Coro<> {
        const auto body = []() -> Coro<int> {
            co_await sleep(1s);
            co_return 1;
        };
        Future<int> future = create_task(body());
        CHECK(error_of_call([&] { future.set_result(2); }) ==
              "RuntimeError: Task does not support set_result operation");
        CHECK(error_of_call([&] { future.set_exception(ValueError("x")); }) ==
              "RuntimeError: Task does not support set_exception operation");
        CHECK_FALSE(future.done());
        const int value = co_await future;
        CHECK(value == 1);
        CHECK(ending_of_call([&] { future.set_result(2); }) == "RuntimeError");
    });
}

TEST_CASE("futures compare and hash by identity") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Future<int> a = loop.create_future<int>();
        Future<int> b = loop.create_future<int>();
        Future<int> c = a;
        CHECK(a == c);
        CHECK(a != b);
        CHECK(&a.get_loop() == &loop);
        std::unordered_set<Future<int>> set{a, b, c};
        CHECK(set.size() == 2);
        CHECK_FALSE(Future<int>());
        co_return;
    });
}

TEST_CASE("a future outlives its loop") {
    Future<int> future;
    Future<int> pending;
    {
        auto loop = make_simulated_loop();
        future = loop->create_future<int>();
        pending = loop->create_future<int>();
        future.set_result(4);
        pending.add_done_callback([] {});
    }
    CHECK(future.result() == 4);
    CHECK_FALSE(pending.done());
}

namespace {

/// How each way to complete a future that has a callback ends.
std::vector<std::string> endings_of_completion(std::vector<Future<int>> futures) {
    std::vector<std::string> endings;
    endings.push_back(error_of_call([&] { futures[0].set_result(1); }));
    endings.push_back(error_of_call([&] { futures[1].set_exception(ValueError("late")); }));
    endings.push_back(error_of_call([&] { futures[2].cancel(); }));
    return endings;
}

std::vector<Future<int>> three_futures(EventLoop& loop) {
    std::vector<Future<int>> futures;
    for (int i = 0; i < 3; ++i)
        futures.push_back(loop.create_future<int>());
    return futures;
}

}  // namespace

TEST_CASE("a future that is completed after its loop has closed or gone: callbacks are dropped, RuntimeError") {
    for (const bool gone : {false, true}) {
        auto loop = make_simulated_loop();
        Reports reports(*loop);
        auto token = std::make_shared<int>(0);
        std::vector<Future<int>> futures = three_futures(*loop);
        for (auto& future : futures)
            future.add_done_callback([token] { ++*token; });
        CHECK(token.use_count() == 4);
        loop->close();
        if (gone) loop.reset();
        const std::string closed = "RuntimeError: Event loop is closed";
        CHECK(endings_of_completion(futures) == std::vector<std::string>{closed, closed, closed});
        CHECK(token.use_count() == 1);
        CHECK(*token == 0);
        // As in asyncio, they are done all the same.
        CHECK(futures[0].result() == 1);
        CHECK(error_of_call([&] { (void)futures[1].result(); }) == "ValueError: late");
        CHECK(futures[2].cancelled());
        CHECK(error_of_call([&] { futures[0].add_done_callback([token] {}); }) == closed);
        CHECK(token.use_count() == 1);
        futures.clear();
        CHECK(reports.size() == 0);
    }
}

TEST_CASE("a future without callbacks is completed after its loop has closed or gone") {
    for (const bool gone : {false, true}) {
        auto loop = make_simulated_loop();
        std::vector<Future<int>> futures = three_futures(*loop);
        loop->close();
        if (gone) loop.reset();
        CHECK(endings_of_completion(futures) == std::vector<std::string>{"ok", "ok", "ok"});
        CHECK(futures[0].result() == 1);
        CHECK(futures[1].done());
        CHECK(futures[2].cancelled());
    }
}

TEST_CASE("a shield of a future that is completed after its loop has gone is let go of") {
    auto loop = make_simulated_loop();
    Future<> inner = loop->create_future<void>();
    Future<> shielded;
    const auto body = [&]() -> Coro<> {
        shielded = shield(inner);
        co_return;
    };
    loop->run_until_complete(body());
    loop.reset();
    CHECK(error_of_call([&] { inner.set_result(); }) == "RuntimeError: Event loop is closed");
    CHECK_FALSE(shielded.done());
    shielded = Future<>();
    CHECK(inner.done());
}

TEST_CASE("a future may be completed while its loop closes; its callbacks are dropped") {
    auto loop = make_simulated_loop();
    Reports reports(*loop);
    Future<int> future = loop->create_future<int>();
    Future<int> failed = loop->create_future<int>();
    auto token = std::make_shared<int>(0);
    future.add_done_callback([token] { ++*token; });
    class Completes {
    public:
        Completes(Future<int> future, Future<int> failed) : future_(std::move(future)), failed_(std::move(failed)) {}
        Completes(const Completes&) = delete;
        Completes& operator=(const Completes&) = delete;
        ~Completes() {
            future_.set_result(1);
            failed_.set_exception(ValueError("while closing"));
        }

    private:
        Future<int> future_;
        Future<int> failed_;
    };
    auto waits = [](Future<int> first, Future<int> second) -> Coro<> {
        const Completes completes(std::move(first), std::move(second));
        co_await sleep(1h);
    };
    (void)loop->create_task(waits(future, failed));
    loop->stop();
    loop->run_forever();
    loop->close();
    CHECK(future.result() == 1);
    CHECK(token.use_count() == 1);
    CHECK(*token == 0);
    CHECK(reports.messages() == "Task was destroyed but it is pending!; Future exception was never retrieved");
}

TEST_CASE("rule 21: in debug mode a future or task that is touched on a wrong thread is an error, and stays as it is") {
    auto loop = make_real_loop();
    loop->set_debug(true);
    Future<int> future = loop->create_future<int>();
    Task<> task = loop->create_task(turns(1000000));
    std::vector<std::string> endings;
    loop->call_later(30s, [&] { loop->stop(); });
    loop->call_soon([&] {
        std::thread([&] {
            endings = endings_of_completion({future, future, future});
            endings.push_back(ending_of_call([&] { future.add_done_callback([] {}); }));
            endings.push_back(ending_of_call([&] { task.cancel(); }));
        }).join();
        loop->stop();
    });
    loop->run_forever();
    const std::string wrong =
        "RuntimeError: Non-thread-safe operation invoked on an event loop other than the current one";
    CHECK(endings == std::vector<std::string>{wrong, wrong, wrong, "RuntimeError", "RuntimeError"});
    CHECK_FALSE(future.done());
    CHECK(task.cancelling() == 0);
    future.set_result(1);  // the loop does not run: this is its thread as well as any
    CHECK(future.result() == 1);
    task.cancel();
    CHECK(ending_of_call([&] { loop->run_until_complete(task); }) == "CancelledError");
}

TEST_CASE("an empty future or task throws wherever it is used, and may be assigned to") {
    auto loop = make_simulated_loop();
    const std::string empty = "RuntimeError: the Future is empty: none was assigned to it";
    Future<int> future;
    CHECK(error_of_call([&] { (void)future.done(); }) == empty);
    CHECK(error_of_call([&] { (void)future.cancelled(); }) == empty);
    CHECK(error_of_call([&] { (void)future.result(); }) == empty);
    CHECK(error_of_call([&] { (void)future.exception(); }) == empty);
    CHECK(error_of_call([&] { future.set_result(1); }) == empty);
    CHECK(error_of_call([&] { future.set_exception(ValueError("no")); }) == empty);
    CHECK(error_of_call([&] { future.cancel(); }) == empty);
    CHECK(error_of_call([&] { (void)future.get_loop(); }) == empty);
    CHECK(error_of_call([&] { future.add_done_callback([] {}); }) == empty);
    CHECK(error_of_call([&] { (void)loop->run_until_complete(future); }) == empty);
    Task<int> task;
    CHECK(error_of_call([&] { (void)task.name(); }) == empty);
    CHECK(error_of_call([&] { task.cancel(); }) == empty);
    CHECK(task.repr() == "<Future>");
    const auto use = [&]() -> Coro<> {
        const std::exception_ptr error = co_await error_of(future);
        CHECK(error_text(error) == empty);
        CHECK(error_of_call([&] { (void)gather(future, future); }) == empty);
        CHECK(error_of_call([&] { (void)shield(future); }) == empty);
        CHECK(error_of_call([&] { (void)wait(std::vector<Future<int>>{future}); }) == empty);
        CHECK(error_of_call([&] { (void)as_completed(std::vector<Future<int>>{future}); }) == empty);
        future = get_running_loop().create_future<int>();
        future.set_result(3);
        const int value = co_await future;
        CHECK(value == 3);
    };
    loop->run_until_complete(use());
    CHECK_FALSE(loop->is_running());
    const AnyTask none = AnyTask(nullptr);
    CHECK_FALSE(none);
    CHECK(error_of_call([&] { (void)none.name(); }) == "RuntimeError: no task runs: this stands for none");
}
