#include "support/harness.hpp"

#include <thread>

using namespace weft;
using namespace weft::testing;

TEST_CASE("a cancelled handle does not run and lets go of its callback at once") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto token = std::make_shared<int>(0);
        Handle soon = loop.call_soon([token] { ++*token; });
        TimerHandle later = loop.call_later(1s, [token] { ++*token; });
        CHECK(token.use_count() == 3);
        soon.cancel();
        later.cancel();
        soon.cancel();
        CHECK(token.use_count() == 1);
        CHECK(soon.cancelled());
        CHECK(later.cancelled());
        co_await sleep(2s);
        CHECK(*token == 0);
    });
}

TEST_CASE("a handle that ran can be told to be cancelled, and its callback was freed when it ran") {
    run_simulated([]() -> Coro<> {
        auto token = std::make_shared<int>(0);
        Handle handle = get_running_loop().call_soon([token] { ++*token; });
        co_await turns(1);
        CHECK(*token == 1);
        CHECK(token.use_count() == 1);
        CHECK_FALSE(handle.cancelled());
        handle.cancel();
        CHECK(handle.cancelled());
    });
}

TEST_CASE("a callback may cancel its own handle while it runs") {
    run_simulated([]() -> Coro<> {
        auto token = std::make_shared<std::string>("still here");
        Handle handle;
        std::string seen;
        handle = get_running_loop().call_soon([&handle, &seen, token] {
            handle.cancel();
            seen = *token;
        });
        co_await turns(1);
        CHECK(seen == "still here");
        CHECK(handle.cancelled());
        CHECK(token.use_count() == 1);
    });
}

TEST_CASE("a dropped handle does not keep the callback from running") {
    run_simulated([]() -> Coro<> {
        int ran = 0;
        (void)get_running_loop().call_soon([&] { ++ran; });
        (void)get_running_loop().call_later(1s, [&] { ++ran; });
        co_await sleep(2s);
        CHECK(ran == 2);
    });
}

TEST_CASE("TimerHandle::when is the loop's time at which it is due") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const TimePoint now = loop.time();
        TimerHandle later = loop.call_later(3s, [] {});
        TimerHandle at = loop.call_at(now + 4s, [] {});
        CHECK(later.when() == now + 3s);
        CHECK(at.when() == now + 4s);
        co_await sleep(5s);
        CHECK(later.when() == now + 3s);
    });
}

TEST_CASE("an empty handle is false and cancels nothing") {
    Handle handle;
    CHECK_FALSE(handle);
    CHECK_FALSE(handle.cancelled());
    handle.cancel();
    CHECK_FALSE(handle.cancelled());
}

TEST_CASE("a handle may outlive its loop") {
    Handle soon;
    TimerHandle later;
    auto token = std::make_shared<int>(0);
    {
        auto loop = make_simulated_loop();
        soon = loop->call_soon([token] {});
        later = loop->call_later(1s, [token] {});
    }
    CHECK(token.use_count() == 1);
    soon.cancel();
    later.cancel();
    CHECK(token.use_count() == 1);
}

TEST_CASE("the handle of call_soon_threadsafe may be cancelled from any thread") {
    auto loop = make_real_loop();
    int ran = 0;
    Handle handle = loop->call_soon_threadsafe([&] { ++ran; });
    std::thread([&] { handle.cancel(); }).join();
    loop->stop();
    loop->run_forever();
    CHECK(ran == 0);
    CHECK(handle.cancelled());
}

TEST_CASE("the handle of call_soon_threadsafe may be cancelled while debug mode describes and runs it") {
    auto loop = make_real_loop();
    loop->set_debug(true);
    loop->slow_callback_duration = 1h;
    auto token = std::make_shared<int>(0);
    for (int round = 0; round < 200; ++round) {
        Handle handle = loop->call_soon_threadsafe([token] {});
        std::thread other([&] { handle.cancel(); });
        loop->stop();
        loop->run_forever();
        other.join();
        CHECK(handle.cancelled());
        CHECK(token.use_count() == 1);
    }
}

TEST_CASE("the handle of call_soon_threadsafe may be cancelled while its loop closes") {
    auto token = std::make_shared<int>(0);
    for (int round = 0; round < 50; ++round) {
        auto loop = make_simulated_loop();
        Handle handle = loop->call_soon_threadsafe([token] {});
        CHECK(handle.repr().starts_with("<Handle "));
        std::thread other([&] { handle.cancel(); });
        loop->close();
        other.join();
        CHECK(handle.repr() == "<Handle cancelled>");
        CHECK(token.use_count() == 1);
    }
}

// Handles are values; nothing converts to one by accident.
static_assert(std::is_copy_constructible_v<Handle> && std::is_nothrow_move_constructible_v<Handle>);
static_assert(!std::is_convertible_v<TimerHandle, bool> && !std::is_convertible_v<Handle, TimerHandle>);
