#include "support/harness.hpp"

using namespace weft;
using namespace weft::testing;

TEST_CASE("rule 3: call_soon is a strict FIFO across callbacks and tasks") {
    run_simulated([]() -> Coro<> {
        Trace trace;
        EventLoop& loop = get_running_loop();
        auto say = [&trace](std::string what) -> Coro<> {
            trace(std::move(what));
            co_return;
        };
        loop.call_soon([&] { trace("a"); });
        Task<> task = create_task(say("b"));
        loop.call_soon([&] { trace("c"); });
        co_await task;
        CHECK(trace.text() == "a b c");
    });
}
