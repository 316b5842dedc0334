// Rules 31, 32, 35, 36, 38 and 43 to 48: tasks from their first step to their end.
#include "twin.hpp"

#include <algorithm>

using namespace weft;
using namespace weft::conformance;

TWIN(31, "the body does not start inside create_task") {
    EventLoop& loop = get_running_loop();
    auto work = []() -> Coro<std::string> {
        trace("body");
        co_return "value";
    };
    const Task<std::string> task = loop.create_task(work());
    trace("created");
    loop.call_soon(trace, "scheduled later");
    trace("done: " + yes(task.done()));
    trace(co_await task);
    trace("done: " + yes(task.done()));
}

TWIN(32, "a task cancelled before its first step never runs its body") {
    EventLoop& loop = get_running_loop();
    auto work = []() -> Coro<> {
        trace("never");
        co_return;
    };
    Task<> task = loop.create_task(work());
    trace("cancel: " + yes(task.cancel("too early")));
    trace("done: " + yes(task.done()) + ", cancelling: " + std::to_string(task.cancelling()));
    trace(error_text(co_await error_of(task)));
    trace("done: " + yes(task.done()) + ", cancelled: " + yes(task.cancelled()));
    trace("cancel: " + yes(task.cancel()));
}

TWIN(35, "a task that cancels itself and then returns ends cancelled") {
    EventLoop& loop = get_running_loop();
    auto work = []() -> Coro<std::string> {
        trace("cancel: " + yes(current_task().cancel("myself")));
        trace("still running");
        co_return "value";
    };
    auto fail = []() -> Coro<std::string> {
        current_task().cancel();
        throw ValueError("instead");
        co_return "";
    };
    Task<std::string> task = loop.create_task(work());
    trace(error_text(co_await error_of(task)));
    trace("cancelled: " + yes(task.cancelled()));
    task = loop.create_task(fail());
    trace(error_text(co_await error_of(task)));
    trace("cancelled: " + yes(task.cancelled()));
}

TWIN(36, "a task that catches CancelledError and returns is done, not cancelled; it may wait and fail meanwhile") {
    EventLoop& loop = get_running_loop();
    auto refuse = []() -> Coro<std::string> {
        try {
            co_await sleep_ms(1000);
        } catch (const CancelledError&) {
            trace("caught");
        }
        co_await turns(1);
        trace("cancelling: " + std::to_string(current_task().cancelling()));
        co_return "value";
    };
    auto fail = []() -> Coro<std::string> {
        try {
            co_await sleep_ms(1000);
        } catch (const CancelledError&) {
            throw ValueError("in the cleanup");
        }
        co_return "";
    };
    Task<std::string> task = loop.create_task(refuse());
    co_await turns(1);
    task.cancel();
    trace(co_await task);
    trace("cancelled: " + yes(task.cancelled()));
    task = loop.create_task(fail());
    co_await turns(1);
    task.cancel();
    trace(error_text(co_await error_of(task)));
    trace("cancelled: " + yes(task.cancelled()));
}

TWIN(38, "cancel() of a done task is refused, changes nothing and counts as having seen its exception") {
    EventLoop& loop = get_running_loop();
    auto work = []() -> Coro<std::string> { co_return "value"; };
    auto fail = []() -> Coro<std::string> {
        throw ValueError("silenced");
        co_return "";
    };
    Task<std::string> task = loop.create_task(work());
    co_await task;
    trace("cancel: " + yes(task.cancel()) + ", cancelling: " + std::to_string(task.cancelling()));
    trace(task.result());
    task = loop.create_task(fail());
    co_await turns(2);
    trace("cancel: " + yes(task.cancel()) + ", cancelled: " + yes(task.cancelled()));
    task = Task<std::string>();
    trace("no report");
}

TWIN(43, "a task cannot await itself") {
    EventLoop& loop = get_running_loop();
    Task<std::string> task;
    auto work = [&]() -> Coro<std::string> {
        try {
            co_await task;
        } catch (const RuntimeError&) {
            const std::string text = error_text(std::current_exception());
            trace(text.substr(0, text.find(": Task-")));
        }
        co_return "went on";
    };
    task = loop.create_task(work());
    trace(co_await task);
}

TWIN(44, "sleep(0) yields exactly one iteration; a sleep that is cancelled is over at once") {
    EventLoop& loop = get_running_loop();
    int iterations = 0;
    std::function<void()> count = [&] {
        if (++iterations < 100) loop.call_soon([&] { count(); });
    };
    for (const int delay : {0, -1}) {
        iterations = 0;
        loop.call_soon([&] { count(); });
        co_await sleep(std::chrono::seconds(delay));
        trace("iterations in sleep(" + std::to_string(delay) + "): " + std::to_string(iterations));
        co_await sleep(std::chrono::seconds(delay));
        trace("and again: " + std::to_string(iterations));
        iterations = 100;
        co_await turns(1);
    }
    auto wait = []() -> Coro<> { co_await sleep(1h); };
    Task<> task = loop.create_task(wait());
    co_await turns(1);
    task.cancel();
    trace(co_await ending(task));
    trace(co_await sleep(1ms, std::string("result")));
    trace(co_await sleep(0s, std::string("result at once")));
}

TWIN(45, "current_task is right across interleaving, and nothing in callbacks") {
    EventLoop& loop = get_running_loop();
    const auto name = [] {
        const CurrentTask task = current_task();
        return task ? task.get_name() : "nothing";
    };
    auto inner = [&]() -> Coro<> {
        trace("in a coroutine of a task: " + name());
        co_return;
    };
    auto work = [&]() -> Coro<> {
        trace("in a task: " + name());
        co_await turns(1);
        trace("in a task: " + name());
        co_await inner();
    };
    Task<> first = loop.create_task(work(), TaskOptions().name("A"));
    Task<> second = loop.create_task(work(), TaskOptions().name("B"));
    loop.call_soon([&] { trace("in a callback: " + name()); });
    second.add_done_callback([&] { trace("in a done-callback: " + name()); });
    co_await first;
    co_await second;
    co_await turns(1);
    first.set_name("renamed");
    trace(first.get_name());
    trace("before and after: " + yes(current_task() == current_task(loop)));
}

namespace {

/// Python's `finally: trace(...)`.
class Finally {
public:
    explicit Finally(std::string line) : line_(std::move(line)) {}
    Finally(const Finally&) = delete;
    Finally& operator=(const Finally&) = delete;
    ~Finally() { trace(line_); }

private:
    std::string line_;
};

}  // namespace

LOOP_TWIN(46, "the loop owns a pending task; it is reported and destroyed when the loop closes") {
    auto wait = [&]() -> Coro<> {
        const Finally last("destroyed");
        co_await loop.create_future<void>();
    };
    Task<> task = loop.create_task(wait());
    loop.stop();
    loop.run_forever();
    trace("dropped");
    task = Task<>();
    trace("alive: " + yes(all_tasks(loop).size() == 1));
    loop.close();
    trace("closed");
}

TWIN(47, "an eager task runs before create_task returns; if it suspends it becomes an ordinary one") {
    EventLoop& loop = get_running_loop();
    const TaskOptions eager = TaskOptions().eager_start(true);
    const CurrentTask main = current_task();
    auto at_once = [&]() -> Coro<std::string> {
        trace("in a task of its own: " + yes(!(current_task() == main)));
        co_return "value";
    };
    auto later = []() -> Coro<std::string> {
        trace("first step");
        co_await turns(1);
        trace("second step");
        co_return "value";
    };
    auto fail = []() -> Coro<std::string> {
        throw ValueError("at once");
        co_return "";
    };
    Task<std::string> task = loop.create_task(at_once(), eager);
    trace("done: " + yes(task.done()) + ", " + task.result());
    trace("back in this one: " + yes(current_task() == main));
    trace("cancel: " + yes(task.cancel()) + ", cancelled: " + yes(task.cancelled()));
    task = loop.create_task(later(), eager);
    loop.call_soon(trace, "scheduled after it suspended");
    const auto all = all_tasks();
    const bool listed = std::ranges::any_of(all, [&](const AnyTask& each) { return each == task; });
    trace("done: " + yes(task.done()) + ", listed: " + yes(listed));
    trace(co_await task);
    task = loop.create_task(fail(), eager);
    trace("done: " + yes(task.done()) + ", " + error_text(task.exception()));
    task = loop.create_task(later(), eager);
    task.cancel();
    trace(co_await ending(task));
}

TWIN(48, "all_tasks has the tasks that are not done") {
    EventLoop& loop = get_running_loop();
    current_task().set_name("main");
    Future<> future = loop.create_future<void>();
    auto wait = [&]() -> Coro<> { co_await future; };
    auto rest = []() -> Coro<> { co_await sleep_ms(1000); };
    const auto names = [] {
        std::vector<std::string> sorted;
        for (const AnyTask& task : all_tasks())
            sorted.push_back(task.get_name());
        std::ranges::sort(sorted);
        std::string text;
        for (const std::string& name : sorted)
            text += (text.empty() ? "" : " ") + name;
        return text;
    };
    Task<> first = loop.create_task(wait(), TaskOptions().name("A"));
    trace("not started: " + names());
    co_await turns(1);
    Task<> second = loop.create_task(rest(), TaskOptions().name("B"));
    co_await turns(1);
    trace("waiting: " + names());
    second.cancel();
    trace("cancel requested: " + names());
    co_await turns(1);
    trace("cancelled: " + names());
    future.set_result();
    co_await first;
    trace("done: " + names());
}
