#include "support/harness.hpp"

#include <csignal>
#include <unistd.h>

using namespace weft;
using namespace weft::testing;

TEST_CASE("rule 20: a signal's callback runs as an ordinary callback, not where the signal arrives") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Trace trace;
        Future<> seen = loop.create_future<void>();
        loop.add_signal_handler(SIGUSR1, [&, seen]() mutable {
            trace("sig");
            CHECK_FALSE(current_task());
            seen.set_result();
        });
        ::kill(::getpid(), SIGUSR1);
        trace("after-kill");
        co_await seen;
        CHECK(trace.text() == "after-kill sig");
        CHECK(loop.remove_signal_handler(SIGUSR1));
        CHECK_FALSE(loop.remove_signal_handler(SIGUSR1));
        // The default action is back.
        struct sigaction now{};
        REQUIRE(::sigaction(SIGUSR1, nullptr, &now) == 0);
        CHECK((now.sa_handler == SIG_DFL));
    });
}

TEST_CASE("rule 20: on the simulated loop a raised signal is delivered in the next poll") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto& backend = static_cast<sim::SimBackend&>(loop.backend());
        Trace trace;
        CHECK_FALSE(backend.raise_signal(SIGTERM));
        loop.add_signal_handler(SIGTERM, [&] { trace("sig"); });
        CHECK(backend.raise_signal(SIGTERM));
        trace("raised");
        co_await turns(2);
        CHECK(trace.text() == "raised sig");
        CHECK(loop.remove_signal_handler(SIGTERM));
        CHECK_FALSE(backend.raise_signal(SIGTERM));
    });
}

TEST_CASE("a second handler for a signal replaces the first") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Trace trace;
        Future<> seen = loop.create_future<void>();
        loop.add_signal_handler(SIGUSR2, [&] { trace("first"); });
        loop.add_signal_handler(SIGUSR2, [&, seen]() mutable {
            trace("second");
            seen.set_result();
        });
        ::kill(::getpid(), SIGUSR2);
        co_await seen;
        CHECK(trace.text() == "second");
        loop.remove_signal_handler(SIGUSR2);
    });
}

TEST_CASE("a signal that has arrived when its handler is replaced is the new one's, also from inside the old one") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Trace trace;
        loop.add_signal_handler(SIGUSR2, [&] {
            trace("first");
            loop.add_signal_handler(SIGUSR2, [&] { trace("second"); });
            trace("replaced");
        });
        ::raise(SIGUSR2);
        while (trace.events().empty())
            co_await sleep(1ms);
        ::raise(SIGUSR2);
        loop.add_signal_handler(SIGUSR2, [&] { trace("third"); });
        while (trace.events().size() < 3)
            co_await sleep(1ms);
        CHECK(trace.text() == "first replaced third");
        loop.remove_signal_handler(SIGUSR2);
    });
}

TEST_CASE("an exception of a signal handler is reported") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Reports reports(loop);
        loop.add_signal_handler(SIGTERM, [] { throw ValueError("sig"); });
        static_cast<sim::SimBackend&>(loop.backend()).raise_signal(SIGTERM);
        co_await turns(2);
        REQUIRE(reports.size() == 1);
        CHECK(error_text(reports[0].exception) == "ValueError: sig");
    });
}

TEST_CASE("signals that cannot be handled are refused") {
    auto loop = make_real_loop();
    CHECK(ending_of_call([&] { loop->add_signal_handler(0, [] {}); }) == "ValueError");
    CHECK(ending_of_call([&] { loop->add_signal_handler(NSIG, [] {}); }) == "ValueError");
    CHECK(ending_of_call([&] { loop->add_signal_handler(SIGKILL, [] {}); }) == "RuntimeError");
    CHECK(ending_of_call([&] { loop->add_signal_handler(SIGSTOP, [] {}); }) == "RuntimeError");
}

TEST_CASE("removing the handler of what is no signal is a ValueError, too") {
    auto loop = make_simulated_loop();
    CHECK(ending_of_call([&] { loop->remove_signal_handler(0); }) == "ValueError");
    CHECK(ending_of_call([&] { loop->remove_signal_handler(10'000); }) == "ValueError");
    CHECK_FALSE(loop->remove_signal_handler(SIGTERM));
}

TEST_CASE("closing the loop removes its signal handlers") {
    auto token = std::make_shared<int>(0);
    auto loop = make_real_loop();
    loop->add_signal_handler(SIGUSR1, [token] {});
    loop->close();
    CHECK(token.use_count() == 1);
    struct sigaction now{};
    REQUIRE(::sigaction(SIGUSR1, nullptr, &now) == 0);
    CHECK((now.sa_handler == SIG_DFL));
}
