// Rules 1 to 11: iterations, scheduling, timers, stop.
#include "pipe.hpp"
#include "twin.hpp"

using namespace weft;
using namespace weft::conformance;

LOOP_TWIN(1, "a callback scheduled by a callback runs in the next iteration, after another poll", real_loop) {
    loop.call_soon([&] {
        trace("first");
        loop.call_soon(trace, "scheduled by first");
    });
    loop.call_soon(trace, "second");
    for (int i = 0; i < 2; ++i) {
        loop.stop();
        loop.run_forever();  // one iteration
        trace("--");
    }

    Pipe pipe;
    int waited = 0;
    std::function<void()> count = [&] {
        ++waited;
        loop.call_soon([&] { count(); });
    };
    loop.add_reader(pipe.read_end(), [&] {
        pipe.get();
        trace("I/O within 61 iterations: " + yes(waited <= 61));
        loop.stop();
    });
    loop.call_soon([&] { pipe.put(); });
    loop.call_soon([&] { count(); });
    loop.run_forever();
    loop.remove_reader(pipe.read_end());
}

LOOP_TWIN(2, "what is ready precedes I/O, and I/O precedes due timers", real_loop) {
    Pipe pipe;
    pipe.put();
    loop.call_at(loop.time() - 1s, trace, "timer");
    loop.add_reader(pipe.read_end(), [] { trace("I/O"); });
    loop.call_soon(trace, "ready");
    loop.stop();
    loop.run_forever();
    loop.remove_reader(pipe.read_end());
}

TWIN(3, "call_soon is a strict FIFO across callbacks, futures and tasks") {
    EventLoop& loop = get_running_loop();
    Future<> future = loop.create_future<void>();
    auto wait = [&]() -> Coro<> {
        co_await future;
        trace("task that waited");
    };
    auto work = []() -> Coro<> {
        trace("new task");
        co_return;
    };
    Task<> waiting = loop.create_task(wait());
    co_await turns(1);
    future.add_done_callback([] { trace("done-callback"); });
    loop.call_soon(trace, "first");
    future.set_result();
    loop.call_soon(trace, "second");
    Task<> working = loop.create_task(work());
    loop.call_soon(trace, "third");
    co_await turns(2);
    co_await waiting;
    co_await working;
}

LOOP_TWIN(4, "call_soon_threadsafe shares the FIFO of call_soon and wakes a loop that waits", real_loop) {
    loop.call_soon(trace, "soon");
    loop.call_soon_threadsafe(trace, "threadsafe, from the loop's thread");
    loop.call_soon(trace, "soon again");
    const auto work = [&loop] {
        std::this_thread::sleep_for(10ms);
        for (int number = 0; number < 3; ++number)
            loop.call_soon_threadsafe(trace, "from another thread: " + std::to_string(number));
        loop.call_soon_threadsafe([&loop] { loop.stop(); });
    };
    std::thread thread;
    loop.call_soon([&] { thread = std::thread(work); });
    loop.run_forever();
    thread.join();
    loop.call_soon([&] {
        std::thread([&] { loop.call_soon_threadsafe(trace, "from a thread that has ended"); }).join();
        loop.call_soon(trace, "scheduled after it ended");
        loop.call_soon([&] { loop.stop(); });
    });
    loop.run_forever();
}

LOOP_TWIN(5, "call_later(0) runs after everything that is ready already") {
    loop.call_later(0s, trace, "later");
    loop.call_soon([&] {
        trace("ready");
        loop.call_soon(trace, "scheduled by ready");
        loop.call_soon([&] { loop.stop(); });
    });
    loop.call_soon(trace, "ready too");
    loop.run_forever();
}

LOOP_TWIN(6, "a timer is not early", real_loop) {
    const TimePoint when = loop.time() + 10ms;
    const TimerHandle handle = loop.call_at(when, [&] {
        trace("early: " + yes(loop.time() < when));
        loop.stop();
    });
    trace("due when asked for: " + yes(handle.when() == when));
    loop.run_forever();
}

LOOP_TWIN(7, "timers with equal deadlines fire in the order they were scheduled, others by deadline") {
    const TimePoint now = loop.time();
    loop.call_at(now - 1s, trace, "third");
    loop.call_at(now - 3s, trace, "first");
    loop.call_at(now - 2s, trace, "second");
    for (int number = 0; number < 12; ++number)
        loop.call_at(now - 500ms, trace, "equal " + std::to_string(number));
    loop.stop();
    loop.run_forever();
}

LOOP_TWIN(8, "a negative delay runs soon and is no error") {
    loop.call_later(-1s, trace, "one second ago");
    loop.call_later(-1h, trace, "one hour ago");
    loop.call_soon(trace, "soon");
    loop.stop();
    loop.run_forever();
}

LOOP_TWIN(9, "cancelled timers never run, however many; the others keep their order") {
    const TimePoint now = loop.time();
    std::vector<int> ran;
    std::vector<TimerHandle> timers;
    for (int number = 0; number < 400; ++number)
        timers.push_back(loop.call_at(now - 1s + number * 1ms, [&ran, number] { ran.push_back(number); }));
    for (std::size_t number = 0; number < timers.size(); ++number)
        if (number % 4 != 0) timers[number].cancel();
    loop.stop();
    loop.run_forever();
    trace(std::to_string(ran.size()) + " ran");
    bool in_order = true;
    for (std::size_t index = 0; index < ran.size(); ++index)
        in_order = in_order && ran[index] == static_cast<int>(4 * index);
    trace("in order: " + yes(in_order));
    int cancelled = 0;
    for (const TimerHandle& timer : timers)
        cancelled += timer.cancelled();
    trace("cancelled: " + std::to_string(cancelled));
}

LOOP_TWIN(10, "a timer or callback cancelled by an earlier callback of the same iteration does not run") {
    const TimePoint now = loop.time();
    TimerHandle second;
    Handle ready;
    loop.call_at(now - 2s, [&] {
        trace("first");
        second.cancel();
        second.cancel();
        trace("cancelled: " + yes(second.cancelled()));
    });
    second = loop.call_at(now - 1s, trace, "second");
    loop.call_soon([&] { ready.cancel(); });
    ready = loop.call_soon(trace, "ready");
    loop.stop();
    loop.run_forever();
    trace("ran");
    Handle done = loop.call_soon(trace, "not cancelled");
    loop.stop();
    loop.run_forever();
    done.cancel();
    trace("cancelled after it ran: " + yes(done.cancelled()));
}

LOOP_TWIN(11, "stop() lets the current iteration finish; before a run it makes it exactly one iteration") {
    loop.call_soon([&] {
        trace("a");
        loop.call_soon(trace, "b");
    });
    loop.stop();
    loop.run_forever();
    trace("-- again");
    loop.stop();
    loop.run_forever();
    trace("-- stop inside");
    loop.call_soon([&] {
        loop.stop();
        loop.call_soon(trace, "scheduled after stop");
    });
    loop.call_soon(trace, "same iteration");
    loop.run_forever();
    trace("-- left");
    loop.stop();
    loop.run_forever();
}
