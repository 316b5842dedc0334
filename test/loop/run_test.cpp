// Iterations, stop, close and re-entry of the loop, and run()'s exit status.
#include "support/harness.hpp"

#include <csignal>
#include <thread>

using namespace weft;
using namespace weft::testing;

TEST_CASE("rule 1: a callback scheduled by a callback runs in the next iteration, after another poll") {
    auto loop = make_simulated_loop();
    auto& backend = static_cast<sim::SimBackend&>(loop->backend());
    Trace trace;
    loop->call_soon([&] {
        trace("a");
        loop->call_soon([&] {
            trace("b");
            loop->stop();
        });
        backend.post(0s, [&] { trace("poll"); });
    });
    loop->call_soon([&] { trace("c"); });
    loop->run_forever();
    CHECK(trace.text() == "a c poll b");
}

TEST_CASE("rule 2: ready callbacks precede I/O, and I/O precedes due timers") {
    auto loop = make_simulated_loop();
    auto& backend = static_cast<sim::SimBackend&>(loop->backend());
    Trace trace;
    loop->call_soon([&] {
        loop->call_later(0s, [&] {
            trace("timer");
            loop->stop();
        });
        backend.post(0s, [&] { loop->call_soon([&] { trace("io"); }); });
        loop->call_soon([&] { trace("ready"); });
    });
    loop->run_forever();
    CHECK(trace.text() == "ready io timer");
}

TEST_CASE("rule 3: call_soon is a strict FIFO across callbacks, futures and tasks") {
    run_simulated([]() -> Coro<> {
        Trace trace;
        EventLoop& loop = get_running_loop();
        auto say = [&trace](std::string what) -> Coro<> {
            trace(std::move(what));
            co_return;
        };
        Future<> future = loop.create_future<void>();
        future.add_done_callback([&] { trace("c"); });
        loop.call_soon([&] { trace("a"); });
        Task<> task = create_task(say("b"));
        future.set_result();
        loop.call_soon([&] { trace("d"); });
        co_await task;
        CHECK(trace.text() == "a b c d");
    });
}

TEST_CASE("call_soon runs once, with its arguments moved in") {
    run_simulated([]() -> Coro<> {
        int sum = 0;
        get_running_loop().call_soon([&sum](std::unique_ptr<int> a, int b) { sum += *a + b; }, std::make_unique<int>(1),
                                     2);
        co_await turns(3);
        CHECK(sum == 3);
    });
}

TEST_CASE("rule 11: stop() lets the current iteration finish; what it scheduled stays for the next run") {
    auto loop = make_simulated_loop();
    Trace trace;
    loop->call_soon([&] {
        trace("a");
        loop->stop();
        loop->call_soon([&] { trace("c"); });
    });
    loop->call_soon([&] { trace("b"); });
    loop->run_forever();
    CHECK(trace.text() == "a b");
    loop->call_soon([&] { loop->stop(); });
    loop->run_forever();
    CHECK(trace.text() == "a b c");
}

TEST_CASE("rule 11: stop() before a run makes it exactly one iteration") {
    for (auto make : {+[] { return make_simulated_loop(); }, +[] { return make_real_loop(); }}) {
        auto loop = make();
        Trace trace;
        loop->call_soon([&] {
            trace("a");
            loop->call_soon([&] { trace("b"); });
        });
        loop->stop();
        loop->run_forever();
        CHECK(trace.text() == "a");
        loop->stop();
        loop->run_forever();
        CHECK(trace.text() == "a b");
        loop->stop();
        loop->run_forever();  // nothing is ready: it must not wait
        CHECK(trace.text() == "a b");
    }
}

TEST_CASE("rule 12: a loop cannot be entered again, nor another one inside it") {
    auto loop = make_simulated_loop();
    auto other = make_simulated_loop();
    std::string same;
    std::string nested;
    std::string complete;
    loop->call_soon([&] {
        CHECK(loop->is_running());
        CHECK(&get_running_loop() == loop.get());
        same = error_of_call([&] { loop->run_forever(); });
        nested = error_of_call([&] { other->run_forever(); });
        complete = error_of_call([&] { loop->run_until_complete(loop->create_future<void>()); });
        loop->stop();
    });
    loop->run_forever();
    CHECK(same == "RuntimeError: This event loop is already running");
    CHECK(nested == "RuntimeError: Cannot run the event loop while another loop is running");
    CHECK(complete == "RuntimeError: This event loop is already running");
    CHECK_FALSE(loop->is_running());
    // The failed attempts left both usable.
    CHECK(other->run_until_complete(sleep(1s, 7)) == 7);
    CHECK(loop->run_until_complete(sleep(1s, 8)) == 8);
}

TEST_CASE("rule 13: run_until_complete on a loop that is stopped is an error, and the loop goes on later") {
    auto loop = make_simulated_loop();
    Future<int> future = loop->create_future<int>();
    loop->call_soon([&] { loop->stop(); });
    CHECK(error_of_call([&] { (void)loop->run_until_complete(future); }) ==
          "RuntimeError: Event loop stopped before Future completed.");
    // The stopping callback was taken back: completing the future now stops nothing.
    future.set_result(1);
    Trace trace;
    loop->call_soon([&] { loop->call_soon([&] { trace("second"); }); });
    loop->call_later(1s, [&] { loop->stop(); });
    loop->run_forever();
    CHECK(trace.text() == "second");
    CHECK(loop->run_until_complete(future) == 1);
}

TEST_CASE("a coroutine that run_until_complete gave up is not reported again when the loop closes; others are") {
    auto loop = make_simulated_loop();
    Reports reports(*loop);
    const auto forever = []() -> Coro<> { co_await get_running_loop().create_future<void>(); };
    (void)loop->create_task(forever(), TaskOptions().name("other"));
    loop->call_soon([&] { loop->stop(); });
    CHECK(error_of_call([&] { loop->run_until_complete(forever()); }) ==
          "RuntimeError: Event loop stopped before Future completed.");
    Task<> given = loop->create_task(forever(), TaskOptions().name("given"));
    loop->call_soon([&] { loop->stop(); });
    CHECK(error_of_call([&] { loop->run_until_complete(given); }) ==
          "RuntimeError: Event loop stopped before Future completed.");
    loop->close();
    REQUIRE(reports.size() == 2);
    CHECK(reports[0].task == "other");
    CHECK(reports[1].task == "given");
}

TEST_CASE("run_until_complete gives the value or throws the exception") {
    auto loop = make_simulated_loop();
    CHECK(loop->run_until_complete(sleep(1s, std::string("x"))) == "x");
    auto fail = []() -> Coro<int> {
        throw ValueError("no");
        co_return 1;
    };
    CHECK(error_of_call([&] { (void)loop->run_until_complete(fail()); }) == "ValueError: no");
    auto other = make_simulated_loop();
    Future<> foreign = other->create_future<void>();
    CHECK(ending_of_call([&] { loop->run_until_complete(foreign); }) == "ValueError");
}

TEST_CASE("rule 14: close() while running is an error; twice does nothing; afterwards nothing can be scheduled") {
    auto loop = make_simulated_loop();
    std::string while_running;
    loop->call_soon([&] {
        while_running = error_of_call([&] { loop->close(); });
        loop->stop();
    });
    loop->run_forever();
    CHECK(while_running == "RuntimeError: Cannot close a running event loop");
    CHECK_FALSE(loop->is_closed());
    loop->close();
    CHECK(loop->is_closed());
    loop->close();
    const std::string closed = "RuntimeError: Event loop is closed";
    CHECK(error_of_call([&] { loop->call_soon([] {}); }) == closed);
    CHECK(error_of_call([&] { loop->call_soon_threadsafe([] {}); }) == closed);
    CHECK(error_of_call([&] { loop->call_later(1s, [] {}); }) == closed);
    CHECK(error_of_call([&] { loop->call_at(loop->time(), [] {}); }) == closed);
    CHECK(error_of_call([&] { loop->run_forever(); }) == closed);
    CHECK(error_of_call([&] { loop->create_task(turns(1)); }) == closed);
    CHECK(error_of_call([&] { loop->run_until_complete(turns(1)); }) == closed);
}

TEST_CASE("rule 15: close() drops what is scheduled without running it, and frees it") {
    for (auto make : {+[] { return make_simulated_loop(); }, +[] { return make_real_loop(); }}) {
        auto loop = make();
        auto token = std::make_shared<int>(0);
        loop->call_soon([token] { ++*token; });
        loop->call_later(1s, [token] { ++*token; });
        loop->call_soon_threadsafe([token] { ++*token; });
        Future<> done = loop->create_future<void>();
        done.set_result();
        done.add_done_callback([token] { ++*token; });
        CHECK(token.use_count() == 5);
        loop->close();
        CHECK(*token == 0);
        CHECK(token.use_count() == 1);
    }
}

TEST_CASE("rule 16: an exception in a callback goes to the exception handler, and the loop goes on") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Reports reports(loop);
        Trace trace;
        loop.call_soon([] { throw ValueError("bad"); });
        loop.call_soon([&] { trace("next"); });
        Future<> future = loop.create_future<void>();
        future.add_done_callback([] { throw RuntimeError("done"); });
        future.set_result();
        co_await turns(2);
        CHECK(trace.text() == "next");
        REQUIRE(reports.size() == 2);
        CHECK(reports[0].message.starts_with("Exception in callback "));
        CHECK(error_text(reports[0].exception) == "ValueError: bad");
        CHECK(error_text(reports[1].exception) == "RuntimeError: done");
    });
}

TEST_CASE("rule 17: KeyboardInterrupt and SystemExit from a callback leave the loop at once; it can be run again") {
    auto loop = make_simulated_loop();
    Trace trace;
    loop->call_soon([&] { trace("a"); });
    loop->call_soon([] { throw KeyboardInterrupt(); });
    loop->call_soon([&] {
        trace("b");
        throw SystemExit(3);
    });
    loop->call_soon([&] {
        trace("c");
        loop->stop();
    });
    CHECK(ending_of_call([&] { loop->run_forever(); }) == "KeyboardInterrupt");
    CHECK(trace.text() == "a");
    CHECK_FALSE(loop->is_running());
    CHECK(error_of_call([&] { loop->run_forever(); }) == "SystemExit: 3");
    CHECK(trace.text() == "a b");
    loop->run_forever();
    CHECK(trace.text() == "a b c");
}

TEST_CASE("rule 17: KeyboardInterrupt from a task leaves run_until_complete, and nothing is reported") {
    auto loop = make_simulated_loop();
    Reports reports(*loop);
    auto interrupted = []() -> Coro<> {
        co_await sleep(1s);
        throw KeyboardInterrupt();
    };
    CHECK(ending_of_call([&] { loop->run_until_complete(interrupted()); }) == "KeyboardInterrupt");
    CHECK(loop->run_until_complete(sleep(1s, 5)) == 5);
    loop->close();
    CHECK(reports.size() == 0);
}

TEST_CASE("difference 9: callbacks that are always ready do not starve I/O") {
    auto loop = make_real_loop();
    int pipe_ends[2];
    REQUIRE(pipe(pipe_ends) == 0);
    REQUIRE(write(pipe_ends[1], "x", 1) == 1);
    bool readable = false;
    int rounds = 0;
    loop->add_reader(pipe_ends[0], [&] { readable = true; });
    struct Spin {
        EventLoop& loop;
        bool& readable;
        int& rounds;
        void operator()() const {
            if (readable || ++rounds == 1000)
                loop.stop();
            else
                loop.call_soon(*this);
        }
    };
    loop->call_soon(Spin{*loop, readable, rounds});
    loop->run_forever();
    CHECK(readable);
    CHECK(rounds < 200);
    loop->close();
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}

TEST_CASE("a loop is known to its thread only while it runs") {
    CHECK(ending_of_call([] { get_running_loop(); }) == "RuntimeError");
    auto loop = make_simulated_loop();
    EventLoop* seen = nullptr;
    std::string elsewhere;
    loop->call_soon([&] {
        seen = &get_running_loop();
        std::thread([&] { elsewhere = error_of_call([] { get_running_loop(); }); }).join();
        loop->stop();
    });
    loop->run_forever();
    CHECK(seen == loop.get());
    CHECK(elsewhere == "RuntimeError: no running event loop");
    CHECK(ending_of_call([] { get_running_loop(); }) == "RuntimeError");
}
