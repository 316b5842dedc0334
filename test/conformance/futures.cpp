// Rules 23 to 30: futures, their callbacks, and errors nobody retrieves.
#include "twin.hpp"

using namespace weft;
using namespace weft::conformance;

TWIN(23, "done-callbacks and task wake-ups run through the loop, in the order of registration") {
    EventLoop& loop = get_running_loop();
    Future<> future = loop.create_future<void>();
    auto wait = [&](int number) -> Coro<> {
        co_await future;
        trace("task " + std::to_string(number));
    };
    std::vector<Task<>> waiting;
    waiting.push_back(loop.create_task(wait(0)));
    waiting.push_back(loop.create_task(wait(1)));
    co_await turns(1);
    future.add_done_callback([] { trace("callback"); });
    waiting.push_back(loop.create_task(wait(2)));
    co_await turns(1);
    future.set_result();
    trace("set");
    loop.call_soon(trace, "scheduled after set");
    co_await weft::wait(waiting);
}

TWIN(24, "a callback added to a done future is scheduled, not called inline") {
    EventLoop& loop = get_running_loop();
    Future<int> future = loop.create_future<int>();
    future.set_result(1);
    loop.call_soon(trace, "scheduled before");
    future.add_done_callback([](const Future<int>& done) { trace("callback: " + std::to_string(done.result())); });
    trace("added");
    co_await turns(1);
    trace("next iteration");
}

TWIN(25, "awaiting a done future does not yield") {
    EventLoop& loop = get_running_loop();
    auto work = []() -> Coro<std::string> { co_return "task"; };
    const Task<std::string> task = loop.create_task(work());
    co_await turns(2);
    Future<std::string> future = loop.create_future<std::string>();
    future.set_result("future");
    Future<> failed = loop.create_future<void>();
    failed.set_exception(ValueError("failed"));
    loop.call_soon(trace, "the loop went on");
    trace(co_await future);
    trace(co_await future);
    trace(co_await task);
    trace(error_text(co_await error_of(failed)));
    co_await turns(1);
}

TWIN(26, "a future is completed once; asked too early or of the wrong state it throws") {
    EventLoop& loop = get_running_loop();
    Future<int> future = loop.create_future<int>();
    trace(ending_of_call([&] { (void)future.result(); }));
    trace(ending_of_call([&] { (void)future.exception(); }));
    future.set_result(1);
    trace(ending_of_call([&] { future.set_result(2); }));
    trace(ending_of_call([&] { future.set_exception(ValueError("late")); }));
    trace("cancel: " + yes(future.cancel()));
    trace("result: " + std::to_string(future.result()) + ", exception: " + error_text(future.exception()));
    Future<int> cancelled = loop.create_future<int>();
    trace("cancel: " + yes(cancelled.cancel()));
    trace("cancel: " + yes(cancelled.cancel()));
    trace(ending_of_call([&] { cancelled.set_result(1); }));
    trace(ending_of_call([&] { cancelled.set_exception(ValueError("late")); }));
    trace(ending_of_call([&] { (void)cancelled.result(); }));
    trace(ending_of_call([&] { (void)cancelled.exception(); }));
    trace("done: " + yes(cancelled.done()) + ", cancelled: " + yes(cancelled.cancelled()));
    co_return;
}

TWIN(27, "callbacks may be added and removed while others are scheduled or run") {
    EventLoop& loop = get_running_loop();
    Future<> future = loop.create_future<void>();
    detail::DoneCallbackId second;
    future.add_done_callback([&] {
        trace("first");
        trace("removed: " + std::to_string(future.remove_done_callback(second)));
        future.add_done_callback([] { trace("added by first"); });
    });
    second = future.add_done_callback([] { trace("second"); });
    const auto third = future.add_done_callback([] { trace("third"); });
    trace("removed: " + std::to_string(future.remove_done_callback(third)));
    trace("removed: " + std::to_string(future.remove_done_callback(third)));
    future.set_result();
    trace("removed: " + std::to_string(future.remove_done_callback(second)));
    co_await turns(2);
}

TWIN(28,
     "an exception nobody retrieves is reported once, when the last handle goes; looking at it or cancel() silences") {
    EventLoop& loop = get_running_loop();
    const auto failed = [&] {
        Future<> future = loop.create_future<void>();
        future.set_exception(ValueError("lost"));
        return future;
    };
    trace("dropped");
    Future<> future = failed();
    Future<> copy = future;
    future = Future<>();
    trace("one handle left");
    copy = Future<>();
    trace("result");
    future = failed();
    trace(error_of_call([&] { future.result(); }));
    future = Future<>();
    trace("exception");
    future = failed();
    trace(error_text(future.exception()));
    future = Future<>();
    trace("cancel");
    future = failed();
    trace("cancel: " + yes(future.cancel()));
    future = Future<>();
    trace("await");
    future = failed();
    trace(error_text(co_await error_of(future)));
    future = Future<>();

    auto fail = []() -> Coro<> {
        throw ValueError("lost by a task");
        co_return;
    };
    trace("task");
    Task<> task = loop.create_task(fail());
    co_await turns(2);
    task = Task<>();
    trace("end");
}

TWIN(29, "wrap_future: results cross; cancelling either side cancels the other", real_loop) {
    const auto in_thread = [](auto function) { std::thread(function).join(); };

    trace("result");
    {
        ConcurrentFuture<std::string> source;
        Future<std::string> wrapped = wrap_future(source);
        in_thread([&] { source.set_result("from a thread"); });
        trace("done before the loop went round: " + yes(wrapped.done()));
        trace(co_await wrapped);
    }
    trace("exception");
    {
        ConcurrentFuture<> source;
        Future<> wrapped = wrap_future(source);
        in_thread([&] { source.set_exception(ValueError("from a thread")); });
        trace(error_text(co_await error_of(wrapped)));
    }
    trace("cancel the wrapper");
    {
        ConcurrentFuture<> source;
        Future<> wrapped = wrap_future(source);
        wrapped.cancel();
        co_await turns(2);
        trace("source cancelled: " + yes(source.cancelled()));
    }
    trace("cancel the source");
    {
        ConcurrentFuture<> source;
        Future<> wrapped = wrap_future(source);
        in_thread([&] { source.cancel(); });
        trace(co_await ending(wrapped));
        trace("wrapper cancelled: " + yes(wrapped.cancelled()));
    }
    trace("set after the loop is closed");
    const auto other = new_event_loop();
    ConcurrentFuture<std::string> source;
    Future<std::string> wrapped = wrap_future(source, *other);
    other->close();
    trace(error_of_call([&] { source.set_result("late"); }));
    trace("wrapper done: " + yes(wrapped.done()));
}

LOOP_TWIN(30, "a future of another loop cannot be awaited: RuntimeError in the task") {
    const auto other = testing::make_simulated_loop();
    Future<> future = other->create_future<void>();
    Future<std::string> done = other->create_future<std::string>();
    done.set_result("done");
    auto wait = [&]() -> Coro<std::string> {
        try {
            co_await future;
        } catch (const RuntimeError& error) {
            trace(error_type(std::current_exception()));
            trace("says why: " +
                  yes(std::string_view(error.what()).find("attached to a different loop") != std::string_view::npos));
        }
        trace("future done: " + yes(future.done()));
        trace(co_await done);
        co_return "went on";
    };
    trace(loop.run_until_complete(wait()));
    other->close();
}
