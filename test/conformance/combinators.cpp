// Rules 49 to 55: gather and shield.
#include "twin.hpp"

using namespace weft;
using namespace weft::conformance;

namespace {

/// A coroutine that gives a value after some iterations.
Coro<std::string> value_after(int count, std::string value) {
    try {
        co_await turns(count);
    } catch (const CancelledError&) {
        trace(value + " cancelled");
        throw;
    }
    trace(value + " ends");
    co_return value;
}

Coro<std::string> error_after(int count, std::string message) {
    try {
        co_await turns(count);
    } catch (const CancelledError&) {
        trace(message + " cancelled");
        throw;
    }
    trace(message + " fails");
    throw ValueError(message);
}

}  // namespace

TWIN(49, "gather: the first error is raised at once, siblings go on, later errors are consumed silently") {
    EventLoop& loop = get_running_loop();
    Task<std::string> good = loop.create_task(value_after(6, "good"));
    Task<std::string> later = loop.create_task(error_after(4, "later error"));
    Task<std::string> first = loop.create_task(error_after(2, "first error"));
    auto outer = gather(good, later, first);
    trace(error_text(co_await error_of(outer)));
    trace("good done: " + yes(good.done()) + ", later done: " + yes(later.done()));
    trace(co_await good);
    first = later = Task<std::string>();
    outer = {};
    trace("-- both in one iteration");
    trace(error_text(co_await error_of(gather(error_after(1, "a"), error_after(1, "b")))));
    trace("-- nobody looks at the gather");
    (void)gather(error_after(1, "unseen"), value_after(3, "other"));
    co_await turns(5);
    trace("-- in order");
    const auto [x, y, z] = co_await gather(value_after(3, "x"), value_after(1, "y"), value_after(2, "z"));
    trace(x + ", " + y + ", " + z);
}

TWIN(50, "gather: a cancelled child is a CancelledError out of it; the outer is not cancelled, siblings go on") {
    EventLoop& loop = get_running_loop();
    const Task<std::string> sibling = loop.create_task(value_after(4, "sibling"));
    Task<std::string> child = loop.create_task(value_after(100, "child"));
    auto outer = gather(sibling, child);
    co_await turns(1);
    trace("cancel: " + yes(child.cancel("child only")));
    trace(error_text(co_await error_of(outer)));
    trace("outer done: " + yes(outer.done()) + ", cancelled: " + yes(outer.cancelled()));
    trace("child cancelled: " + yes(child.cancelled()) + ", sibling done: " + yes(sibling.done()));
    trace(co_await sibling);
}

namespace {

Coro<> slow() {
    std::exception_ptr cancelled;
    try {
        co_await sleep_ms(1000);
    } catch (const CancelledError&) {
        cancelled = std::current_exception();
    }
    if (cancelled) {
        co_await turns(3);
        trace("slow cleaned up");
        std::rethrow_exception(cancelled);
    }
}

Coro<> refuse() {
    try {
        co_await sleep_ms(1000);
    } catch (const CancelledError&) {
        trace("refused");
    }
}

template <class Outer>
Coro<> cancel_and_look(Task<> first, Task<> second, Outer outer) {
    co_await turns(1);
    trace("cancel: " + yes(outer.cancel()));
    trace("outer done: " + yes(outer.done()));
    trace(error_type(co_await error_of(outer)));
    trace("first done: " + yes(first.done()) + ", cancelled: " + yes(first.cancelled()));
    trace("second done: " + yes(second.done()) + ", cancelled: " + yes(second.cancelled()));
    trace("outer cancelled: " + yes(outer.cancelled()) + ", cancel: " + yes(outer.cancel()));
}

}  // namespace

TWIN(51,
     "cancelling a gather cancels every pending child; it ends when all have ended, cancelled even if they refuse") {
    EventLoop& loop = get_running_loop();
    for (const bool as_values : {false, true}) {
        trace(as_values ? "-- as values" : "-- as errors");
        Task<> first = loop.create_task(slow());
        Task<> second = loop.create_task(refuse());
        if (as_values) {
            auto outer = gather(return_exceptions, first, second);
            co_await cancel_and_look(first, second, outer);
        } else {
            auto outer = gather(first, second);
            co_await cancel_and_look(first, second, outer);
        }
    }
    trace("-- all children done, the gather not yet");
    Future<std::string> a = loop.create_future<std::string>();
    Future<std::string> b = loop.create_future<std::string>();
    auto of_both = gather(a, b);
    a.set_result("value");
    b.set_result("value");
    trace("cancel: " + yes(of_both.cancel()) + ", done: " + yes(of_both.done()));
    const auto [value_a, value_b] = co_await of_both;
    trace(value_a + ", " + value_b);
    trace("-- one child done");
    a = loop.create_future<std::string>();
    b = loop.create_future<std::string>();
    auto of_one = gather(return_exceptions, a, b);
    a.set_result("value");
    trace("cancel: " + yes(of_one.cancel("message")));
    trace(error_text(co_await error_of(of_one)));
    trace("-- by the task that awaits it");
    auto wait = []() -> Coro<> { (void)co_await gather(slow(), value_after(100, "other")); };
    Task<> task = loop.create_task(wait());
    co_await turns(2);
    task.cancel();
    trace(co_await ending(task));
    trace("cancelled: " + yes(task.cancelled()));
}

TWIN(52, "gather with return_exceptions: errors and cancellations are values of the result") {
    EventLoop& loop = get_running_loop();
    Task<std::string> child = loop.create_task(value_after(100, "child"));
    auto outer = gather(return_exceptions, value_after(2, "value"), error_after(1, "error"), child);
    co_await turns(1);
    child.cancel("message");
    auto [value, error, cancelled] = co_await outer;
    trace(value.value());
    trace(error_text(error.exception()));
    trace(error_text(cancelled.exception()));
    trace("outer cancelled: " + yes(outer.cancelled()));
}

TWIN(53, "gather: an argument that is there twice is awaited once and gives its result twice") {
    EventLoop& loop = get_running_loop();
    const Task<std::string> task = loop.create_task(value_after(1, "value"));
    const Task<std::string> other = loop.create_task(value_after(2, "other"));
    const auto [first, second, third] = co_await gather(task, other, task);
    trace(first + ", " + second + ", " + third);
}

TWIN(54, "gather of nothing is done at once") {
    EventLoop& loop = get_running_loop();
    auto outer = gather();
    loop.call_soon(trace, "the loop went on");
    trace("done: " + yes(outer.done()));
    co_await outer;
    trace("awaited");
    co_await turns(1);
    trace("-- of what is done");
    Future<std::string> future = loop.create_future<std::string>();
    future.set_result("value");
    auto of_done = gather(future);
    const auto [value] = co_await of_done;
    trace(value);
}

TWIN(55, "shield: cancelling the outer future leaves the inner one; cancelling the inner one cancels the outer") {
    EventLoop& loop = get_running_loop();
    Task<std::string> inner = loop.create_task(value_after(3, "inner"));
    Future<std::string> outer = shield(inner);
    co_await turns(1);
    trace("cancel: " + yes(outer.cancel()));
    trace("outer cancelled: " + yes(outer.cancelled()) + ", inner done: " + yes(inner.done()));
    trace(co_await inner);

    trace("-- by the task that awaits it");
    inner = loop.create_task(value_after(4, "inner"));
    auto wait = [&]() -> Coro<> { co_await shield(inner); };
    Task<> task = loop.create_task(wait());
    co_await turns(2);
    task.cancel();
    trace(co_await ending(task));
    trace("inner cancelled: " + yes(inner.cancelled()));
    trace(co_await inner);

    trace("-- inner cancelled");
    inner = loop.create_task(value_after(100, "inner"));
    outer = shield(inner);
    co_await turns(1);
    inner.cancel();
    trace(co_await ending(outer));
    trace("outer cancelled: " + yes(outer.cancelled()));

    trace("-- results and errors pass");
    trace(co_await shield(value_after(1, "value")));
    trace(error_text(co_await error_of(shield(error_after(1, "error")))));
    Future<int> done = loop.create_future<int>();
    done.set_result(1);
    trace("a done future is itself: " + yes(shield(done) == done));

    trace("-- inner fails after the outer was cancelled");
    inner = loop.create_task(error_after(2, "late"));
    outer = shield(inner);
    co_await turns(1);
    outer.cancel();
    inner = Task<std::string>();
    co_await turns(4);

    trace("-- in a gather");
    inner = loop.create_task(value_after(5, "inner"));
    auto both = gather(shield(inner), value_after(100, "sibling"));
    co_await turns(1);
    both.cancel();
    trace(co_await ending(both));
    trace(co_await inner);
}
