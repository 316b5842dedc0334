#include "support/harness.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

Coro<> wait_and_tell(Event event, Trace& trace, std::string name) {
    const bool value = co_await event.wait();
    CHECK(value);
    trace(std::move(name));
}

}  // namespace

TEST_CASE("an event that is set is awaited without suspending, and wait gives true") {
    run_simulated([]() -> Coro<> {
        Event event;
        CHECK_FALSE(event.is_set());
        event.set();
        CHECK(event.is_set());
        const std::uint64_t steps = get_running_loop().steps();
        const bool value = co_await event.wait();
        CHECK(value);
        CHECK(get_running_loop().steps() == steps);
        event.clear();
        CHECK_FALSE(event.is_set());
    });
}

TEST_CASE("rule 87: set wakes all that wait, in the order they came") {
    run_simulated([]() -> Coro<> {
        Event event;
        Trace trace;
        Task<> a = create_task(wait_and_tell(event, trace, "a"));
        Task<> b = create_task(wait_and_tell(event, trace, "b"));
        co_await turns(1);
        CHECK(trace.text().empty());
        Task<> c = create_task(wait_and_tell(event, trace, "c"));
        event.set();
        co_await turns(1);
        // The last one had not begun to wait: it did not have to, and was the first in the queue.
        CHECK(trace.text() == "c a b");
    });
}

TEST_CASE("rule 87: set wakes those that wait even if clear follows at once") {
    run_simulated([]() -> Coro<> {
        Event event;
        Trace trace;
        Task<> a = create_task(wait_and_tell(event, trace, "a"));
        Task<> b = create_task(wait_and_tell(event, trace, "b"));
        co_await turns(1);
        event.set();
        event.clear();
        CHECK_FALSE(event.is_set());
        Task<> late = create_task(wait_and_tell(event, trace, "late"));
        CHECK(event.repr() == "<Event [unset, waiters:2]>");
        co_await turns(1);
        CHECK(trace.text() == "a b");
        co_await turns(1);
        CHECK(trace.text() == "a b");
        CHECK(event.repr() == "<Event [unset, waiters:1]>");
        event.set();
        event.set();
        co_await late;
        CHECK(trace.text() == "a b late");
    });
}

TEST_CASE("a wait on an event that is cancelled leaves the others waiting") {
    run_simulated([]() -> Coro<> {
        Event event;
        Trace trace;
        Task<> a = create_task(wait_and_tell(event, trace, "a"));
        Task<> b = create_task(wait_and_tell(event, trace, "b"));
        Task<> c = create_task(wait_and_tell(event, trace, "c"));
        co_await turns(1);
        b.cancel();
        const std::string text = co_await ending(b);
        CHECK(text == "CancelledError");
        CHECK(event.repr() == "<Event [unset, waiters:2]>");
        event.set();
        a.cancel();  // woken already
        co_await turns(1);
        CHECK(a.cancelled());
        CHECK(trace.text() == "c");
        CHECK(event.repr() == "<Event [set]>");
    });
}

TEST_CASE("an event prints itself") {
    run_simulated([]() -> Coro<> {
        Event event;
        CHECK(event.repr() == "<Event [unset]>");
        Trace trace;
        Task<> a = create_task(wait_and_tell(event, trace, "a"));
        co_await turns(1);
        CHECK(event.repr() == "<Event [unset, waiters:1]>");
        event.set();
        CHECK(event.repr() == "<Event [set, waiters:1]>");
        co_await a;
        CHECK(event.repr() == "<Event [set]>");
    });
}

TEST_CASE("an event belongs to the first loop that blocks on it") {
    Event event;
    auto blocks = [](Event event) -> Coro<> { (void)co_await ending(wait_for(event.wait(), 1s)); };
    make_simulated_loop()->run_until_complete(blocks(event));
    auto elsewhere = [](Event event) -> Coro<> {
        const std::exception_ptr error = co_await error_of(event.wait());
        CHECK(error_text(error) == "RuntimeError: <Event [unset]> is bound to a different event loop");
        event.set();
        co_await event.wait();
    };
    auto other = make_simulated_loop();
    other->run_until_complete(elsewhere(event));
}

TEST_CASE("waiters keep an event whose last handle goes, also right after set") {
    run_simulated([]() -> Coro<> {
        Trace trace;
        Task<> woken;
        Task<> waiting;
        {
            Event event;
            woken = create_task(wait_and_tell(event, trace, "woken"));
            co_await turns(1);
            event.set();
        }
        {
            Event event;
            auto body = [](Event& event) -> Coro<> { co_await event.wait(); };
            waiting = create_task(body(event));
            co_await turns(1);
        }
        co_await woken;
        CHECK(trace.text() == "woken");
        co_await turns(2);
        CHECK_FALSE(waiting.done());
        waiting.cancel();
        const std::string text = co_await ending(waiting);
        CHECK(text == "CancelledError");
    });
}

TEST_CASE("closing the loop takes its waiting tasks out of an event") {
    Event event;
    {
        auto loop = make_simulated_loop();
        loop->set_exception_handler([](EventLoop&, const ExceptionContext&) {});
        auto body = [](Event event) -> Coro<> { co_await event.wait(); };
        Task<> a = loop->create_task(body(event));
        Task<> b = loop->create_task(body(event));
        loop->run_until_complete(turns(2));
        CHECK(event.repr() == "<Event [unset, waiters:2]>");
    }
    CHECK(event.repr() == "<Event [unset]>");
    event.set();
}
