// Cancellations from where they are easily forgotten: callbacks, done-callbacks, the handler of a cancellation, while a
// gather, a group or a deadline cancels too. Each trace is the one of the same program in asyncio 3.13.
#include "torture/torture.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

std::string text(bool value) {
    return value ? "True" : "False";
}
template <class T>
std::string state(const Task<T>& task) {
    return text(task.cancelled()) + std::to_string(task.cancelling());
}
std::string message(const CancelledError& error) {
    return error.message();
}

/// Runs the body, which traces, on a simulated loop.
template <class F>
std::string trace_of(F body) {
    Trace trace;
    std::string at_end;
    run_simulated([&]() -> Coro<> {
        co_await body(trace);
        at_end = trace.text();
    });
    return at_end;
}

/// The errors of a group: "ValueError,ValueError".
std::string errors_of(const ExceptionGroup& group) {
    std::string all;
    for (const auto& error : group.exceptions())
        all += (all.empty() ? "" : ",") + error_type(error);
    return all;
}

Coro<> fail_soon() {
    co_await sleep(0s);
    throw ValueError("wrong");
}

/// Sleeps, and traces what happens then; `on_cancel` is called in the handler of the first cancellation.
template <class F>
Coro<> child(Trace& trace, std::string name, F on_cancel) {
    bool cancelled = false;
    try {
        co_await sleep(100s);
    } catch (const CancelledError&) {
        cancelled = true;
        trace("c" + name);
    }
    if (!cancelled) co_return;
    on_cancel();
    try {
        co_await sleep(1ms);
    } catch (const CancelledError&) {
        trace("again" + name);
        throw;
    }
    trace("finish" + name);
    throw CancelledError();
}

/// Ends by its cancellation, after `on_cancel` was called and, if that asked for another one, by that.
template <class F>
Coro<> cancelled_in_handler(Trace& trace, F on_cancel, Duration then = 100s) {
    bool cancelled = false;
    try {
        co_await sleep(100s);
    } catch (const CancelledError&) {
        cancelled = true;
    }
    if (!cancelled) co_return;
    on_cancel();
    try {
        co_await sleep(then);
    } catch (const CancelledError& error) {
        trace("again:" + message(error));
        throw;
    }
}

}  // namespace

TEST_CASE("cancel from a done-callback of the same task has no effect") {
    CHECK(trace_of([](Trace& trace) -> Coro<> {
              Task<int> task = create_task([&trace]() -> Coro<int> {
                  trace("body");
                  co_return 1;
              });
              task.add_done_callback([&](Future<int> done) { trace("cancel:" + text(done.cancel())); });
              const int result = co_await task;
              trace("result:" + std::to_string(result));
              trace("cancelled:" + text(task.cancelled()));
              trace(std::to_string(task.cancelling()));
          }) == "body cancel:False result:1 cancelled:False 0");
}

TEST_CASE("cancel from a done-callback of the future that a task awaits") {
    const auto run = [](bool callback_first) {
        return trace_of([callback_first](Trace& trace) -> Coro<> {
            EventLoop& loop = get_running_loop();
            Future<int> future = loop.create_future<int>();
            Task<> task;
            auto body = [&]() -> Coro<> {
                try {
                    const int result = co_await future;
                    trace("got" + std::to_string(result));
                } catch (const CancelledError&) {
                    trace("cancelled");
                    trace("f" + std::to_string(future.result()));
                }
                try {
                    co_await sleep(0s);
                    trace("slept");
                } catch (const CancelledError&) {
                    trace("cancelled");
                }
            };
            auto cancel = [&] { trace("cancel:" + text(task.cancel())); };
            task = create_task(body());
            if (callback_first) future.add_done_callback(cancel);
            co_await sleep(0s);
            if (!callback_first) future.add_done_callback(cancel);
            loop.call_soon([&] { future.set_result(1); });
            co_await task;
            trace(state(task));
        });
    };
    CHECK(run(true) == "cancel:True cancelled f1 slept False1");
    CHECK(run(false) == "got1 cancel:True cancelled False1");
}

TEST_CASE("cancel from a done-callback of the same future has no effect") {
    CHECK(trace_of([](Trace& trace) -> Coro<> {
              Future<> future = get_running_loop().create_future<void>();
              future.add_done_callback(
                  [&](Future<> done) { trace("cb:" + text(done.cancelled()) + text(done.cancel())); });
              future.cancel();
              trace("again:" + text(future.cancel()));
              co_await sleep(0s);
          }) == "again:False cb:TrueFalse");
}

TEST_CASE("a task that cancels itself while it handles its cancellation") {
    CHECK(trace_of([](Trace& trace) -> Coro<> {
              Task<> task = create_task(cancelled_in_handler(trace, [&] {
                  trace("first");
                  current_task().cancel("second");
              }));
              co_await sleep(0s);
              task.cancel("one");
              const std::string end = co_await ending(task);
              if (end == "CancelledError") trace("end");
              trace(state(task));
          }) == "first again:second end True2");
}

TEST_CASE("a task that cancels itself while it handles its cancellation, and returns, is cancelled") {
    CHECK(trace_of([](Trace& trace) -> Coro<> {
              Task<int> task = create_task([]() -> Coro<int> {
                  try {
                      co_await sleep(100s);
                  } catch (const CancelledError&) {
                      current_task().cancel();
                  }
                  co_return 5;
              });
              co_await sleep(0s);
              task.cancel();
              const std::string end = co_await ending(task);
              if (end == "CancelledError") trace("end");
              trace(state(task));
          }) == "end True2");
}

TEST_CASE("cancel twice from a callback between two steps of the task") {
    CHECK(trace_of([](Trace& trace) -> Coro<> {
              Task<> task = create_task([&trace]() -> Coro<> {
                  for (int i = 0; i < 3; ++i) {
                      trace(std::to_string(i));
                      try {
                          co_await sleep(0s);
                      } catch (const CancelledError&) {
                          trace("cancelled");
                      }
                  }
              });
              get_running_loop().call_soon([&] {
                  const bool first = task.cancel();
                  trace("cancel:" + text(first) + text(task.cancel()));
              });
              co_await task;
              trace(state(task));
          }) == "0 cancel:TrueTrue cancelled 1 2 False2");
}

TEST_CASE("an error in the handler of a cancellation takes its place") {
    CHECK(trace_of([](Trace& trace) -> Coro<> {
              Task<> task = create_task([]() -> Coro<> {
                  try {
                      co_await sleep(100s);
                  } catch (const CancelledError&) {
                      throw ValueError("wrong");
                  }
              });
              co_await sleep(0s);
              task.cancel();
              const std::string end = co_await ending(task);
              trace(end);
              trace(state(task));
          }) == "ValueError False1");
}

TEST_CASE("cancel of a gather and of a sibling while the gather is being cancelled") {
    CHECK(trace_of([](Trace& trace) -> Coro<> {
              std::vector<Task<>> tasks;
              Future<std::vector<None>> outer;
              auto on_cancel = [&] {
                  trace("outer:" + text(outer.cancel()));
                  trace("other:" + text(tasks[1].cancel()));
              };
              tasks.push_back(create_task(child(trace, "1", on_cancel)));
              tasks.push_back(create_task(child(trace, "2", [] {})));
              outer = gather(tasks);
              co_await sleep(0s);
              outer.cancel();
              const std::string end = co_await ending(outer);
              if (end == "CancelledError") trace("gather");
              trace(text(tasks[0].cancelled()) + text(tasks[1].cancelled()));
              trace(std::to_string(tasks[0].cancelling()) + "," + std::to_string(tasks[1].cancelling()));
          }) == "c1 outer:True other:True c2 again1 gather TrueFalse 2,3");
}

TEST_CASE("cancel of a task that its group is cancelling") {
    CHECK(trace_of([](Trace& trace) -> Coro<> {
              std::vector<Task<>> tasks;
              auto body = [&](TaskGroup& group) -> Coro<> {
                  auto on_cancel = [&] { trace("other:" + text(tasks[1].cancel())); };
                  tasks.push_back(group.create_task(child(trace, "1", on_cancel)));
                  tasks.push_back(group.create_task(child(trace, "2", [] {})));
                  group.create_task(fail_soon());
                  try {
                      co_await sleep(100s);
                  } catch (const CancelledError&) {
                      trace("body");
                      throw;
                  }
              };
              try {
                  co_await task_group(body);
              } catch (const ExceptionGroup& group) {
                  trace("group:" + errors_of(group));
              }
              trace(std::to_string(current_task().cancelling()));
              trace(std::to_string(tasks[0].cancelling()) + "," + std::to_string(tasks[1].cancelling()));
          }) == "c1 other:True c2 body finish1 finish2 group:ValueError 0 1,2");
}

TEST_CASE("cancel of the parent while its group is cancelling") {
    CHECK(trace_of([](Trace& trace) -> Coro<> {
              CurrentTask parent = current_task();
              auto sibling = [&]() -> Coro<> {
                  try {
                      co_await sleep(100s);
                  } catch (const CancelledError&) {
                      trace("child");
                      trace("parent:" + text(parent.cancel()));
                      throw;
                  }
              };
              auto body = [&](TaskGroup& group) -> Coro<> {
                  group.create_task(sibling());
                  group.create_task(fail_soon());
                  co_await sleep(100s);
              };
              try {
                  co_await task_group(body);
              } catch (const ExceptionGroup& group) {
                  trace("group:" + errors_of(group));
              }
              trace(std::to_string(parent.cancelling()));
              const std::string end = co_await ending(sleep(1ms));
              trace(end == "CancelledError" ? "cancelled" : "slept");
              trace(std::to_string(parent.cancelling()));
              parent.uncancel();
          }) == "child parent:True group:ValueError 1 cancelled 1");
}

TEST_CASE("a body that is cancelled from outside while it handles its group's cancellation") {
    CHECK(trace_of([](Trace& trace) -> Coro<> {
              CurrentTask parent = current_task();
              auto body = [&](TaskGroup& group) -> Coro<> {
                  group.create_task(fail_soon());
                  co_await cancelled_in_handler(trace, [&] {
                      trace("body");
                      parent.cancel("outside");
                  });
              };
              try {
                  co_await task_group(body);
              } catch (const ExceptionGroup& group) {
                  trace("group:" + errors_of(group));
              }
              trace(std::to_string(parent.cancelling()));
              const std::string end = co_await ending(sleep(0s));
              trace(end == "CancelledError" ? "cancelled" : "slept");
              parent.uncancel();
          }) == "body again:outside group:ValueError 1 cancelled");
}

TEST_CASE("a done-callback of one child cancels another") {
    CHECK(trace_of([](Trace& trace) -> Coro<> {
              auto sleeper = [&trace](int n) -> Coro<> {
                  try {
                      co_await sleep(n * 1ms);
                      trace("end" + std::to_string(n));
                  } catch (const CancelledError&) {
                      trace("c" + std::to_string(n));
                      throw;
                  }
              };
              Task<> first;
              Task<> second;
              auto body = [&](TaskGroup& group) -> Coro<> {
                  first = group.create_task(sleeper(1));
                  second = group.create_task(sleeper(2));
                  first.add_done_callback([&] { trace("cancel:" + text(second.cancel())); });
                  co_return;
              };
              co_await task_group(body);
              trace(text(first.cancelled()) + text(second.cancelled()) + std::to_string(current_task().cancelling()));
          }) == "end1 cancel:True c2 FalseTrue0");
}

TEST_CASE("a cancellation from outside while a deadline's is handled") {
    const auto run = [](bool taken_back) {
        return trace_of([taken_back](Trace& trace) -> Coro<> {
            CurrentTask task = current_task();
            bool expired = false;
            auto body = [&](Timeout& limit) -> Coro<> {
                co_await cancelled_in_handler(trace, [&] {
                    trace("struck" + std::to_string(task.cancelling()));
                    expired = limit.expired();
                    task.cancel("outside");
                    if (taken_back) task.uncancel();
                });
            };
            try {
                co_await timeout(1ms, body);
            } catch (const TimeoutError&) {
                trace("TimeoutError");
            } catch (const CancelledError& error) {
                trace("cancelled:" + message(error));
            }
            trace(std::to_string(task.cancelling()) + text(expired));
            if (!taken_back) task.uncancel();
        });
    };
    CHECK(run(false) == "struck1 again:outside cancelled:outside 1True");
    CHECK(run(true) == "struck1 again:outside TimeoutError 0True");
}

TEST_CASE("a cancellation from outside while wait_for cancels what it awaits") {
    CHECK(trace_of([](Trace& trace) -> Coro<> {
              CurrentTask task = current_task();
              auto on_cancel = [&] {
                  trace("body" + std::to_string(task.cancelling()));
                  task.cancel("x");
              };
              try {
                  co_await wait_for(cancelled_in_handler(trace, on_cancel, 1ms), 1ms);
              } catch (const TimeoutError&) {
                  trace("TimeoutError");
              } catch (const CancelledError& error) {
                  trace("cancelled:" + message(error));
              }
              trace(std::to_string(task.cancelling()));
              task.uncancel();
          }) == "body1 again:x cancelled:x 1");
}

TEST_CASE("a done-callback of a shield cancels what it shields") {
    CHECK(trace_of([](Trace& trace) -> Coro<> {
              Task<> inner = create_task([&trace]() -> Coro<> {
                  try {
                      co_await sleep(2ms);
                      trace("inner");
                  } catch (const CancelledError&) {
                      trace("inner_cancelled");
                      throw;
                  }
              });
              Future<> outer = shield(inner);
              outer.add_done_callback(
                  [&](Future<> done) { trace("cb:" + text(done.cancelled()) + text(inner.cancel())); });
              outer.cancel();
              const std::string end = co_await ending(inner);
              if (end == "CancelledError") trace("end");
          }) == "cb:TrueTrue inner_cancelled end");
}

TEST_CASE("a done-callback cancels what as_completed waits for") {
    CHECK(trace_of([](Trace& trace) -> Coro<> {
              std::vector<Task<int>> tasks;
              for (int i = 1; i <= 2; ++i)
                  tasks.push_back(create_task([i]() -> Coro<int> { co_return co_await sleep(i * 1ms, i); }));
              tasks[0].add_done_callback([&] { tasks[1].cancel(); });
              auto ends = as_completed(tasks).coroutines();
              for (auto& coroutine : ends) {
                  try {
                      const int n = co_await std::move(coroutine);
                      trace(std::to_string(n));
                  } catch (const CancelledError&) {
                      trace("cancelled");
                  }
              }
          }) == "1 cancelled");
}
