// Rules 33, 34, 37 and 39 to 42: how a cancellation reaches a task.
#include "twin.hpp"

using namespace weft;
using namespace weft::conformance;

TWIN(33, "cancel() while waiting cancels the awaited future at once; the task sees it in the next iteration") {
    EventLoop& loop = get_running_loop();
    Future<> future = loop.create_future<void>();
    auto wait = [&]() -> Coro<> {
        try {
            co_await future;
        } catch (const CancelledError&) {
            trace("raised in the task");
            throw;
        }
    };
    Task<> task = loop.create_task(wait());
    co_await turns(1);
    loop.call_soon(trace, "scheduled before");
    trace("cancel: " + yes(task.cancel()));
    trace("future cancelled: " + yes(future.cancelled()));
    trace("task done: " + yes(task.done()) + ", cancelling: " + std::to_string(task.cancelling()));
    co_await turns(1);
    trace("task cancelled: " + yes(task.cancelled()));
}

TWIN(34, "cancel() while runnable is raised at the next step; that await drops the result, the future keeps it",
     real_loop) {
    EventLoop& loop = get_running_loop();
    auto wait = [](auto future) -> Coro<std::string> {
        try {
            (void)co_await std::move(future);
            trace("got it");
        } catch (const CancelledError&) {
            trace("raised in the task");
        }
        co_return "went on";
    };
    Future<std::string> future = loop.create_future<std::string>();
    Task<std::string> task = loop.create_task(wait(future));
    co_await turns(1);
    future.set_result("result");
    trace("cancel: " + yes(task.cancel()));
    trace(co_await task);
    trace("future: " + future.result());

    trace("-- an exception is due");
    future = loop.create_future<std::string>();
    task = loop.create_task(wait(future));
    co_await turns(1);
    future.set_exception(ValueError("dropped"));
    task.cancel();
    trace(co_await task);
    trace("future: " + error_text(future.exception()));

    trace("-- it has just yielded");
    task = loop.create_task(wait(turns(1)));
    co_await turns(1);
    task.cancel();
    trace(co_await task);

    trace("-- it has just been created");
    task = loop.create_task(wait(turns(1)));
    task.cancel();
    trace(co_await ending(task));

    trace("-- its sleep has just ended");
    task = loop.create_task(wait(sleep(1ms)));
    co_await turns(1);
    loop.call_later(12ms, [&] { task.cancel(); });
    std::this_thread::sleep_for(20ms);  // both timers are due in the next iteration
    trace(co_await task);

    trace("-- the task it awaits has just ended");
    Task<std::string> inner = loop.create_task(wait(turns(1)));
    inner.add_done_callback([&] { task.cancel(); });
    task = loop.create_task(wait(inner));
    trace(co_await task);
    trace("inner: " + inner.result() + ", cancelling: " + std::to_string(inner.cancelling()));
}

TWIN(37,
     "one delivery for each cancel(); two before the step are one exception and count two; uncancel takes one back") {
    EventLoop& loop = get_running_loop();
    auto wait = []() -> Coro<std::string> {
        for (int number = 0; number < 3; ++number) {
            bool raised = false;
            try {
                co_await sleep_ms(1000);
            } catch (const CancelledError&) {
                raised = true;
            }
            if (!raised) continue;
            trace("delivery " + std::to_string(number) +
                  ", cancelling: " + std::to_string(current_task().cancelling()));
            if (number == 0) {
                trace("uncancel: " + std::to_string(current_task().uncancel()));
                co_await turns(1);
                trace("not again");
            }
        }
        co_return "value";
    };
    Task<std::string> task = loop.create_task(wait());
    co_await turns(1);
    task.cancel();
    task.cancel();
    trace("cancelling: " + std::to_string(task.cancelling()));
    co_await turns(3);
    task.cancel();
    co_await turns(1);
    task.cancel();
    trace(co_await task);
}

TWIN(39, "uncancel does not go below 0; at 0 a request that was not delivered is dropped") {
    EventLoop& loop = get_running_loop();
    auto work = []() -> Coro<std::string> {
        CurrentTask task = current_task();
        trace("uncancel: " + std::to_string(task.uncancel()));
        task.cancel();
        const unsigned left = task.uncancel();
        trace("uncancel: " + std::to_string(left) + ", cancelling: " + std::to_string(task.cancelling()));
        trace(co_await ending(turns(1)));
        task.cancel();
        task.cancel();
        trace("uncancel: " + std::to_string(task.uncancel()));
        trace(co_await ending(turns(1)));
        const unsigned once = task.uncancel();
        const unsigned twice = task.uncancel();
        trace("uncancel: " + std::to_string(once) + ", " + std::to_string(twice));
        co_return "value";
    };
    const Task<std::string> task = loop.create_task(work());
    trace(co_await task);
    trace("cancelled: " + yes(task.cancelled()));
}

TWIN(40, "cancelling a task cancels the task it awaits; that one may refuse, and the first goes on with its value") {
    EventLoop& loop = get_running_loop();
    auto inner = [](bool refuses) -> Coro<std::string> {
        try {
            co_await sleep_ms(1000);
        } catch (const CancelledError&) {
            trace("inner: raised");
            if (!refuses) throw;
        }
        co_return "value of inner";
    };
    auto outer = [](Task<std::string> task) -> Coro<std::string> {
        std::string value;
        try {
            value = co_await task;
        } catch (const CancelledError&) {
            trace("outer: raised");
            throw;
        }
        trace("outer: " + value + ", cancelling: " + std::to_string(current_task().cancelling()));
        co_return "value of outer";
    };
    for (const bool refuses : {false, true}) {
        Task<std::string> first = loop.create_task(inner(refuses));
        Task<std::string> second = loop.create_task(outer(first));
        Task<std::string> third = loop.create_task(outer(second));
        co_await turns(1);
        trace("cancel: " + yes(third.cancel()));
        trace("cancelling: " + std::to_string(first.cancelling()) + " " + std::to_string(second.cancelling()) + " " +
              std::to_string(third.cancelling()));
        trace(error_text(co_await error_of(third)));
        trace("cancelled: " + yes(first.cancelled()) + " " + yes(second.cancelled()) + " " + yes(third.cancelled()));
    }
}

TWIN(41, "a task with a request due that awaits a new future has that future cancelled at once") {
    EventLoop& loop = get_running_loop();
    Future<> future = loop.create_future<void>();
    auto work = [&]() -> Coro<> {
        current_task().cancel();
        loop.call_soon([&] { trace("future cancelled: " + yes(future.cancelled())); });
        co_await future;
    };
    Task<> task = loop.create_task(work());
    trace(co_await ending(task));
    trace("-- a future that is done is not awaited");
    Future<std::string> done = loop.create_future<std::string>();
    done.set_result("result");
    Future<> other = loop.create_future<void>();
    auto work_on = [&]() -> Coro<> {
        current_task().cancel();
        trace(co_await done);
        co_await other;
    };
    trace(co_await ending(loop.create_task(work_on())));
    trace("cancelled: " + yes(other.cancelled()));
}

TWIN(42, "the message of cancel() reaches the exception") {
    EventLoop& loop = get_running_loop();
    auto wait = [](auto awaitable) -> Coro<> { co_await std::move(awaitable); };
    auto begun = [&](auto awaitable) -> Coro<Task<>> {
        Task<> task = loop.create_task(wait(std::move(awaitable)));
        co_await turns(1);
        co_return task;
    };
    trace("waiting");
    Task<> task = co_await begun(loop.create_future<void>());
    task.cancel("message");
    trace(error_text(co_await error_of(task)));
    trace("without a message");
    task = co_await begun(loop.create_future<void>());
    task.cancel();
    trace(error_text(co_await error_of(task)));
    trace("runnable");
    Future<> future = loop.create_future<void>();
    task = co_await begun(future);
    future.set_result();
    task.cancel("message");
    trace(error_text(co_await error_of(task)));
    trace("runnable, twice");
    future = loop.create_future<void>();
    task = co_await begun(future);
    future.set_result();
    task.cancel("first");
    task.cancel("second");
    trace(error_text(co_await error_of(task)));
    trace("before the first step, twice");
    task = loop.create_task(wait(future));
    task.cancel("first");
    task.cancel("second");
    trace(error_text(co_await error_of(task)));
    trace("waiting, twice");
    task = co_await begun(loop.create_future<void>());
    task.cancel("first");
    task.cancel("second");
    trace(error_text(co_await error_of(task)));
    trace("the future itself");
    future = loop.create_future<void>();
    task = co_await begun(future);
    future.cancel("of the future");
    trace(error_text(co_await error_of(task)));
    trace("cancelled: " + yes(task.cancelled()) + ", cancelling: " + std::to_string(task.cancelling()));
    trace("through a task");
    Task<> inner = co_await begun(loop.create_future<void>());
    task = co_await begun(inner);
    task.cancel("from outside");
    trace(error_text(co_await error_of(task)));
    trace(error_text(co_await error_of(inner)));
    trace("through gather, shield, wait_for and wait");
    const Task<> first = co_await begun(loop.create_future<void>());
    const Task<> second = co_await begun(loop.create_future<void>());
    auto both = gather(first, second);
    both.cancel("of the gather");
    trace(error_text(co_await error_of(both)));
    inner = co_await begun(loop.create_future<void>());
    Future<> outer = shield(inner);
    outer.cancel("of the shield");
    trace(error_text(co_await error_of(outer)));
    inner = co_await begun(loop.create_future<void>());
    outer = shield(inner);
    inner.cancel("inside the shield");
    trace(error_text(co_await error_of(outer)));
    for (const bool limited : {true, false}) {
        const std::vector<Future<>> futures(1, loop.create_future<void>());
        auto wait_for_it = [&]() -> Coro<> {
            if (limited)
                co_await wait_for(futures[0], 10s);
            else
                co_await weft::wait(futures);
        };
        task = co_await begun(wait_for_it());
        co_await turns(1);
        task.cancel("while it waits");
        trace(error_text(co_await error_of(task)));
    }
    trace("raised by the task itself");
    auto raises = []() -> Coro<> {
        current_task().cancel("requested");
        throw CancelledError("raised");
        co_return;
    };
    trace(error_text(co_await error_of(loop.create_task(raises()))));
}
