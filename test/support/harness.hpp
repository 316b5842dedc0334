#pragma once
// How tests run: a test's body is a coroutine.
//
//     TEST_CASE("rule 44: sleep(0) yields exactly one iteration") {
//         run_simulated([]() -> Coro<> { ...; CHECK(x == 1); co_return; });
//     }
//     TEST_CASE("rule 96: close flushes the buffer") {
//         run_on_each_backend([]() -> Coro<> { ... });      // in memory, and over real sockets
//     }
//
// run_simulated() uses the virtual clock: a sleep takes no time, and a body that would wait for ever fails with the
// task tree. Real runs are bounded by a watchdog. Errors that reach the loop's exception handler fail the test unless
// the body takes the handler over.

#include <weft/backends/sim/backend.hpp>
#include <weft/weft.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

namespace weft::testing {

using namespace std::chrono_literals;

/// The order in which things happened.
class Trace {
public:
    void operator()(std::string event) { events_.push_back(std::move(event)); }
    const std::vector<std::string>& events() const noexcept { return events_; }
    /// The events with spaces between.
    std::string text() const {
        std::string joined;
        for (const std::string& event : events_)
            joined += (joined.empty() ? "" : " ") + event;
        return joined;
    }

private:
    std::vector<std::string> events_;
};

/// An error as text: its type without the namespace, and its message if it has one; "ok" for none.
inline std::string error_text(const std::exception_ptr& error) {
    if (!error) return "ok";
    std::string text = describe_exception(error);
    return text.starts_with("weft::") ? text.substr(6) : text;
}
/// The type alone: "TimeoutError".
inline std::string error_type(const std::exception_ptr& error) {
    const std::string text = error_text(error);
    return text.substr(0, text.find(": "));
}

/// How a plain call ended: the type of what it threw, or "ok".
template <class F>
std::string ending_of_call(F&& fn) {
    try {
        fn();
    } catch (...) {
        return error_type(std::current_exception());
    }
    return "ok";
}
/// The same with the message.
template <class F>
std::string error_of_call(F&& fn) {
    try {
        fn();
    } catch (...) {
        return error_text(std::current_exception());
    }
    return "ok";
}

/// The error that an await ends with, or null. (A co_await cannot stand inside doctest's CHECK.)
template <Awaitable A>
Coro<std::exception_ptr> error_of(A awaitable) {
    std::exception_ptr error;
    try {
        (void)co_await std::move(awaitable);
    } catch (...) {
        error = std::current_exception();
    }
    co_return error;
}
/// How an await ends: the type of its error, or "ok".
template <Awaitable A>
Coro<std::string> ending(A awaitable) {
    const std::exception_ptr error = co_await error_of(std::move(awaitable));
    co_return error_type(error);
}

/// Lets the loop go round `count` times.
inline Coro<> turns(int count) {
    for (int i = 0; i < count; ++i)
        co_await sleep(0s);
}

/// Collects what reaches a loop's exception handler, so that a test can look at it.
class Reports {
public:
    explicit Reports(EventLoop& loop) {
        loop.set_exception_handler(
            [this](EventLoop&, const ExceptionContext& context) { contexts_.push_back(context); });
    }
    std::size_t size() const noexcept { return contexts_.size(); }
    const ExceptionContext& operator[](std::size_t index) const { return contexts_.at(index); }
    std::string messages() const {
        std::string joined;
        for (const auto& context : contexts_)
            joined += (joined.empty() ? "" : "; ") + context.message;
        return joined;
    }

private:
    std::vector<ExceptionContext> contexts_;
};

inline std::unique_ptr<EventLoop> make_simulated_loop(std::uint64_t seed = 1) {
    return sim::new_event_loop(seed);
}
inline std::unique_ptr<EventLoop> make_real_loop() {
    return DefaultEventLoopPolicy().new_event_loop();
}

/// Runs the body on the loop and closes it; what nobody handled fails the test.
template <class F>
void run_on(std::unique_ptr<EventLoop> loop, F&& body) {
    auto unhandled = std::make_shared<std::vector<std::string>>();
    loop->set_exception_handler([unhandled](EventLoop&, const ExceptionContext& context) {
        unhandled->push_back(context.message + (context.exception ? ": " + describe_exception(context.exception) : ""));
    });
    RunOptions options;
    auto* raw = loop.get();
    auto holder = std::make_shared<std::unique_ptr<EventLoop>>(std::move(loop));
    options.loop_factory([holder] { return std::move(*holder); });
    Runner runner(std::move(options));
    // A real loop has no way to see that nothing will come: bound it.
    Handle watchdog;
    if (raw->backend().name() != "sim")
        watchdog = raw->call_later(60s, [raw] {
            raw->log("the test took longer than a minute");
            std::terminate();
        });
    runner.run(body());
    watchdog.cancel();
    runner.close();
    for (const std::string& message : *unhandled)
        FAIL_CHECK("unhandled: ", message);
}

/// The body is called with nothing and returns a Coro<>.
template <class F>
void run_simulated(F&& body) {
    run_on(make_simulated_loop(), body);
}
template <class F>
void run_real(F&& body) {
    run_on(make_real_loop(), body);
}
template <class F>
void run_on_each_backend(F&& body) {
    {
        INFO("backend: sim");
        run_simulated(body);
    }
    {
        INFO("backend: asio");
        run_real(body);
    }
}

}  // namespace weft::testing
