// Runner and run(): leftover tasks, interrupts, exit status.
#include "support/harness.hpp"

#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <thread>
#include <unistd.h>

using namespace weft;
using namespace weft::testing;

namespace {

RunOptions simulated() {
    return RunOptions().loop_factory([] { return make_simulated_loop(); });
}

/// Catches what the process writes to standard error while it lives.
class CapturedStderr {
public:
    CapturedStderr() : file_(std::tmpfile()), saved_(::dup(2)) {
        std::fflush(stderr);
        ::dup2(::fileno(file_), 2);
    }
    CapturedStderr(const CapturedStderr&) = delete;
    CapturedStderr& operator=(const CapturedStderr&) = delete;
    ~CapturedStderr() {
        restore();
        std::fclose(file_);
    }
    std::string text() {
        restore();
        std::string result;
        char buffer[512];
        std::rewind(file_);
        while (const std::size_t n = std::fread(buffer, 1, sizeof buffer, file_))
            result.append(buffer, n);
        return result;
    }

private:
    void restore() {
        if (saved_ < 0) return;
        std::fflush(stderr);
        ::dup2(saved_, 2);
        ::close(std::exchange(saved_, -1));
    }
    std::FILE* file_;
    int saved_;
};

/// SIGINT at its default, as a program has it; doctest has a handler of its own.
class DefaultInterrupt {
public:
    DefaultInterrupt() {
        struct sigaction standard{};
        standard.sa_handler = SIG_DFL;
        REQUIRE(::sigaction(SIGINT, &standard, &before_) == 0);
    }
    DefaultInterrupt(const DefaultInterrupt&) = delete;
    DefaultInterrupt& operator=(const DefaultInterrupt&) = delete;
    ~DefaultInterrupt() { ::sigaction(SIGINT, &before_, nullptr); }

private:
    struct sigaction before_{};
};

Coro<int> gives(int status) {
    co_await sleep(1ms);
    co_return status;
}
Coro<> inner_failure() {
    co_await sleep(1ms);
    throw ValueError("it broke");
}
Coro<> outer_failure() {
    co_await inner_failure();
}

}  // namespace

TEST_CASE("run gives 0, or the value of a Coro<int>") {
    CHECK(run(turns(1)) == 0);
    CHECK(run(gives(0)) == 0);
    CHECK(run(gives(7), simulated()) == 7);
    auto text = []() -> Coro<std::string> { co_return "ignored"; };
    CHECK(run(text()) == 0);
}

TEST_CASE("run prints an exception with where it passed, and gives 1") {
    CapturedStderr captured;
    const int status = run(outer_failure());
    const std::string text = captured.text();
    CHECK(status == 1);
    CHECK(text.find("weft::ValueError: it broke") != std::string::npos);
    const auto outer = text.find("outer_failure");
    const auto inner = text.find("inner_failure");
    CHECK(outer != std::string::npos);
    CHECK(inner != std::string::npos);
    CHECK(outer < inner);
    CHECK(text.find("runner_test.cpp") != std::string::npos);
}

TEST_CASE("run gives the code of a SystemExit, of the main task or another, and prints nothing") {
    CapturedStderr captured;
    auto leave = []() -> Coro<> {
        co_await sleep(1ms);
        throw SystemExit(9);
    };
    auto background = [&]() -> Coro<> {
        (void)create_task(leave());
        co_await sleep(1h);
    };
    const int direct = run(leave(), simulated());
    const int other = run(background(), simulated());
    CHECK(captured.text().empty());
    CHECK(direct == 9);
    CHECK(other == 9);
}

TEST_CASE("rule 117: Ctrl-C cancels the main task; run gives 130") {
    const DefaultInterrupt interrupt;
    bool cleaned = false;
    auto body = [&]() -> Coro<> {
        ::raise(SIGINT);
        const std::exception_ptr error = co_await error_of(sleep(1h));
        cleaned = error_type(error) == "CancelledError";
        std::rethrow_exception(error);
    };
    CHECK(run(body()) == 130);
    CHECK(cleaned);
}

TEST_CASE("rule 117: Ctrl-C wakes a loop that waits, whatever thread the signal comes on") {
    const DefaultInterrupt interrupt;
    std::thread other;
    auto body = [&]() -> Coro<> {
        get_running_loop().call_soon([&] { other = std::thread([] { ::kill(::getpid(), SIGINT); }); });
        co_await sleep(1h);
    };
    CHECK(run(body()) == 130);
    other.join();
    struct sigaction now{};
    REQUIRE(::sigaction(SIGINT, nullptr, &now) == 0);
    CHECK((now.sa_handler == SIG_DFL));
}

TEST_CASE("rule 117: a main task that swallows the cancellation gives its result") {
    const DefaultInterrupt interrupt;
    auto body = []() -> Coro<int> {
        ::raise(SIGINT);
        const std::string text = co_await ending(sleep(1h));
        CHECK(text == "CancelledError");
        co_return 3;
    };
    CHECK(run(body()) == 3);
}

TEST_CASE("rule 117: a second Ctrl-C leaves the loop at once") {
    const DefaultInterrupt interrupt;
    bool cleaned_slowly = false;
    auto body = [&]() -> Coro<> {
        ::raise(SIGINT);
        const std::string text = co_await ending(sleep(1h));
        CHECK(text == "CancelledError");
        ::raise(SIGINT);
        const std::string second = co_await ending(sleep(1h));
        cleaned_slowly = second == "ok";
    };
    CHECK(run(body()) == 130);
    CHECK_FALSE(cleaned_slowly);
}

TEST_CASE("rule 117: an own SIGINT handler of the application is left alone") {
    struct sigaction mine{};
    struct sigaction before{};
    mine.sa_handler = SIG_IGN;
    REQUIRE(::sigaction(SIGINT, &mine, &before) == 0);
    auto body = []() -> Coro<int> {
        ::raise(SIGINT);
        co_await sleep(1ms);
        co_return 4;
    };
    const int status = run(body());
    REQUIRE(::sigaction(SIGINT, &before, nullptr) == 0);
    CHECK(status == 4);
}

TEST_CASE("rule 117: a SIGINT handler of the loop stands in for Ctrl-C's; removed, Ctrl-C cancels again") {
    const DefaultInterrupt interrupt;
    int own = 0;
    bool cancelled = false;
    auto body = [&]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        CHECK_FALSE(loop.remove_signal_handler(SIGINT));  // the Runner's is not the application's
        loop.add_signal_handler(SIGINT, [&own] { ++own; });
        ::raise(SIGINT);
        while (own == 0)
            co_await sleep(1ms);
        CHECK(loop.remove_signal_handler(SIGINT));
        CHECK_FALSE(loop.remove_signal_handler(SIGINT));
        ::raise(SIGINT);
        const std::string end = co_await ending(sleep(1h));
        cancelled = end == "CancelledError";
        throw CancelledError();
    };
    CHECK(run(body()) == 130);
    CHECK(own == 1);
    CHECK(cancelled);
}

TEST_CASE("rule 117: a SIGINT handler of the loop outlives one run of its Runner") {
    const DefaultInterrupt interrupt;
    Runner runner;
    int own = 0;
    auto first = [&own]() -> Coro<> {
        get_running_loop().add_signal_handler(SIGINT, [&own] { ++own; });
        co_return;
    };
    auto second = [&own]() -> Coro<> {
        ::raise(SIGINT);
        while (own == 0)
            co_await sleep(1ms);
    };
    runner.run(first());
    runner.run(second());
    CHECK(own == 1);
    runner.close();
}

TEST_CASE("rule 116: tasks left behind are cancelled and awaited; their errors are reported") {
    auto holder = make_simulated_loop();
    Reports reports(*holder);
    Trace trace;
    auto slow = [&]() -> Coro<> {
        const std::exception_ptr error = co_await error_of(sleep(1h));
        co_await sleep(1s);
        trace("cleaned");
        std::rethrow_exception(error);
    };
    auto failing = []() -> Coro<> {
        try {
            co_await sleep(1h);
        } catch (const CancelledError&) {
            throw ValueError("in cleanup");
        }
    };
    auto body = [&]() -> Coro<int> {
        (void)create_task(slow());
        (void)create_task(failing(), TaskOptions().name("failing"));
        co_await turns(2);
        trace("main");
        co_return 1;
    };
    RunOptions options;
    options.loop_factory([&] { return std::move(holder); });
    Runner runner(std::move(options));
    CHECK(runner.run(body()) == 1);
    CHECK(trace.text() == "main");
    runner.close();
    CHECK(trace.text() == "main cleaned");
    REQUIRE(reports.size() == 1);
    CHECK(reports[0].message == "unhandled exception during weft::run() shutdown");
    CHECK(reports[0].task == "failing");
    CHECK(error_text(reports[0].exception) == "ValueError: in cleanup");
}

TEST_CASE("a Runner runs several coroutines on one loop, made when first needed") {
    int made = 0;
    RunOptions options;
    options.loop_factory([&] {
        ++made;
        return make_simulated_loop();
    });
    Runner runner(std::move(options));
    CHECK(made == 0);
    CHECK(runner.run(gives(1)) == 1);
    EventLoop& loop = runner.get_loop();
    CHECK(runner.run(gives(2)) == 2);
    CHECK(&runner.get_loop() == &loop);
    CHECK(made == 1);
    auto fail = []() -> Coro<int> {
        throw ValueError("x");
        co_return 1;
    };
    CHECK(error_of_call([&] { runner.run(fail()); }) == "ValueError: x");
    CHECK(runner.run(gives(3)) == 3);
    runner.close();
    runner.close();
    CHECK(error_of_call([&] { runner.run(gives(4)); }) == "RuntimeError: Runner is closed");
    CHECK(error_of_call([&] { runner.get_loop(); }) == "RuntimeError: Runner is closed");
}

TEST_CASE("run inside a running loop is an error") {
    run_simulated([]() -> Coro<> {
        Runner runner(simulated());
        CHECK(error_of_call([&] { runner.run(gives(1)); }) ==
              "RuntimeError: Runner.run() cannot be called from a running event loop");
        co_return;
    });
}

TEST_CASE("a Runner whose main task is cancelled from inside throws CancelledError, not KeyboardInterrupt") {
    Runner runner(simulated());
    auto body = []() -> Coro<> {
        current_task().cancel();
        co_await sleep(1h);
    };
    CHECK(ending_of_call([&] { runner.run(body()); }) == "CancelledError");
}

TEST_CASE("a result that only moves comes out of a Runner") {
    Runner runner(simulated());
    auto body = []() -> Coro<std::unique_ptr<int>> { co_return std::make_unique<int>(6); };
    const std::unique_ptr<int> value = runner.run(body());
    CHECK(*value == 6);
}

TEST_CASE("a Ctrl-C that comes as the main task ends is not lost: KeyboardInterrupt") {
    std::signal(SIGINT, SIG_DFL);  // who started the tests may have had it ignored
    RunOptions options;
    options.loop_factory([] { return make_simulated_loop(); });
    Runner runner(std::move(options));
    const auto body = [&]() -> Coro<> {
        auto& backend = static_cast<sim::SimBackend&>(get_running_loop().backend());
        CHECK(backend.raise_signal(SIGINT));
        co_return;  // done before the handler runs
    };
    CHECK(ending_of_call([&] { runner.run(body()); }) == "KeyboardInterrupt");
    CHECK(ending_of_call([&] { runner.run(turns(3)); }) == "ok");
}

TEST_CASE("rule 117: a Ctrl-C that a real loop has not got to when the main task ends is not lost") {
    const DefaultInterrupt interrupt;
    const auto at_once = []() -> Coro<int> {
        ::raise(SIGINT);
        co_return 5;
    };
    CHECK(run(at_once()) == 130);
    const auto busy = []() -> Coro<int> {
        for (int i = 0; i < 34; ++i)
            co_await sleep(0s);
        ::raise(SIGINT);
        co_return 5;
    };
    CHECK(run(busy()) == 130);
}

TEST_CASE("tasks that wait for each other in a circle: cancelling one is an error that says so, and so does run()") {
    Task<> one;
    Task<> two;
    std::string error;
    const auto body = [&]() -> Coro<> {
        const auto waits = [](Task<>& other) -> Coro<> { co_await other; };
        one = create_task(waits(two), TaskOptions().name("one"));
        two = create_task(waits(one), TaskOptions().name("two"));
        get_running_loop().set_exception_handler([](EventLoop&, const ExceptionContext&) {});  // they end pending
        co_await sleep(0s);
        error = error_of_call([&] { one.cancel(); });
    };
    CHECK(run(body(), simulated()) == 1);
    CHECK(error.starts_with("RuntimeError: Task.cancel: tasks wait for each other in a circle: <Task "));
}

TEST_CASE("rule 12: run_until_complete in a running loop is an error, and what it was given does not run") {
    run_simulated([]() -> Coro<> {
        bool ran = false;
        const auto body = [&]() -> Coro<> {
            ran = true;
            co_return;
        };
        CHECK(ending_of_call([&] { get_running_loop().run_until_complete(body()); }) == "RuntimeError");
        auto other = make_simulated_loop();
        CHECK(ending_of_call([&] { other->run_until_complete(body()); }) == "RuntimeError");
        co_await turns(3);
        CHECK_FALSE(ran);
    });
}

TEST_CASE("WEFT_DEBUG: where no loop runs, a coroutine that nothing awaited is written to standard error") {
    CapturedStderr captured;
    { Coro<int> dropped = gives(1); }
    ::setenv("WEFT_DEBUG", "1", 1);
    { Coro<> dropped = inner_failure(); }
    ::unsetenv("WEFT_DEBUG");
    const std::string text = captured.text();
    CHECK(text.starts_with("coroutine '"));
    CHECK(text.find("inner_failure") != std::string::npos);
    CHECK(text.find("gives") == std::string::npos);
    CHECK(text.ends_with("was never awaited\n"));
}
