#include "support/harness.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

Coro<int> value_after(Duration delay, int value) {
    co_await sleep(delay);
    co_return value;
}
Coro<> fail_after(Duration delay, std::string what) {
    co_await sleep(delay);
    throw ValueError(what);
}
/// Refuses nothing, but fails while it is cancelled.
Coro<> fail_in_cleanup(std::string what) {
    try {
        co_await sleep(1h);
    } catch (const CancelledError&) {
        throw ValueError(what);
    }
}

/// "a,(b,c)": the messages of a group's errors in order.
std::string errors_in(const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const ExceptionGroup& group) {
        std::string text;
        for (const auto& inner : group.exceptions())
            text += (text.empty() ? "" : ",") + errors_in(inner);
        return "(" + text + ")";
    } catch (const std::exception& e) {
        return e.what();
    } catch (...) {
        return error_text(std::current_exception());
    }
}

/// "(a,b)" of the group that the task group ended with, or the type of another error.
template <class F>
Coro<std::string> group_ending(F& body) {
    const std::exception_ptr error = co_await error_of(task_group(body));
    if (!error) co_return "ok";
    co_return detail::holds<ExceptionGroup>(error) ? errors_in(error) : error_type(error);
}

/// Ends two seconds after it was cancelled.
Coro<> slow_to_end() {
    const std::exception_ptr error = co_await error_of(sleep(1h));
    co_await sleep(2s);
    std::rethrow_exception(error);
}

}  // namespace

TEST_CASE("rule 73: the group waits for all its children; the body's value is returned") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const TimePoint begin = loop.time();
        Task<int> a;
        Task<int> b;
        auto body = [&](TaskGroup& group) -> Coro<std::string> {
            a = group.create_task(value_after(1s, 1));
            b = group.create_task(value_after(3s, 2), TaskOptions().name("b"));
            co_return "value";
        };
        const std::string value = co_await task_group(body);
        CHECK(value == "value");
        CHECK(loop.time() - begin == 3s);
        CHECK(a.result() + b.result() == 3);
        CHECK(b.name() == "b");
        auto empty = [](TaskGroup&) -> Coro<> { co_return; };
        co_await task_group(empty);
    });
}

TEST_CASE("rule 74: the first child error cancels the siblings and the body") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const TimePoint begin = loop.time();
        Task<int> sibling;
        std::string body_saw;
        auto body = [&](TaskGroup& group) -> Coro<> {
            sibling = group.create_task(value_after(1h, 1));
            group.create_task(fail_after(1s, "a"));
            const std::exception_ptr error = co_await error_of(sleep(1h));
            body_saw = error_type(error);
            std::rethrow_exception(error);
        };
        const std::string text = co_await group_ending(body);
        CHECK(text == "(a)");
        CHECK(body_saw == "CancelledError");
        CHECK(sibling.cancelled());
        CHECK(loop.time() - begin == 1s);
    });
}

TEST_CASE("rule 74: an error of the body cancels the children") {
    run_simulated([]() -> Coro<> {
        Task<int> child;
        auto body = [&](TaskGroup& group) -> Coro<> {
            child = group.create_task(value_after(1h, 1));
            co_await sleep(1s);
            throw ValueError("body");
        };
        const std::string text = co_await group_ending(body);
        CHECK(text == "(body)");
        CHECK(child.cancelled());
        CHECK(current_task().cancelling() == 0);
    });
}

TEST_CASE("rule 75: the cancellation of the parent is taken back: code after the group runs normally") {
    run_simulated([]() -> Coro<> {
        auto body = [&](TaskGroup& group) -> Coro<> {
            group.create_task(fail_after(1s, "a"));
            co_await sleep(1h);
        };
        const std::string text = co_await group_ending(body);
        CHECK(text == "(a)");
        CHECK(current_task().cancelling() == 0);
        const std::string after = co_await ending(sleep(1s));
        CHECK(after == "ok");
    });
}

TEST_CASE("rule 76: errors of several children enter one group in completion order, the body's own last") {
    run_simulated([]() -> Coro<> {
        auto body = [&](TaskGroup& group) -> Coro<> {
            group.create_task(fail_in_cleanup("second"));
            group.create_task(fail_in_cleanup("third"));
            group.create_task(fail_after(1s, "first"));
            try {
                co_await sleep(1h);
            } catch (const CancelledError&) {
                throw ValueError("body");
            }
        };
        const std::string text = co_await group_ending(body);
        CHECK(text == "(first,second,third,body)");
    });
}

TEST_CASE("rule 76: the group's message, and nested groups nest") {
    run_simulated([]() -> Coro<> {
        auto inner = [](TaskGroup& group) -> Coro<> {
            group.create_task(fail_after(1s, "deep"));
            co_return;
        };
        auto child = [&]() -> Coro<> { co_await task_group(inner); };
        auto outer = [&](TaskGroup& group) -> Coro<> {
            group.create_task(child());
            co_return;
        };
        const std::exception_ptr error = co_await error_of(task_group(outer));
        CHECK(errors_in(error) == "((deep))");
        CHECK(error_text(error).find("unhandled errors in a TaskGroup (1 sub-exception)") != std::string::npos);
    });
}

TEST_CASE("rule 77: a child that is only cancelled does not count") {
    run_simulated([]() -> Coro<> {
        Task<int> other;
        auto body = [&](TaskGroup& group) -> Coro<> {
            Task<int> victim = group.create_task(value_after(1h, 1));
            other = group.create_task(value_after(2s, 2));
            co_await sleep(1s);
            victim.cancel();
        };
        const std::string text = co_await group_ending(body);
        CHECK(text == "ok");
        CHECK(other.result() == 2);
    });
}

TEST_CASE("rule 78: a group cancelled in the clean-up of a cancelled task ends in order: the request is an older one") {
    run_simulated([]() -> Coro<> {
        std::string end;
        const auto wait_long = []() -> Coro<> { co_await sleep(1h); };
        const auto cleans_up = [&]() -> Coro<> {
            const std::string cancelled = co_await ending(sleep(1h));
            CHECK(cancelled == "CancelledError");
            const auto body = [&](TaskGroup& group) -> Coro<> {
                group.create_task(wait_long());
                get_running_loop().call_later(1s, [group]() mutable { group.cancel(); });
                co_return;
            };
            end = co_await ending(task_group(body));
        };
        Task<> task = create_task(cleans_up());
        co_await sleep(1s);
        task.cancel();
        co_await task;
        CHECK(end == "ok");
    });
}

TEST_CASE("rule 78: an external cancel cancels the children, waits for them, and is raised again") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const TimePoint begin = loop.time();
        Task<> child;
        auto body = [&](TaskGroup& group) -> Coro<> {
            child = group.create_task(slow_to_end());
            co_return;
        };
        auto parent_body = [&]() -> Coro<> { co_await task_group(body); };
        Task<> parent = create_task(parent_body());
        co_await turns(3);
        parent.cancel("outside");
        const std::exception_ptr error = co_await error_of(parent);
        CHECK(error_text(error) == "CancelledError: outside");
        CHECK(parent.cancelled());
        CHECK(child.cancelled());
        CHECK(loop.time() - begin == 2s);
    });
}

TEST_CASE("rule 78: if children fail meanwhile the group of errors wins, and the next await raises CancelledError") {
    run_simulated([]() -> Coro<> {
        std::string group_end;
        std::string next;
        unsigned count = 99;
        auto body = [&](TaskGroup& group) -> Coro<> {
            group.create_task(fail_in_cleanup("cleanup"));
            co_return;
        };
        auto parent_body = [&]() -> Coro<> {
            group_end = co_await group_ending(body);
            count = current_task().cancelling();
            next = co_await ending(sleep(1s));
        };
        Task<> parent = create_task(parent_body());
        co_await turns(3);
        parent.cancel();
        co_await parent;
        CHECK(group_end == "(cleanup)");
        CHECK(count == 1);
        CHECK(next == "CancelledError");
        CHECK(parent.cancelling() == 1);
    });
}

TEST_CASE("rule 78: an external cancel is raised also when the group is being cancelled already") {
    run_simulated([]() -> Coro<> {
        std::optional<TaskGroup> entered;
        bool went_on = false;
        auto body = [&](TaskGroup& group) -> Coro<> {
            entered = group;
            group.create_task(slow_to_end());
            co_return;
        };
        auto parent_body = [&]() -> Coro<> {
            co_await task_group(body);
            went_on = true;
        };
        Task<> parent = create_task(parent_body());
        co_await turns(3);
        entered->cancel();
        co_await sleep(1s);
        CHECK_FALSE(parent.done());
        parent.cancel("outside");
        const std::exception_ptr error = co_await error_of(parent);
        CHECK(error_text(error) == "CancelledError: outside");
        CHECK_FALSE(went_on);
        CHECK(parent.cancelling() == 1);
    });
}

TEST_CASE("rule 78: a timeout around a group that is being cancelled is a TimeoutError") {
    run_simulated([]() -> Coro<> {
        // The body swallows the group's own cancellation; the deadline comes while the child cleans up.
        auto body = [&](TaskGroup& group) -> Coro<> {
            group.create_task(slow_to_end());
            co_await sleep(0s);
            group.cancel();
            (void)co_await error_of(sleep(0s));
        };
        auto limited = [&]() -> Coro<> { co_await task_group(body); };
        const std::string text = co_await ending(timeout(1s, limited));
        CHECK(text == "TimeoutError");
        CHECK(current_task().cancelling() == 0);
    });
}

TEST_CASE("rule 78: an error of the body is not lost to an external cancel of a group that is being cancelled") {
    run_simulated([]() -> Coro<> {
        std::string group_end;
        std::string next;
        auto body = [&](TaskGroup& group) -> Coro<> {
            group.create_task(slow_to_end());
            co_await sleep(0s);
            group.cancel();
            (void)co_await error_of(sleep(0s));
            throw ValueError("body");
        };
        auto parent_body = [&]() -> Coro<> {
            group_end = co_await group_ending(body);
            next = co_await ending(sleep(1s));
        };
        Task<> parent = create_task(parent_body());
        co_await sleep(1s);
        parent.cancel();
        co_await parent;
        CHECK(group_end == "(body)");
        CHECK(next == "CancelledError");
        CHECK(parent.cancelling() == 1);
    });
}

TEST_CASE("rule 79: repeated cancels of the parent while the group ends leave no child behind") {
    run_simulated([]() -> Coro<> {
        Task<> child;
        auto stubborn = []() -> Coro<> {
            const std::exception_ptr error = co_await error_of(sleep(1h));
            co_await sleep(3s);
            std::rethrow_exception(error);
        };
        auto body = [&](TaskGroup& group) -> Coro<> {
            child = group.create_task(stubborn());
            co_return;
        };
        auto parent_body = [&]() -> Coro<> { co_await task_group(body); };
        Task<> parent = create_task(parent_body());
        co_await turns(3);
        for (int i = 0; i < 3; ++i) {
            parent.cancel();
            co_await sleep(500ms);
            CHECK_FALSE(parent.done());
            CHECK_FALSE(child.done());
        }
        const std::string text = co_await ending(parent);
        CHECK(text == "CancelledError");
        CHECK(child.done());
        CHECK(parent.cancelling() == 3);
    });
}

TEST_CASE("rule 79: a cancel delivered to the body alone, of a group without children, is raised") {
    run_simulated([]() -> Coro<> {
        auto body = [](TaskGroup&) -> Coro<> { co_await sleep(1h); };
        auto parent_body = [&]() -> Coro<> { co_await task_group(body); };
        Task<> parent = create_task(parent_body());
        co_await turns(1);
        parent.cancel();
        const std::string text = co_await ending(parent);
        CHECK(text == "CancelledError");
        CHECK(parent.cancelled());
    });
}

TEST_CASE("rule 80: nested groups that fail together: the inner one has its own errors, the outer cancel is kept") {
    run_simulated([]() -> Coro<> {
        std::string inner_end;
        std::string next;
        auto inner = [&](TaskGroup& group) -> Coro<> {
            group.create_task(fail_after(1s, "inner"));
            co_await sleep(1h);
        };
        auto outer = [&](TaskGroup& group) -> Coro<> {
            group.create_task(fail_after(1s, "outer"));
            inner_end = co_await group_ending(inner);
            const std::exception_ptr error = co_await error_of(sleep(1h));
            next = error_type(error);
            std::rethrow_exception(error);
        };
        const std::string text = co_await group_ending(outer);
        CHECK(text == "(outer)");
        CHECK(inner_end == "(inner)");
        CHECK(next == "CancelledError");
        CHECK(current_task().cancelling() == 0);
    });
}

TEST_CASE("rule 81: KeyboardInterrupt and SystemExit of the body propagate alone after the siblings have ended") {
    run_simulated([]() -> Coro<> {
        Task<> child;
        auto body = [&](TaskGroup& group) -> Coro<> {
            child = group.create_task(fail_in_cleanup("dropped"));
            co_await sleep(1s);
            throw SystemExit(5);
        };
        const std::exception_ptr error = co_await error_of(task_group(body));
        CHECK(error_text(error) == "SystemExit: 5");
        CHECK(child.done());
        auto interrupted = [&](TaskGroup& group) -> Coro<> {
            group.create_task(value_after(1h, 1));
            throw KeyboardInterrupt();
            co_return;
        };
        const std::exception_ptr other = co_await error_of(task_group(interrupted));
        CHECK(error_text(other) == "KeyboardInterrupt");
        CHECK(all_tasks().size() == 1);
    });
}

TEST_CASE("rule 81: from a child they leave the loop itself; run on, the group raises them") {
    auto loop = make_simulated_loop();
    auto exits = []() -> Coro<> {
        co_await sleep(1s);
        throw SystemExit(6);
    };
    std::string text;
    auto body = [&](TaskGroup& group) -> Coro<> {
        group.create_task(exits());
        co_await sleep(1h);
    };
    auto parent = [&]() -> Coro<> { text = co_await group_ending(body); };
    Task<> task = loop->create_task(parent());
    CHECK(error_of_call([&] { loop->run_until_complete(task); }) == "SystemExit: 6");
    CHECK(text.empty());
    loop->run_until_complete(task);
    CHECK(text == "SystemExit");
}

TEST_CASE("rule 82: a child may add to its group; after a failure that is an error and the coroutine is destroyed") {
    run_simulated([]() -> Coro<> {
        std::string refused;
        bool ran = false;
        auto token = std::make_shared<int>(0);
        Task<int> grandchild;
        auto never = [&](std::shared_ptr<int>) -> Coro<> {
            ran = true;
            co_return;
        };
        auto body = [&](TaskGroup& group) -> Coro<> {
            auto adder = [&]() -> Coro<> {
                grandchild = group.create_task(value_after(1s, 3));
                co_return;
            };
            auto late = [&]() -> Coro<> {
                const std::string cancelled = co_await ending(sleep(1h));
                CHECK(cancelled == "CancelledError");
                refused = error_of_call([&] { group.create_task(never(token)); });
            };
            Task<> child = group.create_task(adder());
            group.create_task(late());
            group.create_task(fail_after(2s, "a"));
            co_await sleep(1h);
        };
        const std::string text = co_await group_ending(body);
        CHECK(text == "(a)");
        CHECK(grandchild.result() == 3);
        CHECK(refused == "RuntimeError: TaskGroup is shutting down");
        CHECK_FALSE(ran);
        CHECK(token.use_count() == 1);
    });
}

TEST_CASE("rule 83: a group that has ended takes no more tasks; outside a task there is no group") {
    run_simulated([]() -> Coro<> {
        std::optional<TaskGroup> escaped;
        auto body = [&](TaskGroup& group) -> Coro<> {
            escaped = group;
            co_return;
        };
        co_await task_group(body);
        Coro<int> unused = value_after(1s, 1);
        CHECK(error_of_call([&] { escaped->create_task(std::move(unused)); }) == "RuntimeError: TaskGroup is finished");
        escaped->cancel();
        CHECK(current_task().cancelling() == 0);
        Future<std::string> outside = get_running_loop().create_future<std::string>();
        get_running_loop().call_soon([&] { outside.set_result(error_of_call([] { (void)detail::enter_group(); })); });
        const std::string text = co_await outside;
        CHECK(text == "RuntimeError: TaskGroup cannot determine the parent task");
    });
}

TEST_CASE("rule 84: a timeout around a group whose child fails in its cleanup: the group of errors propagates") {
    run_simulated([]() -> Coro<> {
        auto body = [](TaskGroup& group) -> Coro<> {
            group.create_task(fail_in_cleanup("cleanup"));
            co_await sleep(1h);
        };
        auto limited = [&]() -> Coro<> { co_await task_group(body); };
        const std::exception_ptr error = co_await error_of(timeout(1s, limited));
        CHECK(errors_in(error) == "(cleanup)");
        CHECK(current_task().cancelling() == 0);
        co_await sleep(1s);
    });
}

TEST_CASE("rule 84: without such an error the timeout around a group is a TimeoutError") {
    run_simulated([]() -> Coro<> {
        Task<int> child;
        auto body = [&](TaskGroup& group) -> Coro<> {
            child = group.create_task(value_after(1h, 1));
            co_return;
        };
        auto limited = [&]() -> Coro<> { co_await task_group(body); };
        const std::string text = co_await ending(timeout(1s, limited));
        CHECK(text == "TimeoutError");
        CHECK(child.cancelled());
        CHECK(current_task().cancelling() == 0);
    });
}

TEST_CASE("difference 4: TaskGroup::cancel ends children and body; the group ends without an error") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const TimePoint begin = loop.time();
        Task<int> child;
        Task<int> done;
        auto body = [&](TaskGroup& group) -> Coro<> {
            child = group.create_task(value_after(1h, 1));
            done = group.create_task(value_after(1s, 2));
            co_await sleep(2s);
            group.cancel();
            group.cancel();
            co_await sleep(1h);
        };
        const std::string text = co_await group_ending(body);
        CHECK(text == "ok");
        CHECK(child.cancelled());
        CHECK(done.result() == 2);
        CHECK(loop.time() - begin == 2s);
        CHECK(current_task().cancelling() == 0);
        auto failing = [&](TaskGroup& group) -> Coro<> {
            group.create_task(fail_in_cleanup("late"));
            co_await sleep(1s);
            group.cancel();
        };
        const std::string with_error = co_await group_ending(failing);
        CHECK(with_error == "(late)");
    });
}

TEST_CASE("difference 4: an eager child that cancels its group in its first step is cancelled too") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const TimePoint begin = loop.time();
        Task<> child;
        auto canceller = [](TaskGroup group) -> Coro<> {
            group.cancel();
            co_await sleep(1h);
        };
        auto body = [&](TaskGroup& group) -> Coro<> {
            child = group.create_task(canceller(group), TaskOptions().eager_start(true));
            co_await sleep(1h);
        };
        const std::string text = co_await group_ending(body);
        CHECK(text == "ok");
        CHECK(child.cancelled());
        CHECK(loop.time() == begin);
        CHECK(current_task().cancelling() == 0);
    });
}

TEST_CASE(
    "an eager child that ends at once: the group does not wait for it, and its error shuts the group down at once") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const auto nothing = []() -> Coro<> { co_return; };
        const auto fails = []() -> Coro<> {
            throw ValueError("at once");
            co_return;
        };
        bool other_ran = false;
        auto good = [&](TaskGroup& group) -> Coro<> {
            group.create_task(nothing(), TaskOptions().eager_start(true));
            loop.call_soon([&] { other_ran = true; });
            co_return;
        };
        co_await task_group(good);
        CHECK_FALSE(other_ran);  // the end of the group did not suspend
        unsigned cancelling = 0;
        std::string next;
        auto bad = [&](TaskGroup& group) -> Coro<> {
            group.create_task(fails(), TaskOptions().eager_start(true));
            cancelling = current_task().cancelling();
            next = error_of_call([&] { group.create_task(nothing()); });
            co_await sleep(1h);
        };
        const std::string text = co_await group_ending(bad);
        CHECK(text == "(at once)");
        CHECK(cancelling == 1);
        CHECK(next == "RuntimeError: TaskGroup is shutting down");
        CHECK(current_task().cancelling() == 0);
    });
}

TEST_CASE("group.create_task(fn, args...) keeps callable and arguments") {
    run_simulated([]() -> Coro<> {
        std::string seen;
        auto body = [&](TaskGroup& group) -> Coro<> {
            auto child = [word = std::string(40, 'w'), &seen](int n) -> Coro<> {
                co_await sleep(1s);
                seen = word + std::to_string(n);
            };
            group.create_task(std::move(child), 1);
            co_return;
        };
        co_await task_group(body);
        CHECK(seen == std::string(40, 'w') + "1");
    });
}
