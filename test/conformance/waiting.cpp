// Rules 56 to 65: wait, wait_for, as_completed.
#include "twin.hpp"

#include <algorithm>

using namespace weft;
using namespace weft::conformance;

namespace {

/// A coroutine that gives a value after some time.
Coro<std::string> sleeper(int milliseconds, std::string value) {
    try {
        co_await sleep_ms(milliseconds);
    } catch (const CancelledError&) {
        trace(value + " cancelled");
        throw;
    }
    co_return value;
}

Coro<std::string> fail(int milliseconds, std::string message) {
    co_await sleep_ms(milliseconds);
    throw ValueError(message);
}

Coro<std::string> forever() {
    co_await sleep_ms(1000);
    co_return "";
}

using TextTask = Task<std::string>;

/// Ends what a twin leaves running: the tasks from an index on.
Coro<> cancel_all(std::vector<TextTask> tasks, int from = 0) {
    tasks.erase(tasks.begin(), tasks.begin() + from);
    for (TextTask& task : tasks)
        task.cancel();
    for (const TextTask& task : tasks)
        (void)co_await ending(task);
}

template <class F>
bool contains(const std::vector<F>& futures, const F& future) {
    return std::ranges::find(futures, future) != futures.end();
}

template <class Result>
std::string counts(const Result& result) {
    return "done: " + std::to_string(result.done.size()) + ", pending: " + std::to_string(result.pending.size());
}

}  // namespace

TWIN(56, "wait never raises TimeoutError and never cancels; cancelling the wait leaves the futures running") {
    EventLoop& loop = get_running_loop();
    std::vector<TextTask> tasks;
    tasks.push_back(loop.create_task(sleeper(1, "quick")));
    tasks.push_back(loop.create_task(forever()));
    auto result = co_await weft::wait(tasks, WaitOptions().timeout(15ms));
    trace(counts(result));
    trace("the quick one: " + yes(contains(result.done, tasks[0])) + ", cancelled: " + yes(tasks[1].cancelled()));
    result = co_await weft::wait(tasks, WaitOptions().timeout(0s));
    trace("without time: " + std::to_string(result.done.size()) + ", " + std::to_string(result.pending.size()));

    std::vector<TextTask> slow{tasks[1]};
    auto wait = [&]() -> Coro<> { co_await weft::wait(slow); };
    Task<> waiting = loop.create_task(wait());
    co_await turns(2);
    waiting.cancel();
    trace(co_await ending(waiting));
    trace("still running: " + yes(!tasks[1].done()) + ", cancelling: " + std::to_string(tasks[1].cancelling()));
    const std::vector<TextTask> none;
    trace(error_text(co_await error_of(weft::wait(none))));
    std::vector<TextTask> twice{tasks[0], tasks[0]};
    result = co_await weft::wait(twice);
    trace("twice the same: " + std::to_string(result.done.size()));
    co_await cancel_all(tasks, 1);
}

TWIN(57, "whatever is done by the time wait wakes up is in done") {
    EventLoop& loop = get_running_loop();
    std::vector<Future<>> futures;
    for (int i = 0; i < 3; ++i)
        futures.push_back(loop.create_future<void>());
    auto wait = [&]() -> Coro<> {
        const auto result = co_await weft::wait(futures, WaitOptions().return_when(ReturnWhen::first_completed));
        trace(counts(result));
        trace(yes(contains(result.done, futures[0])) + " " + yes(contains(result.done, futures[1])) + " " +
              yes(contains(result.done, futures[2])));
    };
    const Task<> task = loop.create_task(wait());
    co_await turns(1);
    futures[0].set_result();
    co_await turns(1);  // the callback that wakes the wait
    futures[1].set_result();
    co_await task;
    trace("-- all done before");
    futures.pop_back();
    trace(counts(co_await weft::wait(futures)));
}

TWIN(58, "FIRST_EXCEPTION ends at an exception, not at a cancellation") {
    EventLoop& loop = get_running_loop();
    const auto begin = [&] {
        std::vector<TextTask> tasks;
        tasks.push_back(loop.create_task(sleeper(1000, "cancelled one")));
        tasks.push_back(loop.create_task(fail(10, "error")));
        tasks.push_back(loop.create_task(forever()));
        return tasks;
    };
    const auto cancel_soon = [&](TextTask task) {
        loop.call_soon([&loop, task]() mutable { loop.call_soon([task]() mutable { task.cancel(); }); });
    };
    std::vector<TextTask> tasks = begin();
    cancel_soon(tasks[0]);
    trace(counts(co_await weft::wait(tasks, WaitOptions().return_when(ReturnWhen::first_exception))));
    trace("cancelled: " + yes(tasks[0].cancelled()) + ", " + error_text(tasks[1].exception()));
    co_await cancel_all(tasks, 2);
    trace("-- FIRST_COMPLETED");
    tasks = begin();
    cancel_soon(tasks[0]);
    trace(counts(co_await weft::wait(tasks, WaitOptions().return_when(ReturnWhen::first_completed))));
    co_await cancel_all(tasks, 1);
    trace("-- an error that nobody looks at counts as seen");
    tasks.clear();
    tasks.push_back(loop.create_task(fail(1, "unseen")));
    tasks.push_back(loop.create_task(forever()));
    (void)co_await weft::wait(tasks, WaitOptions().return_when(ReturnWhen::first_exception));
    tasks.erase(tasks.begin());
    co_await cancel_all(tasks);
    trace("-- no exception");
    tasks.clear();
    tasks.push_back(loop.create_task(sleeper(1, "a")));
    tasks.push_back(loop.create_task(sleeper(1, "b")));
    trace(counts(co_await weft::wait(tasks, WaitOptions().return_when(ReturnWhen::first_exception))));
}

TWIN(59, "wait_for with no time left: a done future gives its result, a coroutine never starts") {
    EventLoop& loop = get_running_loop();
    Future<std::string> future = loop.create_future<std::string>();
    future.set_result("result");
    trace(co_await wait_for(future, 0s));
    trace(co_await wait_for(future, -1s));
    auto work = []() -> Coro<> {
        trace("never");
        co_return;
    };
    trace(co_await ending(wait_for(work(), 0s)));
    trace(co_await ending(wait_for(work(), -1s)));
    Future<> pending = loop.create_future<void>();
    trace(co_await ending(wait_for(pending, 0s)));
    trace("cancelled: " + yes(pending.cancelled()));
    const TextTask task = loop.create_task(forever());
    co_await turns(1);
    trace(co_await ending(wait_for(task, 0s)));
    trace("cancelled: " + yes(task.cancelled()));
    trace("-- without a limit");
    trace(co_await wait_for(sleeper(1, "value"), std::nullopt));
}

TWIN(60, "wait_for waits until the cancelled inner one has cleaned up") {
    EventLoop& loop = get_running_loop();
    auto work = []() -> Coro<> {
        std::exception_ptr error;
        try {
            co_await sleep_ms(1000);
        } catch (...) {
            error = std::current_exception();
        }
        trace("cleaning up");
        co_await sleep_ms(20);
        trace("cleaned up");
        if (error) std::rethrow_exception(error);
    };
    trace(co_await ending(wait_for(work(), 5ms)));
    const Task<> task = loop.create_task(work());
    trace(co_await ending(wait_for(task, 5ms)));
    trace("cancelled: " + yes(task.cancelled()));
    trace("cancelling: " + std::to_string(current_task().cancelling()));
}

TWIN(61, "another error of the inner one during its cancellation propagates") {
    EventLoop& loop = get_running_loop();
    auto work = []() -> Coro<> {
        try {
            co_await sleep_ms(1000);
        } catch (const CancelledError&) {
            throw ValueError("in the cleanup");
        }
    };
    trace(error_text(co_await error_of(wait_for(work(), 5ms))));
    Task<> task = loop.create_task(work());
    trace(error_text(co_await error_of(wait_for(task, 5ms))));
    task = loop.create_task(work());
    co_await turns(1);
    trace(error_text(co_await error_of(wait_for(task, 0s))));
    trace("cancelling: " + std::to_string(current_task().cancelling()));
}

TWIN(62, "an inner one that refuses the cancellation gives its value") {
    EventLoop& loop = get_running_loop();
    auto refuse = []() -> Coro<std::string> {
        try {
            co_await sleep_ms(1000);
        } catch (const CancelledError&) {
            trace("refused");
        }
        co_return "value";
    };
    trace(co_await wait_for(refuse(), 5ms));
    trace(co_await wait_for(loop.create_task(refuse()), 5ms));
    TextTask task = loop.create_task(refuse());
    co_await turns(1);
    trace(co_await wait_for(task, 0s));
    trace("cancelling: " + std::to_string(current_task().cancelling()));
}

TWIN(63, "wait_for: result and deadline in one iteration, the deadline before the task's step: TimeoutError",
     real_loop) {
    EventLoop& loop = get_running_loop();
    Future<std::string> future = loop.create_future<std::string>();
    auto wait = [&]() -> Coro<std::string> { co_return co_await wait_for(future, 12ms); };
    loop.call_later(2ms, [&] { future.set_result("result"); });
    TextTask task = loop.create_task(wait());
    co_await turns(2);
    std::this_thread::sleep_for(25ms);  // both timers are due in the next iteration
    trace(error_type(co_await error_of(task)));
    trace("future cancelled: " + yes(future.cancelled()) + ", " + future.result());
    trace("-- the task's step first");
    future = loop.create_future<std::string>();
    task = loop.create_task(wait());
    co_await turns(2);
    future.set_result("result");
    std::this_thread::sleep_for(25ms);
    trace(co_await ending(task));
    trace(task.result());
}

TWIN(64, "wait_for: result and external cancellation in one step: CancelledError") {
    EventLoop& loop = get_running_loop();
    Future<std::string> future = loop.create_future<std::string>();
    auto wait = [&]() -> Coro<std::string> { co_return co_await wait_for(future, 10s); };
    TextTask task = loop.create_task(wait());
    co_await turns(2);
    future.set_result("result");
    task.cancel();
    trace(co_await ending(task));
    trace("cancelled: " + yes(task.cancelled()) + ", future: " + future.result());
    trace("-- waiting");
    future = loop.create_future<std::string>();
    task = loop.create_task(wait());
    co_await turns(2);
    task.cancel();
    trace(co_await ending(task));
    trace("future cancelled: " + yes(future.cancelled()));
    trace("-- refused by the inner one");
    auto refuse = []() -> Coro<std::string> {
        try {
            co_await sleep_ms(1000);
        } catch (const CancelledError&) {
            co_return "value";
        }
        co_return "";
    };
    auto wait_for_refusing = [&]() -> Coro<std::string> { co_return co_await wait_for(refuse(), 10s); };
    task = loop.create_task(wait_for_refusing());
    co_await turns(2);
    task.cancel();
    trace(co_await ending(task));
    trace("cancelled: " + yes(task.cancelled()) + ", cancelling: " + std::to_string(task.cancelling()));
}

TWIN(65, "as_completed: in the order of completion, resumable; after the limit TimeoutError for each that remains") {
    EventLoop& loop = get_running_loop();
    std::vector<TextTask> tasks;
    for (const int delay : {15, 1})
        tasks.push_back(loop.create_task(sleeper(delay, "after " + std::to_string(delay) + " ms")));
    tasks.push_back(loop.create_task(fail(30, "after 30 ms")));
    auto ends = as_completed(tasks).coroutines();
    trace(co_await std::move(ends[0]));
    trace("resumed");
    for (std::size_t next = 1; next < ends.size(); ++next)
        trace(error_text(co_await error_of(std::move(ends[next]))));
    trace("-- limited");
    tasks.clear();
    tasks.push_back(loop.create_task(sleeper(1, "in time")));
    tasks.push_back(loop.create_task(forever()));
    tasks.push_back(loop.create_task(forever()));
    co_await tasks[0];
    for (auto& next : as_completed(tasks, 15ms).coroutines())
        trace(co_await ending(std::move(next)));
    trace("still running: " + yes(!tasks[1].done()) + " " + yes(!tasks[2].done()));
    co_await cancel_all(tasks, 1);
    trace("-- twice the same");
    const TextTask task = loop.create_task(sleeper(1, "once"));
    tasks.assign({task, task});
    int count = 0;
    for (auto& next : as_completed(tasks).coroutines()) {
        trace(co_await std::move(next));
        ++count;
    }
    trace(std::to_string(count) + " given");
    tasks.clear();
    trace("of nothing: " + std::to_string(as_completed(tasks).coroutines().size()));
    trace("-- done before");
    std::vector<Future<std::string>> futures;
    futures.push_back(loop.create_future<std::string>());
    futures[0].set_result("at once");
    loop.call_soon(trace, "the loop went on");
    for (auto& next : as_completed(futures).coroutines())
        trace(co_await std::move(next));
}
