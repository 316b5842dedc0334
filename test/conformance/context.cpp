// Rules 118 and 120: context variables, work in threads.
#include "twin.hpp"

#include <latch>

using namespace weft;
using namespace weft::conformance;

namespace {

ContextVar<int> variable("variable", 0);

void show(const std::string& where) {
    trace(where + ": " + std::to_string(variable.get()));
}

}  // namespace

TWIN(118, "a callback or task has the context of where it was scheduled; what a task changes is not seen outside") {
    EventLoop& loop = get_running_loop();
    const auto nested = []() -> Coro<> {
        variable.set(3);
        co_return;
    };
    const auto change = [&]() -> Coro<> {
        show("task begins");
        variable.set(2);
        co_await turns(2);
        show("task ends");
        co_await nested();
        show("after the coroutine it awaited");
    };

    show("before");
    variable.set(1);
    Task<> task = loop.create_task(change());
    loop.call_soon(show, "callback");
    loop.call_later(0s, show, "timer");
    Future<> future = loop.create_future<void>();
    future.add_done_callback([] { show("done-callback"); });
    variable.set(10);
    show("creator");
    future.set_result();
    co_await task;
    co_await turns(1);
    show("creator at the end");
    trace("-- a context of its own");
    const Context context = copy_context();
    context.run([] { variable.set(20); });
    loop.call_soon(context, show, "callback");
    TaskOptions in_context;
    in_context.context(context);
    co_await loop.create_task(change(), in_context);
    trace("kept in the context: " + std::to_string(*context.get(variable)));
    show("creator");
    auto token = variable.set(30);
    variable.reset(token);
    show("reset");

    const auto child = []() -> Coro<> {
        show("child");
        variable.set(4);
        co_return;
    };
    co_await gather(child(), child());
    co_await timeout(1s, child);
    show("after an awaited coroutine");
}

TWIN(120, "run_in_executor: cancelling a queued job drops it; a running one goes on and its result is dropped",
     real_loop) {
    EventLoop& loop = get_running_loop();
    std::latch started(1);
    std::latch release(1);
    std::vector<std::string> ran;
    const auto work = [&] {
        started.count_down();
        release.wait();
        ran.push_back("running job");
        return std::string("value");
    };
    const auto queued = [&] { ran.push_back("queued job"); };
    const auto fail = [] { throw ValueError("in a thread"); };

    Future<std::string> running;
    {
        ThreadPoolExecutor pool(1);
        trace(co_await loop.run_in_executor(&pool, [] { return std::string("value"); }));
        trace(error_text(co_await error_of(loop.run_in_executor(&pool, fail))));
        running = loop.run_in_executor(&pool, work);
        Future<> dropped = loop.run_in_executor(&pool, queued);
        started.wait();
        trace("cancel the queued one: " + yes(dropped.cancel()));
        trace("cancel the running one: " + yes(running.cancel()));
        trace("cancelled: " + yes(dropped.cancelled()) + " " + yes(running.cancelled()));
        trace(co_await ending(running));
        co_await turns(2);
        release.count_down();
        co_await loop.run_in_executor(&pool, [] {});
        std::string all;
        for (const std::string& name : ran)
            all += (all.empty() ? "" : ", ") + name;
        trace(all);
    }
    trace("still cancelled: " + yes(running.cancelled()));
    co_await loop.shutdown_default_executor();
    trace(ending_of_call([&] { (void)loop.run_in_executor(nullptr, fail); }));
}
