// Rules 73 to 79: task groups, their errors and their cancellation.
#include "group_children.hpp"

using namespace weft;
using namespace weft::conformance;

TWIN(73, "the group waits for all its children and lets the body's end pass") {
    auto body = []() -> Coro<std::string> {
        Task<std::string> first;
        Task<std::string> second;
        auto children = [&](TaskGroup& group) -> Coro<> {
            first = group.create_task(child("first", 3));
            second = group.create_task(child("second", 1));
            trace("body ends");
            co_return;
        };
        co_await task_group(children);
        trace("group ends, " + first.result() + " " + second.result());
        co_return "value";
    };
    trace(co_await body());
    auto nothing = [](TaskGroup&) -> Coro<> { co_return; };
    co_await task_group(nothing);
    trace("an empty group");
    auto waits_in_the_body = [](TaskGroup& group) -> Coro<> { trace(co_await group.create_task(child("awaited"))); };
    co_await task_group(waits_in_the_body);
    trace(cancelling());
}

TWIN(74, "the first error of a child cancels its siblings and the body") {
    auto body = [](TaskGroup& group) -> Coro<> {
        group.create_task(child("sibling", 100));
        group.create_task(failing("first", 2));
        try {
            co_await sleep_ms(1000);
        } catch (const CancelledError&) {
            trace("body: " + error_text(std::current_exception()) + ", " + cancelling());
            throw;
        }
    };
    trace(group_text(co_await error_of(task_group(body))));
    auto after_the_body = [](TaskGroup& group) -> Coro<> {
        group.create_task(child("sibling", 100));
        group.create_task(failing("second", 2));
        trace("body ends");
        co_return;
    };
    trace(group_text(co_await error_of(task_group(after_the_body))));
    auto body_fails = [](TaskGroup& group) -> Coro<> {
        group.create_task(child("sibling", 100));
        co_await turns(1);
        throw ValueError("of the body");
    };
    trace(group_text(co_await error_of(task_group(body_fails))));
}

TWIN(75, "the cancellation of the parent is taken back: what comes after the group runs normally") {
    auto body = []() -> Coro<> {
        auto children = [](TaskGroup& group) -> Coro<> {
            group.create_task(failing("error"));
            co_await sleep_ms(1000);
        };
        try {
            co_await task_group(children);
        } catch (const ExceptionGroup& group) {
            group
                .handle<ValueError>([](const ExceptionGroup& errors) {
                    trace("caught " + std::to_string(errors.exceptions().size()) + ", " + cancelling());
                })
                .raise();
        }
        trace(co_await ending(turns(3)));
    };
    co_await body();
    trace("-- a body that swallows it");
    auto swallow = [](TaskGroup& group) -> Coro<> {
        group.create_task(failing("error"));
        trace(co_await ending(sleep_ms(1000)));
        trace(co_await ending(turns(1)));
    };
    trace(group_text(co_await error_of(task_group(swallow))));
    trace(cancelling());
}

namespace {

Coro<> together(TaskGroup& group) {
    group.create_task(failing("slow", 2));
    group.create_task(failing("quick", 1));
    group.create_task(failing("quick too", 1));
    co_return;
}

}  // namespace

TWIN(76, "errors of several children enter one group in the order of completion, the body's own last; groups nest") {
    auto cleanup = [](TaskGroup& group) -> Coro<> {
        group.create_task(failing_in_cleanup("in the cleanup"));
        group.create_task(failing("first", 2));
        co_return;
    };
    trace(group_text(co_await error_of(task_group(cleanup))));
    trace(group_text(co_await error_of(task_group(together))));
    auto with_the_body = [](TaskGroup& group) -> Coro<> {
        group.create_task(failing_in_cleanup("of the child"));
        co_await turns(1);
        throw ValueError("of the body");
    };
    trace(group_text(co_await error_of(task_group(with_the_body))));
    auto body_in_cleanup = [](TaskGroup& group) -> Coro<> {
        group.create_task(failing("of the child"));
        co_await failing_in_cleanup("of the body");
    };
    trace(group_text(co_await error_of(task_group(body_in_cleanup))));
    auto nested = [](TaskGroup& group) -> Coro<> {
        group.create_task(failing("outer"));
        auto inner_body = [](TaskGroup& inner) -> Coro<> {
            inner.create_task(failing_in_cleanup("inner"));
            co_return;
        };
        co_await task_group(inner_body);
    };
    trace(group_text(co_await error_of(task_group(nested))));
    auto group_in_a_child = [](TaskGroup& group) -> Coro<> {
        group.create_task(task_group(together));
        co_return;
    };
    trace(group_text(co_await error_of(task_group(group_in_a_child))));
    trace(cancelling());
}

TWIN(77, "a child that is only cancelled does not count") {
    auto body = []() -> Coro<> {
        Task<std::string> task;
        auto children = [&](TaskGroup& group) -> Coro<> {
            task = group.create_task(child("cancelled one", 100));
            group.create_task(child("sibling", 4));
            co_await turns(1);
            task.cancel();
            co_await turns(1);
            trace("body ends");
        };
        co_await task_group(children);
        trace("cancelled: " + yes(task.cancelled()));
    };
    trace(co_await ending(body()));
    auto raises_it = []() -> Coro<> {
        throw CancelledError();
        co_return;
    };
    auto of_its_own = [&](TaskGroup& group) -> Coro<> {
        group.create_task(raises_it());
        group.create_task(child("sibling", 3));
        co_return;
    };
    trace(co_await ending(task_group(of_its_own)));
}

TWIN(78, "an external cancel cancels the children, waits for them and is raised; errors of children win, the cancel "
         "stays") {
    EventLoop& loop = get_running_loop();
    auto slow_child = []() -> Coro<> {
        const std::exception_ptr error = co_await error_of(sleep_ms(1000));
        co_await turns(2);
        trace("child cleaned up");
        std::rethrow_exception(error);
    };
    auto run = [&](Coro<> body) -> Coro<> {
        Task<> task = loop.create_task(std::move(body));
        co_await turns(2);
        task.cancel("from outside");
        trace(group_text(co_await error_of(task)));
        trace("cancelled: " + yes(task.cancelled()) + ", cancelling: " + std::to_string(task.cancelling()));
    };
    auto in_the_body = [&](TaskGroup& group) -> Coro<> {
        group.create_task(slow_child());
        co_await sleep_ms(1000);
    };
    auto at_the_end = [&](TaskGroup& group) -> Coro<> {
        group.create_task(slow_child());
        co_return;
    };
    auto with_errors = [](TaskGroup& group) -> Coro<> {
        group.create_task(failing_in_cleanup("of the child"));
        co_return;
    };
    auto goes_on = [&]() -> Coro<> {
        try {
            co_await task_group(with_errors);
        } catch (const ExceptionGroup& group) {
            group.handle<ValueError>([](const ExceptionGroup&) { trace("errors first, " + cancelling()); }).raise();
        }
        const std::exception_ptr error = co_await error_of(turns(1));
        trace("next await: " + error_text(error) + ", " + cancelling());
        trace("the one after: " + co_await ending(turns(1)));
    };
    co_await run(task_group(in_the_body));
    co_await run(task_group(at_the_end));
    co_await run(task_group(with_errors));
    co_await run(goes_on());

    auto fails = [](Future<> future) -> Coro<> {
        co_await future;
        throw ValueError("at the same time");
    };
    for (const int count : {0, 1, 2}) {
        trace("-- cancelled " + std::to_string(count) + " iterations after the child was woken");
        Future<> future = loop.create_future<void>();
        auto fails_meanwhile = [&](TaskGroup& group) -> Coro<> {
            group.create_task(fails(future));
            co_await sleep_ms(1000);
        };
        Task<> task = loop.create_task(task_group(fails_meanwhile));
        co_await turns(2);
        future.set_result();
        co_await turns(count);
        trace("cancel: " + yes(task.cancel("from outside")));
        trace(group_text(co_await error_of(task)));
        trace("cancelled: " + yes(task.cancelled()) + ", cancelling: " + std::to_string(task.cancelling()));
    }
}

TWIN(79, "repeated cancels of the parent while the group ends leave no child behind") {
    EventLoop& loop = get_running_loop();
    auto stubborn = []() -> Coro<> {
        for (int i = 0; i < 2; ++i) {
            try {
                co_await sleep_ms(1000);
            } catch (const CancelledError&) {
                trace("child: not yet");
            }
        }
        co_await turns(3);
        trace("child ends");
    };
    auto body = [&](TaskGroup& group) -> Coro<> {
        group.create_task(stubborn());
        loop.call_soon([] {});
        co_return;
    };
    Task<> task = loop.create_task(task_group(body));
    co_await turns(2);
    for (int i = 0; i < 3; ++i) {
        task.cancel();
        co_await turns(1);
    }
    trace("done: " + yes(task.done()));
    std::vector<AnyTask> left;
    for (const AnyTask& each : all_tasks())
        if (!(each == task) && !(each == current_task())) left.push_back(each);
    trace("children: " + std::to_string(left.size()));
    left[0].cancel();
    trace(co_await ending(task));
    trace("child done: " + yes(left[0].done()) + ", cancelling: " + std::to_string(task.cancelling()));
    trace("-- no children");
    auto empty = [](TaskGroup&) -> Coro<> { co_await sleep_ms(1000); };
    task = loop.create_task(task_group(empty));
    co_await turns(1);
    task.cancel("the body only");
    trace(error_text(co_await error_of(task)));
    trace("cancelled: " + yes(task.cancelled()));
    trace("-- raised by the body itself");
    auto raises = [](TaskGroup& group) -> Coro<> {
        group.create_task(child("child", 100));
        co_await turns(1);
        throw CancelledError("raised");
    };
    task = loop.create_task(task_group(raises));
    trace(error_text(co_await error_of(task)));
    trace("cancelled: " + yes(task.cancelled()) + ", cancelling: " + std::to_string(task.cancelling()));
}
