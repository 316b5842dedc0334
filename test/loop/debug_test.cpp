// Debug mode, the logger and the exception handler.
#include "support/harness.hpp"

#include <weft/loop/slow_callback_timer.hpp>

#include <cstdlib>
#include <thread>

using namespace weft;
using namespace weft::testing;

TEST_CASE("rule 21: in debug mode scheduling from a wrong thread is an error; call_soon_threadsafe is not") {
    auto loop = make_real_loop();
    loop->set_debug(true);
    std::string soon, later, at, task, threadsafe;
    loop->call_later(30s, [&] { loop->stop(); });
    loop->call_soon([&] {
        std::thread([&] {
            soon = ending_of_call([&] { loop->call_soon([] {}); });
            later = ending_of_call([&] { loop->call_later(1s, [] {}); });
            at = ending_of_call([&] { loop->call_at(loop->time(), [] {}); });
            task = ending_of_call([&] { loop->create_task(turns(1)); });
            threadsafe = ending_of_call([&] { loop->call_soon_threadsafe([&] { loop->stop(); }); });
        }).join();
    });
    loop->run_forever();
    CHECK(soon == "RuntimeError");
    CHECK(later == "RuntimeError");
    CHECK(at == "RuntimeError");
    CHECK(task == "RuntimeError");
    CHECK(threadsafe == "ok");
}

TEST_CASE("rule 22: in debug mode a slow callback is logged, a fast one is not") {
    auto loop = make_simulated_loop();
    std::vector<std::string> lines;
    loop->set_logger([&](std::string_view line) { lines.emplace_back(line); });
    loop->set_debug(true);
    CHECK(loop->slow_callback_duration == 100ms);
    const auto busy = [] {
        const auto end = Clock::now() + 3ms;
        while (Clock::now() < end) {}
    };
    loop->slow_callback_duration = 1h;
    loop->call_soon(busy);
    loop->stop();
    loop->run_forever();
    CHECK(lines.empty());
    loop->slow_callback_duration = 1ms;
    auto slow_task = [&]() -> Coro<> {
        busy();
        co_return;
    };
    loop->call_soon(busy);
    Task<> task = loop->create_task(slow_task(), TaskOptions().name("slow one"));
    loop->stop();
    loop->run_forever();
    REQUIRE(lines.size() == 2);
    CHECK(lines[0].starts_with("Executing <Handle "));
    CHECK(lines[0].find("> took 0.0") != std::string::npos);
    CHECK(lines[1].starts_with("Executing <Task pending name='slow one' coro=<"));
    CHECK(lines[1].find("debug_test.cpp:") != std::string::npos);
    CHECK(task.done());
}

TEST_CASE("debug mode can be asked for by the run or by the environment") {
    CHECK_FALSE(make_simulated_loop()->get_debug());
    ::setenv("WEFT_DEBUG", "1", 1);
    const bool on = make_simulated_loop()->get_debug();
    ::setenv("WEFT_DEBUG", "", 1);
    const bool empty = make_simulated_loop()->get_debug();
    ::unsetenv("WEFT_DEBUG");
    CHECK(on);
    CHECK_FALSE(empty);
    Runner runner(RunOptions().debug(true).loop_factory([] { return make_simulated_loop(); }));
    CHECK(runner.get_loop().get_debug());
}

TEST_CASE("rule 119: an exception handler that fails is reported by the default one, and the loop survives") {
    auto loop = make_simulated_loop();
    std::vector<std::string> lines;
    loop->set_logger([&](std::string_view line) { lines.emplace_back(line); });
    loop->set_exception_handler([](EventLoop&, const ExceptionContext&) { throw ValueError("broken handler"); });
    bool next = false;
    loop->call_soon([] { throw RuntimeError("first"); });
    loop->call_soon([&] { next = true; });
    loop->stop();
    loop->run_forever();
    CHECK(next);
    REQUIRE(lines.size() == 2);
    CHECK(lines[0].find("Unhandled error in exception handler") == 0);
    CHECK(lines[0].find("broken handler") != std::string::npos);
    CHECK(lines[1].find("first") != std::string::npos);
}

TEST_CASE("the default exception handler writes message, task and exception; an empty handler restores it") {
    auto loop = make_simulated_loop();
    std::vector<std::string> lines;
    loop->set_logger([&](std::string_view line) { lines.emplace_back(line); });
    CHECK_FALSE(loop->get_exception_handler());
    int handled = 0;
    loop->set_exception_handler([&](EventLoop& at, const ExceptionContext& context) {
        ++handled;
        CHECK(&at == loop.get());
        CHECK(context.message == "one");
    });
    loop->call_exception_handler(ExceptionContext("one"));
    CHECK(handled == 1);
    CHECK(lines.empty());
    loop->set_exception_handler(nullptr);
    loop->call_exception_handler(ExceptionContext("two", std::make_exception_ptr(ValueError("v")), "Task-x"));
    REQUIRE(lines.size() == 1);
    CHECK(lines[0] == "two\n  task: Task-x\n  exception: weft::ValueError: v");
}

TEST_CASE("the exception handler is told which callback failed; the default one writes that, protocol and transport") {
    auto loop = make_simulated_loop();
    std::vector<std::string> lines;
    loop->set_logger([&](std::string_view line) { lines.emplace_back(line); });
    struct Failing {
        void operator()() const { throw ValueError("x"); }
    };
    loop->call_soon(Failing());
    loop->call_later(0s, Failing());
    loop->call_soon(copy_context(), Failing());
    loop->call_later(1s, [&] { loop->stop(); });
    loop->run_forever();
    ExceptionContext context("three");
    context.protocol = "<P>";
    context.transport = "<T>";
    loop->call_exception_handler(context);
    REQUIRE(lines.size() == 4);
    // The last to be scheduled, for which no timer had to come.
    CHECK(lines[1].find("Failing\n  handle: <Handle ") != std::string::npos);
    CHECK(lines[0].starts_with("Exception in callback "));
    CHECK(lines[0].find("Failing\n  handle: <Handle ") != std::string::npos);
    CHECK(lines[0].ends_with("Failing>\n  exception: weft::ValueError: x"));
    CHECK(lines[2].find("Failing\n  handle: <TimerHandle when=") != std::string::npos);
    CHECK(lines[3] == "three\n  protocol: <P>\n  transport: <T>");
}

TEST_CASE("an exception handler may replace itself") {
    auto loop = make_simulated_loop();
    Trace trace;
    loop->set_exception_handler([&trace](EventLoop& at, const ExceptionContext&) {
        at.set_exception_handler([&trace](EventLoop&, const ExceptionContext&) { trace("second"); });
        trace("first");
    });
    loop->call_exception_handler(ExceptionContext("a"));
    loop->call_exception_handler(ExceptionContext("b"));
    CHECK(trace.text() == "first second");
}

TEST_CASE("KeyboardInterrupt passes through an exception handler") {
    auto loop = make_simulated_loop();
    loop->set_exception_handler([](EventLoop&, const ExceptionContext&) { throw KeyboardInterrupt(); });
    loop->call_soon([] { throw ValueError("x"); });
    CHECK(ending_of_call([&] { loop->run_forever(); }) == "KeyboardInterrupt");
}

namespace {
Coro<> never_awaited() {
    co_return;
}
}  // namespace

TEST_CASE("in debug mode a coroutine that nothing awaited is logged, with its name and where it was dropped") {
    for (const bool debug : {true, false}) {
        auto loop = make_simulated_loop();
        std::vector<std::string> lines;
        loop->set_logger([&](std::string_view line) { lines.emplace_back(line); });
        loop->set_debug(debug);
        const auto body = []() -> Coro<> {
            { Coro<> dropped = never_awaited(); }
            Coro<> closed = never_awaited();
            closed.close();
            co_await never_awaited();
        };
        loop->run_until_complete(loop->create_task(body(), TaskOptions().name("forgetful")));
        if (!debug) {
            CHECK(lines.empty());
            continue;
        }
        REQUIRE(lines.size() == 1);
        CHECK(lines[0].starts_with("coroutine '"));
        CHECK(lines[0].find("never_awaited") != std::string::npos);
        CHECK(lines[0].find("debug_test.cpp:") != std::string::npos);
        CHECK(lines[0].find("was never awaited; it was dropped in <Task running name='forgetful'") !=
              std::string::npos);
    }
}

TEST_CASE("rule 22: a callback that the ready queue does not run is logged if it is slow, in debug mode only") {
    auto loop = make_simulated_loop();
    std::vector<std::string> lines;
    loop->set_logger([&](std::string_view line) { lines.emplace_back(line); });
    loop->slow_callback_duration = Duration::zero();
    { const detail::SlowCallbackTimer timer(*loop, "Protocol.data_received()"); }
    CHECK(lines.empty());
    loop->set_debug(true);
    { const detail::SlowCallbackTimer timer(*loop, "Protocol.data_received()"); }
    loop->slow_callback_duration = 1h;
    { const detail::SlowCallbackTimer timer(*loop, "Protocol.eof_received()"); }
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].starts_with("Executing <Protocol.data_received()> took 0."));
    CHECK(lines[0].ends_with(" seconds"));
}

TEST_CASE("the default exception handler writes the future and where its task was made, if it is told") {
    auto loop = make_simulated_loop();
    std::vector<std::string> lines;
    loop->set_logger([&](std::string_view line) { lines.emplace_back(line); });
    const auto fails = []() -> Coro<> {
        throw ValueError("x");
        co_return;
    };
    const auto waits = []() -> Coro<> { co_await sleep(1h); };
    { Task<> failed = loop->create_task(fails(), TaskOptions().name("failing")); }
    { Task<> pending = loop->create_task(waits(), TaskOptions().name("waiting")); }
    {
        Future<> future = loop->create_future<void>();
        future.set_exception(ValueError("y"));
    }
    loop->stop();
    loop->run_forever();
    loop->close();
    REQUIRE(lines.size() == 3);
    CHECK(lines[0] == "Future exception was never retrieved\n"
                      "  future: <Future finished exception=weft::ValueError: y>\n"
                      "  exception: weft::ValueError: y");
    CHECK(lines[1].starts_with("Task exception was never retrieved\n  task: failing\n"
                               "  future: <Task finished name='failing'"));
    CHECK(lines[2].starts_with("Task was destroyed but it is pending!\n  task: waiting\n"
                               "  future: <Task pending name='waiting'"));
    CHECK(lines[2].find(" wait_for=<sleep>>\n") != std::string::npos);
    for (std::size_t i : {1, 2}) {
        CHECK(lines[i].find("\n  created at: ") != std::string::npos);
        CHECK(lines[i].find("debug_test.cpp:") != std::string::npos);
    }
}

TEST_CASE("the tasks of a loop that runs on another thread are not to be read; in debug mode RuntimeError") {
    auto loop = make_real_loop();
    loop->set_debug(true);
    std::string all, current;
    loop->call_soon([&] {
        std::thread([&] {
            all = ending_of_call([&] { (void)all_tasks(*loop); });
            current = ending_of_call([&] { (void)current_task(*loop); });
        }).join();
        loop->stop();
    });
    loop->run_forever();
    CHECK(all == "RuntimeError");
    CHECK(current == "RuntimeError");
    CHECK(all_tasks(*loop).empty());
    CHECK_FALSE(current_task(*loop));
}
