// Rules 116, 117 and 119: the runner, Ctrl-C, exception handlers that fail.
#include "twin.hpp"

#include <unistd.h>

#include <csignal>

using namespace weft;
using namespace weft::conformance;

LOOP_TWIN(116, "tasks left behind are cancelled and awaited; their errors are reported") {
    auto lingers = []() -> Coro<> {
        const std::exception_ptr error = co_await error_of(sleep_ms(1000));
        co_await turns(2);
        trace("cleaned up");
        std::rethrow_exception(error);
    };
    auto fails = []() -> Coro<> {
        try {
            co_await sleep_ms(1000);
        } catch (const CancelledError&) {
            throw ValueError("in the cleanup");
        }
    };
    auto main = [&]() -> Coro<std::string> {
        EventLoop& running = get_running_loop();
        running.set_exception_handler(report);
        running.create_task(lingers());
        running.create_task(fails());
        co_await turns(1);
        trace("main ends");
        co_return "value";
    };
    const auto make_loop = [] { return testing::make_simulated_loop(); };
    Runner runner(RunOptions().loop_factory(make_loop));
    trace(runner.run(main()));
    EventLoop* first = &runner.get_loop();
    auto nothing = []() -> Coro<> {
        trace("never");
        co_return;
    };
    auto again = [&]() -> Coro<> {
        trace("tasks still there: " + std::to_string(all_tasks().size() - 1));
        trace("same loop: " + yes(&get_running_loop() == first));
        trace(error_of_call([&] { Runner(RunOptions().loop_factory(make_loop)).run(nothing()); }));
        throw ValueError("of main");
        co_return;
    };
    trace(error_of_call([&] { runner.run(again()); }));
    trace("close");
    runner.close();
    runner.close();
    trace(error_of_call([&] { runner.run(nothing()); }));
    trace(error_of_call([&] { runner.get_loop(); }));
}

LOOP_TWIN(117,
          "Ctrl-C cancels the main task, then KeyboardInterrupt; one that swallows it gives its result; a second one "
          "leaves") {
    const auto interrupt_soon = [] { get_running_loop().call_soon([] { ::kill(::getpid(), SIGINT); }); };
    auto cancelled = [&]() -> Coro<> {
        interrupt_soon();
        try {
            co_await sleep_ms(1000);
        } catch (const CancelledError&) {
            trace("cancelled, cancelling: " + std::to_string(current_task().cancelling()));
            throw;
        }
    };
    auto swallows = [&]() -> Coro<std::string> {
        interrupt_soon();
        trace(co_await ending(sleep_ms(1000)));
        co_await turns(1);
        co_return "value";
    };
    auto fails = [&]() -> Coro<> {
        interrupt_soon();
        co_await error_of(sleep_ms(1000));
        throw ValueError("in the cleanup");
    };
    auto twice = [&]() -> Coro<> {
        interrupt_soon();
        trace(co_await ending(sleep_ms(1000)));
        interrupt_soon();
        trace(co_await ending(sleep_ms(1000)));
        trace("cleaned up");
    };
    {
        Runner runner;
        trace(error_of_call([&] { runner.run(cancelled()); }));
    }
    {
        Runner runner;
        trace(error_of_call([&] { runner.run(fails()); }));
    }
    {
        Runner runner;
        trace(runner.run(swallows()));
        trace("again");
        trace(ending_of_call([&] { runner.run(cancelled()); }));
    }
    trace("-- and by somebody else");
    auto cancelled_too = [&]() -> Coro<> {
        interrupt_soon();
        (void)co_await error_of(sleep_ms(1000));
        get_running_loop().call_later(10ms, [task = current_task()]() mutable { task.cancel(); });
        std::rethrow_exception(co_await error_of(sleep_ms(1000)));
    };
    auto cancels_itself = []() -> Coro<> {
        current_task().cancel();
        co_await turns(1);
    };
    {
        Runner runner;
        trace(error_of_call([&] { runner.run(cancelled_too()); }));
    }
    {
        Runner runner;
        trace(error_of_call([&] { runner.run(cancels_itself()); }));
    }
    trace("-- twice");
    {
        Runner runner;
        trace(error_of_call([&] { runner.run(twice()); }));
        trace("close");
    }
}

TWIN(119, "an exception handler that fails is reported by the default one, and the loop goes on") {
    EventLoop& loop = get_running_loop();
    std::vector<std::string> lines;
    loop.set_logger([&](std::string_view line) { lines.emplace_back(line); });
    const auto fail = [] { throw ValueError("of the callback"); };
    loop.set_exception_handler([](EventLoop&, const ExceptionContext& context) {
        trace("handler: " + error_text(context.exception));
        throw RuntimeError("of the handler");
    });
    loop.call_soon(fail);
    loop.call_soon(trace, "the loop goes on");
    co_await turns(1);
    std::string text;
    for (const std::string& line : lines)
        text += line + "\n";
    trace(lines[0].substr(0, lines[0].find('\n')));
    trace("mentions the callback's error: " + yes(text.find("of the callback") != std::string::npos));
    trace("-- the default handler");
    lines.clear();
    loop.set_exception_handler({});
    loop.call_soon(fail);
    co_await turns(1);
    trace(std::to_string(lines.size()) +
          " logged, about a callback: " + yes(lines[0].starts_with("Exception in callback")));
    loop.set_logger({});
}
