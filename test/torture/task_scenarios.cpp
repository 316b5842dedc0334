#include "torture/torture.hpp"

#include <array>

namespace weft::testing {

namespace {

/// A capture that no small callable has room for.
class Bulk {
public:
    explicit Bulk(std::shared_ptr<int> count) noexcept : count(std::move(count)) {}
    std::shared_ptr<int> count;
    Probe probe;
    std::array<char, 80> room{};
};

Coro<int> child(int n, Probe) {
    const Probe in_frame;
    co_return n;
}

Coro<int> sleeper(int n, Duration delay, Probe argument = Probe()) {
    const Probe in_frame;
    const int before = co_await child(n, argument);
    co_await sleep(delay);
    const int after = co_await child(n, argument);
    require(before == after, "sleeper: the children differ");
    co_return n;
}

Coro<int> failing(Duration delay, Probe argument = Probe()) {
    co_await sleep(delay);
    (void)argument;
    throw Expected();
}

Coro<std::string> text_after(Duration delay) {
    co_await sleep(delay);
    co_return std::string(long_text);
}

std::vector<Coro<int>> sleepers(int count) {
    std::vector<Coro<int>> all;
    for (int i = 0; i < count; ++i)
        all.push_back(sleeper(i, i * 1ms));
    return all;
}

std::vector<Task<int>> sleeper_tasks(int count) {
    std::vector<Task<int>> all;
    for (int i = 0; i < count; ++i)
        all.push_back(create_task(sleeper(i, i * 1ms)));
    return all;
}

/// Awaits what must throw Expected.
template <Awaitable A>
Coro<> expect_error(A awaitable) {
    bool thrown = false;
    try {
        (void)co_await std::move(awaitable);
    } catch (const Expected&) {
        thrown = true;
    }
    require(thrown, "no error came");
}

template <Awaitable A>
Coro<> expect_timeout(A awaitable) {
    bool thrown = false;
    try {
        (void)co_await std::move(awaitable);
    } catch (const TimeoutError&) {
        thrown = true;
    }
    require(thrown, "no TimeoutError came");
}

Coro<> call_soon() {
    EventLoop& loop = get_running_loop();
    auto count = std::make_shared<int>(0);
    for (int i = 0; i < 4; ++i) {
        loop.call_soon([count] { ++*count; });
        loop.call_soon([bulk = Bulk(count)] { ++*bulk.count; });
        loop.call_soon([](const Bulk& bulk) { ++*bulk.count; }, Bulk(count));
        loop.call_soon(copy_context(), [count] { ++*count; });
    }
    loop.call_soon([bulk = Bulk(count)] { ++*bulk.count; }).cancel();
    co_await sleep(0s);
    require(*count == 16, "call_soon: callbacks were lost");
}

Coro<> call_soon_threadsafe() {
    EventLoop& loop = get_running_loop();
    auto count = std::make_shared<int>(0);
    for (int i = 0; i < 4; ++i)
        loop.call_soon_threadsafe([bulk = Bulk(count)] { ++*bulk.count; });
    co_await sleep(0s);
    require(*count == 4, "call_soon_threadsafe: callbacks were lost");
}

Coro<> timers() {
    EventLoop& loop = get_running_loop();
    auto count = std::make_shared<int>(0);
    std::vector<TimerHandle> handles;
    for (int i = 0; i < 150; ++i)
        handles.push_back(loop.call_later((150 - i) * 1ms, [count] { ++*count; }));
    loop.call_later(1ms, [bulk = Bulk(count)] { ++*bulk.count; });
    for (int i = 0; i < 100; ++i)
        handles[static_cast<std::size_t>(i)].cancel();
    co_await sleep(200ms);
    require(*count == 51, "timers: callbacks were lost");
}

Coro<> futures() {
    EventLoop& loop = get_running_loop();
    auto calls = std::make_shared<int>(0);
    Future<std::string> future = loop.create_future<std::string>();
    future.add_done_callback([calls] { ++*calls; });
    future.add_done_callback([bulk = Bulk(calls)](const Future<std::string>& done) {
        require(done.done(), "a done-callback ran too early");
        ++*bulk.count;
    });
    const auto removed = future.add_done_callback([bulk = Bulk(calls)] { ++*bulk.count; });
    require(future.remove_done_callback(removed) == 1, "the callback was not there");
    loop.call_soon([future, text = std::string(long_text)]() mutable { future.set_result(std::move(text)); });
    const std::string text = co_await future;
    require(text == long_text, "the result is wrong");
    future.add_done_callback([calls] { ++*calls; });
    co_await sleep(0s);
    require(*calls == 3, "futures: done-callbacks were lost");
}

Coro<> future_errors() {
    EventLoop& loop = get_running_loop();
    Future<int> future = loop.create_future<int>();
    loop.call_soon([future]() mutable { future.set_exception(Expected()); });
    co_await expect_error(future);
    Future<int> cancelled = loop.create_future<int>();
    cancelled.cancel(long_text);
    bool thrown = false;
    try {
        (void)co_await cancelled;
    } catch (const CancelledError&) {
        thrown = true;
    }
    require(thrown, "the future is not cancelled");
}

Coro<> tasks() {
    Task<int> first = create_task(sleeper(1, 1ms));
    Task<int> second = create_task(sleeper(2, 0ms), TaskOptions().name(long_text));
    Task<int> third = create_task([probe = Probe()]() -> Coro<int> { co_return co_await sleeper(3, 1ms); });
    Task<int> bad = create_task(failing(1ms));
    Task<std::string> text = create_task(text_after(2ms));
    const int sum = co_await first + co_await second + co_await third;
    require(sum == 6, "tasks: wrong sum");
    co_await expect_error(bad);
    const std::string given = co_await text;
    require(given == long_text, "tasks: wrong text");
}

Coro<> eager_tasks() {
    Task<int> whole = create_task(child(1, Probe()), TaskOptions().eager_start(true));
    Task<int> parted = create_task(sleeper(2, 1ms), TaskOptions().eager_start(true));
    const int sum = co_await whole + co_await parted;
    require(sum == 3, "eager tasks: wrong sum");
}

Coro<> gathers() {
    auto [a, b, text] = co_await gather(sleeper(1, 1ms), sleeper(2, 0ms), text_after(2ms));
    require(a + b == 3 && text == long_text, "gather: wrong values");
    const std::vector<int> all = co_await gather(sleepers(4));
    require(all.size() == 4 && all[3] == 3, "gather: wrong vector");
    auto [good, bad] = co_await gather(return_exceptions, sleeper(1, 1ms), failing(2ms));
    require(good.value() == 1, "gather: wrong outcome");
    if (!contains<Expected>(bad.exception())) bad.value();
    co_await expect_error(gather(gather(sleeper(1, 2ms), failing(1ms)), sleeper(2, 3ms)));
    co_await sleep(5ms);
}

Coro<> waits() {
    auto [done, pending] = co_await wait(sleeper_tasks(3));
    require(done.size() == 3 && pending.empty(), "wait: not all are done");
    auto [first, others] =
        co_await wait(sleeper_tasks(3), WaitOptions().return_when(ReturnWhen::first_completed).timeout(1s));
    require(first.size() == 1 && others.size() == 2, "wait: not one is done");
    auto [none, all] = co_await wait(others, WaitOptions().timeout(Duration::zero()));
    require(none.size() + all.size() == 2, "wait: some were lost");
    co_await sleep(5ms);
}

Coro<> waits_for() {
    const int value = co_await wait_for(sleeper(7, 1ms), 1s);
    require(value == 7, "wait_for: wrong value");
    co_await expect_timeout(wait_for(sleeper(1, 1h), 1ms));
    co_await expect_timeout(wait_for(sleeper(1, 1h), 0ms));
    co_await expect_error(wait_for(failing(1ms), 1s));
}

Coro<> timeouts() {
    const std::string text = co_await timeout(1s, [] { return text_after(1ms); });
    require(text == long_text, "timeout: wrong text");
    co_await expect_timeout(timeout(1ms, [] { return sleeper(1, 1h); }));
    co_await expect_timeout(timeout(1h, [](Timeout& limit) -> Coro<> {
        limit.reschedule(get_running_loop().time() + 1ms);
        co_await sleep(1h);
    }));
    co_await timeout(1s, []() -> Coro<> {
        co_await expect_timeout(timeout(1ms, [] { return sleeper(1, 1h); }));
        co_await sleep(1ms);
    });
}

Coro<> shields() {
    const int value = co_await shield(sleeper(1, 1ms));
    require(value == 1, "shield: wrong value");
    Task<int> inner = create_task(sleeper(2, 3ms));
    co_await expect_timeout(wait_for(shield(inner), 1ms));
    const int late = co_await inner;
    require(late == 2, "shield: the inner task was touched");
    co_await expect_error(shield(failing(1ms)));
}

Coro<> as_completed_both_ways() {
    auto ends = as_completed(sleepers(3), 1s);
    int count = 0;
    while (auto next = co_await ends.next())
        count += co_await *next + 1;
    require(count == 6, "as_completed: wrong sum");
    auto coroutines = as_completed(sleepers(3)).coroutines();
    for (auto& coroutine : coroutines)
        count -= co_await std::move(coroutine) + 1;
    require(count == 0, "as_completed: wrong sum of coroutines");
    auto late = as_completed(sleeper_tasks(3), 1ms);
    bool timed_out = false;
    try {
        while (auto next = co_await late.next())
            (void)co_await *next;
    } catch (const TimeoutError&) {
        timed_out = true;
    }
    require(timed_out, "as_completed: no TimeoutError");
    co_await sleep(5ms);
}

Coro<> task_groups() {
    const std::string text = co_await task_group([](TaskGroup& group) -> Coro<std::string> {
        group.create_task(sleeper(1, 1ms));
        group.create_task(sleeper(2, 2ms));
        group.create_task([probe = Probe()]() -> Coro<> { co_await sleeper(3, 1ms); });
        co_return co_await text_after(1ms);
    });
    require(text == long_text, "task_group: wrong value");
    std::size_t errors = 0;
    try {
        co_await task_group([](TaskGroup& group) -> Coro<> {
            group.create_task(sleeper(1, 1h));
            group.create_task(failing(1ms));
            group.create_task(failing(1ms));
            co_await task_group([](TaskGroup& inner) -> Coro<> {
                inner.create_task(sleeper(2, 1h));
                co_await sleep(1h);
            });
        });
    } catch (const ExceptionGroup& group) {
        if (contains<std::bad_alloc>(std::current_exception())) throw;
        errors = group.exceptions().size();
    }
    require(errors == 2, "task_group: errors were lost");
    co_await task_group([](TaskGroup& group) -> Coro<> {
        group.create_task(sleeper(1, 1h));
        group.cancel();
        co_await sleep(1h);
    });
}

AsyncGenerator<std::string> texts(int count) {
    const Probe in_frame;
    for (int i = 0; i < count; ++i) {
        co_await sleep(1ms);
        co_yield std::string(long_text);
    }
}

Coro<> generators() {
    auto whole = texts(3);
    int count = 0;
    while (auto text = co_await whole.next())
        count += *text == long_text;
    require(count == 3, "generator: values were lost");
    auto closed = texts(3);
    (void)co_await closed.next();
    co_await closed.aclose();
    auto thrown = texts(3);
    (void)co_await thrown.next();
    co_await expect_error(thrown.athrow(Expected()));
    auto left = texts(3);
    (void)co_await left.next();
    co_await get_running_loop().shutdown_asyncgens();
}

ContextVar<std::string> variable("variable", "none");

Coro<std::string> variable_in_task() {
    co_await sleep(0s);
    std::string before = variable.get();
    variable.set("another value, and one that is long");
    co_return before;
}

Coro<> contexts() {
    auto token = variable.set(long_text);
    const std::string seen = co_await create_task(variable_in_task());
    require(seen == long_text && variable.get() == long_text, "context: wrong value in a task");
    const Context other = copy_context();
    other.run([] { variable.set("what nobody else sees, ever and again"); });
    require(variable.get() == long_text, "context: run() changed this one");
    const std::string shared = co_await create_task(variable_in_task(), TaskOptions().context(other));
    require(shared != long_text, "context: the task has the wrong one");
    variable.reset(token);
    require(variable.get() == "none", "context: reset() failed");
}

Coro<> executors() {
    EventLoop& loop = get_running_loop();
    auto make_text = [] { return std::string(long_text); };
    const std::string text = co_await loop.run_in_executor(nullptr, make_text);
    require(text == long_text, "executor: wrong text");
    auto add = [](int a, const Bulk&) { return a + 1; };
    const int sum = co_await to_thread(add, 1, Bulk(nullptr));
    require(sum == 2, "executor: wrong sum");
    auto fail = []() -> int { throw Expected(); };
    co_await expect_error(loop.run_in_executor(nullptr, fail));
    ConcurrentFuture<int> source;
    Future<int> wrapped = wrap_future(source);
    source.set_result(3);
    const int given = co_await wrapped;
    require(given == 3, "wrap_future: wrong result");
    co_await loop.shutdown_default_executor();
}

Coro<> finally() {
    auto cleaned = std::make_shared<int>(0);
    const Probe probe;
    auto cleanup = [cleaned]() -> Coro<> {
        co_await sleep(1ms);
        ++*cleaned;
    };
    auto body = [] { return text_after(1ms); };
    const std::string text = co_await try_finally(body, cleanup);
    auto bad = [] { return failing(1ms); };
    co_await expect_error(try_finally(bad, cleanup));
    require(text == long_text && *cleaned == 2, "try_finally: wrong result");
}

Coro<> signals() {
    EventLoop& loop = get_running_loop();
    auto count = std::make_shared<int>(0);
    loop.add_signal_handler(10, [bulk = Bulk(count)] { ++*bulk.count; });
    co_await sleep(0s);
    require(loop.remove_signal_handler(10), "there was no signal handler");
}

}  // namespace

const std::vector<Scenario>& task_scenarios() {
    static const std::vector<Scenario> scenarios{
        Scenario("call_soon", call_soon),
        Scenario("call_soon_threadsafe", call_soon_threadsafe),
        Scenario("timers", timers),
        Scenario("futures", futures),
        Scenario("future errors", future_errors),
        Scenario("tasks", tasks),
        Scenario("eager tasks", eager_tasks),
        Scenario("gather", gathers),
        Scenario("wait", waits),
        Scenario("wait_for", waits_for),
        Scenario("timeout", timeouts),
        Scenario("shield", shields),
        Scenario("as_completed", as_completed_both_ways),
        Scenario("task_group", task_groups),
        Scenario("generator", generators),
        Scenario("context", contexts),
        Scenario("executor", executors),
        Scenario("try_finally", finally),
        Scenario("signals", signals),
    };
    return scenarios;
}

std::vector<Scenario> all_scenarios() {
    std::vector<Scenario> all;
    for (const auto* some : {&task_scenarios(), &cancel_scenarios(), &sync_scenarios(), &io_scenarios()})
        all.insert(all.end(), some->begin(), some->end());
    return all;
}

}  // namespace weft::testing
