// Rules 12 to 22: what the loop refuses, close, interrupts, descriptors, signals, debug mode.
#include "pipe.hpp"
#include "twin.hpp"

#include <algorithm>
#include <csignal>
#include <functional>
#include <set>

using namespace weft;
using namespace weft::conformance;

namespace {

/// Tells when nothing holds it any more.
class Freed {
public:
    Freed(std::string what, std::vector<std::string>& freed) : what_(std::move(what)), freed_(&freed) {}
    Freed(Freed&& other) noexcept : what_(std::move(other.what_)), freed_(std::exchange(other.freed_, nullptr)) {}
    Freed& operator=(Freed&&) = delete;
    ~Freed() {
        if (freed_) freed_->push_back(what_);
    }
    void operator()() const { trace(what_ + " ran"); }

private:
    std::string what_;
    std::vector<std::string>* freed_;
};

std::string joined(const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& word : words)
        text += (text.empty() ? "" : ", ") + word;
    return text;
}

}  // namespace

LOOP_TWIN(12, "a loop cannot be entered again, nor another one inside it") {
    const auto other = testing::make_simulated_loop();
    loop.call_soon([&] {
        trace("running: " + yes(loop.is_running()));
        trace(error_of_call([&] { loop.run_forever(); }));
        trace(error_of_call([&] { other->run_forever(); }));
        const Future<> future = loop.create_future<void>();
        trace(error_of_call([&] { loop.run_until_complete(future); }));
        trace("still running: " + yes(loop.is_running()));
    });
    loop.stop();
    loop.run_forever();
    trace("running: " + yes(loop.is_running()));
    other->close();
}

LOOP_TWIN(13, "run_until_complete on a loop that is stopped first is an error, and the task goes on later") {
    auto work = []() -> Coro<std::string> {
        co_await turns(3);
        co_return "result";
    };
    const Task<std::string> task = loop.create_task(work());
    loop.call_soon([&] { loop.stop(); });
    trace(error_of_call([&] { loop.run_until_complete(task); }));
    trace("done: " + yes(task.done()));
    trace(loop.run_until_complete(task));
}

LOOP_TWIN(14, "close() while running is an error; twice does nothing; afterwards nothing can be scheduled") {
    loop.call_soon([&] { trace(error_of_call([&] { loop.close(); })); });
    loop.stop();
    loop.run_forever();
    const Future<> future = loop.create_future<void>();
    loop.close();
    loop.close();
    trace("closed: " + yes(loop.is_closed()));
    auto work = []() -> Coro<> {
        trace("never");
        co_return;
    };
    trace(error_of_call([&] { loop.call_soon(trace, "never"); }));
    trace(error_of_call([&] { loop.call_later(10ms, trace, "never"); }));
    trace(error_of_call([&] { loop.call_at(TimePoint(), trace, "never"); }));
    trace(error_of_call([&] { loop.call_soon_threadsafe(trace, "never"); }));
    trace(error_of_call([&] { (void)loop.create_task(work()); }));
    trace(error_of_call([&] { loop.run_forever(); }));
    trace(error_of_call([&] { loop.run_until_complete(future); }));
}

LOOP_TWIN(15, "close() drops what is scheduled without running it, and frees it") {
    std::vector<std::string> freed;
    loop.call_soon(Freed("callback", freed));
    loop.call_later(10ms, Freed("timer", freed));
    trace("freed: " + std::to_string(freed.size()));
    loop.close();
    std::ranges::sort(freed);
    trace("freed: " + joined(freed));
}

LOOP_TWIN(16, "an exception in a callback goes to the exception handler, and the loop goes on") {
    const auto fail = [] { throw ValueError("broken"); };
    loop.call_soon(fail);
    loop.call_soon(trace, "next");
    loop.call_later(0s, fail);
    loop.stop();
    loop.run_forever();
    trace("-- a done-callback, and what is no ordinary error");
    Future<> future = loop.create_future<void>();
    future.add_done_callback(fail);
    future.add_done_callback([] { trace("the next one runs"); });
    future.set_result();
    loop.call_soon([] { throw CancelledError("thrown"); });
    loop.stop();
    loop.run_forever();
}

LOOP_TWIN(17,
          "KeyboardInterrupt and SystemExit from a callback or a task leave the loop at once; it can be run again") {
    loop.call_soon(trace, "before");
    loop.call_soon([] { throw KeyboardInterrupt(); });
    loop.call_soon(trace, "after");
    trace(ending_of_call([&] { loop.run_forever(); }));
    trace("running: " + yes(loop.is_running()));
    loop.stop();
    loop.run_forever();

    auto leave = []() -> Coro<> {
        throw SystemExit(3);
        co_return;
    };
    auto work = []() -> Coro<std::string> {
        co_await turns(2);
        co_return "result";
    };
    const Task<> task = loop.create_task(leave());
    trace(error_of_call([&] { loop.run_until_complete(task); }));
    trace("done: " + yes(task.done()));
    trace(error_text(task.exception()));
    trace(error_of_call([&] { loop.run_until_complete(leave()); }));
    trace(loop.run_until_complete(work()));
}

LOOP_TWIN(18, "removing a watcher in the same iteration cancels its queued callback", real_loop) {
    Pipe pipe;
    pipe.put();
    loop.add_reader(pipe.read_end(), [] { trace("called"); });
    loop.call_soon([&] { trace("removed: " + yes(loop.remove_reader(pipe.read_end()))); });
    for (int i = 0; i < 2; ++i) {
        loop.stop();
        loop.run_forever();
        trace("--");
    }
    trace("removed again: " + yes(loop.remove_reader(pipe.read_end())));
}

LOOP_TWIN(19, "a second add_reader replaces the first; what the first had queued does not run", real_loop) {
    Pipe pipe;
    pipe.put();
    loop.add_reader(pipe.read_end(), [] { trace("old"); });
    loop.call_soon([&] {
        loop.add_reader(pipe.read_end(), [&] {
            pipe.get();
            trace("new");
        });
    });
    for (int i = 0; i < 2; ++i) {
        loop.stop();
        loop.run_forever();
        trace("--");
    }
    loop.remove_reader(pipe.read_end());
}

TWIN(20, "a signal's callback runs as an ordinary callback, not where the signal arrives", real_loop) {
    EventLoop& loop = get_running_loop();
    Future<> arrived = loop.create_future<void>();
    const auto handle = [arrived]() mutable {
        trace("signal");
        arrived.set_result();
    };
    loop.add_signal_handler(SIGUSR1, handle);
    ::kill(::getpid(), SIGUSR1);
    trace("after kill");
    co_await arrived;
    Future<std::string> again = loop.create_future<std::string>();
    loop.add_signal_handler(SIGUSR1, [again]() mutable { again.set_result("the second handler only"); });
    ::kill(::getpid(), SIGUSR1);
    trace(co_await again);
    trace("removed: " + yes(loop.remove_signal_handler(SIGUSR1)));
    trace("removed again: " + yes(loop.remove_signal_handler(SIGUSR1)));
    trace(ending_of_call([&] { loop.add_signal_handler(SIGKILL, handle); }));
    trace(ending_of_call([&] { loop.add_signal_handler(0, handle); }));
}

TWIN(21, "in debug mode scheduling from a wrong thread is an error; call_soon_threadsafe is not", real_loop) {
    EventLoop& loop = get_running_loop();
    loop.set_debug(true);
    std::vector<std::string> errors;
    std::thread([&] {
        errors.push_back(error_of_call([&] { loop.call_soon(trace, "never"); }));
        errors.push_back(error_of_call([&] { loop.call_later(10ms, trace, "never"); }));
        errors.push_back(error_of_call([&] { loop.call_at(TimePoint(), trace, "never"); }));
        errors.push_back(error_of_call([&] { loop.call_soon_threadsafe(trace, "from another thread"); }));
    }).join();
    for (const std::string& error : errors)
        trace(error);
    co_await turns(2);
    trace("-- without debug mode");
    loop.set_debug(false);
    errors.clear();
    std::thread([&] { errors.push_back(error_of_call([&] { loop.call_soon(trace, "ran"); })); }).join();
    trace(errors[0]);
    co_await turns(2);
}

TWIN(22, "in debug mode a slow callback is logged with what it was, a fast one is not", real_loop) {
    EventLoop& loop = get_running_loop();
    std::set<std::string, std::less<>> kinds;
    loop.set_logger([&](std::string_view line) {
        if (line.starts_with("Executing <") && line.ends_with(" seconds"))
            kinds.emplace(line.substr(11, line.find_first_of(" >", 11) - 11));
    });
    const auto block = [] { std::this_thread::sleep_for(10ms); };
    auto work = [&]() -> Coro<> {
        block();
        co_return;
    };
    loop.slow_callback_duration = 5ms;
    loop.call_soon(block);
    co_await turns(1);
    trace("without debug mode: " + std::to_string(kinds.size()));
    loop.set_debug(true);
    loop.slow_callback_duration = 10s;
    loop.call_soon(block);
    co_await turns(1);
    trace("fast: " + std::to_string(kinds.size()));
    loop.slow_callback_duration = 5ms;
    loop.call_soon(block);
    co_await turns(1);
    trace("callback: " + yes(kinds.contains("Handle")));
    co_await loop.create_task(work());
    trace("task: " + yes(kinds.contains("Task")));
    loop.set_debug(false);
    loop.set_logger({});
}
