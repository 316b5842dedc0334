// Rules 80 to 84: task groups inside others, interrupts, what a group refuses.
#include "group_children.hpp"

using namespace weft;
using namespace weft::conformance;

TWIN(80, "nested groups that fail together: the inner one surfaces its own errors, the outer cancel is kept") {
    EventLoop& loop = get_running_loop();
    auto inner_body = [](TaskGroup& inner) -> Coro<> {
        inner.create_task(failing("inner", 2));
        co_await sleep_ms(1000);
    };
    auto body = [&](TaskGroup& outer) -> Coro<> {
        outer.create_task(failing("outer", 2));
        try {
            co_await task_group(inner_body);
        } catch (...) {
            trace("inner: " + group_text(std::current_exception()) + ", " + cancelling());
            throw;
        }
    };
    trace(group_text(co_await error_of(loop.create_task(task_group(body)))));

    auto goes_on_in_between = [&](TaskGroup& outer) -> Coro<> {
        outer.create_task(failing("outer", 2));
        try {
            co_await task_group(inner_body);
        } catch (const ExceptionGroup& group) {
            group
                .handle<ValueError>([](const ExceptionGroup& errors) {
                    trace("inner: " + std::to_string(errors.exceptions().size()) + ", " + cancelling());
                })
                .raise();
        }
        trace("in between: " + co_await ending(turns(1)));
        trace("and then: " + co_await ending(turns(1)));
    };
    Task<> task = loop.create_task(task_group(goes_on_in_between));
    trace(group_text(co_await error_of(task)));
    trace("cancelling: " + std::to_string(task.cancelling()));

    auto failing_child = [](TaskGroup& inner) -> Coro<> {
        inner.create_task(failing_in_cleanup("inner"));
        co_await sleep_ms(1000);
    };
    auto cancelled_from_outside = [&](TaskGroup& outer) -> Coro<> {
        outer.create_task(child("outer child", 100));
        co_await task_group(failing_child);
    };
    task = loop.create_task(task_group(cancelled_from_outside));
    co_await turns(2);
    task.cancel();
    trace(group_text(co_await error_of(task)));
    trace("cancelled: " + yes(task.cancelled()) + ", cancelling: " + std::to_string(task.cancelling()));
}

LOOP_TWIN(81,
          "an interrupt of the body propagates alone after the siblings have ended; one of a child leaves the loop") {
    auto caught = [](auto interrupt) -> Coro<> {
        auto body = [&](TaskGroup& group) -> Coro<> {
            group.create_task(child("sibling", 100));
            group.create_task(failing_in_cleanup("dropped"));
            co_await turns(1);
            throw interrupt;
        };
        trace(error_text(co_await error_of(task_group(body))));
        trace(cancelling());
    };
    loop.run_until_complete(caught(KeyboardInterrupt()));
    loop.run_until_complete(caught(SystemExit(3)));
    trace("-- of a child");
    auto leave = []() -> Coro<> {
        throw SystemExit(4);
        co_return;
    };
    auto group_of_it = [&](TaskGroup& group) -> Coro<> {
        group.create_task(child("sibling", 100));
        group.create_task(leave());
        co_return;
    };
    auto run = [&]() -> Coro<> { co_await task_group(group_of_it); };
    const Task<> task = loop.create_task(run());
    trace(error_of_call([&] { loop.run_until_complete(task); }));
    trace("group done: " + yes(task.done()));
    trace(error_of_call([&] { loop.run_until_complete(task); }));
    trace("group done: " + yes(task.done()) + ", " + error_text(task.exception()));
}

TWIN(82, "a child may add to its group while it runs; after a failure that is an error and the coroutine never runs") {
    auto adds = [](TaskGroup group) -> Coro<> {
        co_await turns(1);
        group.create_task(child("added by a child"));
        trace("adder ends");
    };
    auto body = [&](TaskGroup& group) -> Coro<> {
        group.create_task(adds(group));
        trace("body ends");
        co_return;
    };
    co_await task_group(body);

    auto adds_late = [](TaskGroup group) -> Coro<> {
        const std::exception_ptr error = co_await error_of(sleep_ms(1000));
        trace(error_of_call([&] { group.create_task(child("never")); }));
        std::rethrow_exception(error);
    };
    auto fails = [&](TaskGroup& group) -> Coro<> {
        group.create_task(adds_late(group));
        group.create_task(failing("error"));
        co_return;
    };
    trace(group_text(co_await error_of(task_group(fails))));

    auto in_the_body = [](TaskGroup& group) -> Coro<> {
        group.create_task(failing("error"));
        try {
            co_await sleep_ms(1000);
        } catch (const CancelledError&) {
            trace(error_of_call([&] { group.create_task(child("never")); }));
        }
    };
    trace(group_text(co_await error_of(task_group(in_the_body))));
}

TWIN(83, "a group that has ended takes no more tasks; without a task there is no group") {
    EventLoop& loop = get_running_loop();
    std::optional<TaskGroup> ended;
    auto body = [&](TaskGroup& group) -> Coro<> {
        ended = group;
        group.create_task(child("child"));
        co_return;
    };
    co_await task_group(body);
    trace(error_of_call([&] { ended->create_task(child("never")); }));
    auto fails = [&](TaskGroup& group) -> Coro<> {
        ended = group;
        group.create_task(failing("error"));
        co_return;
    };
    trace(group_text(co_await error_of(task_group(fails))));
    trace(error_of_call([&] { ended->create_task(child("never")); }));
    loop.call_soon([] { trace(error_of_call([] { (void)detail::enter_group(); })); });
    co_await turns(2);
}

TWIN(84, "a timeout around a group whose child fails in its cleanup: the group of errors propagates") {
    auto failing_child = [](TaskGroup& group) -> Coro<> {
        group.create_task(failing_in_cleanup("in the cleanup"));
        co_await sleep_ms(1000);
    };
    auto fails_in_cleanup = [&]() -> Coro<> { co_await task_group(failing_child); };
    trace(group_text(co_await error_of(timeout(5ms, fails_in_cleanup))));
    trace(cancelling());

    auto good_child = [](TaskGroup& group) -> Coro<> {
        group.create_task(child("child", 1));
        co_await sleep_ms(1000);
    };
    auto without_errors = [&]() -> Coro<> { co_await task_group(good_child); };
    trace(error_type(co_await error_of(timeout(5ms, without_errors))));
    trace(cancelling());

    auto inside_a_child = [&](TaskGroup& group) -> Coro<> {
        group.create_task(timeout(5ms, without_errors));
        co_return;
    };
    const std::exception_ptr error = co_await error_of(task_group(inside_a_child));
    try {
        std::rethrow_exception(error);
    } catch (const ExceptionGroup& group) {
        trace(error_type(error) + " of " + error_type(group.exceptions()[0]));
    }
    trace(cancelling());
    trace(co_await ending(turns(1)));
}
