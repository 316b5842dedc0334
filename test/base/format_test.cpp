#include "support/harness.hpp"

#include <weft/format.hpp>

#include <fmt/format.h>

using namespace weft;
using namespace weft::testing;

namespace {

Coro<int> answer() {
    co_await sleep(1s);
    co_return 42;
}

}  // namespace

TEST_CASE("futures print their state, result and exception") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Future<int> number = loop.create_future<int>();
        CHECK(fmt::format("{}", number) == "<Future pending>");
        number.set_result(3);
        CHECK(fmt::format("{}", number) == "<Future finished result=3>");
        Future<std::string> text = loop.create_future<std::string>();
        text.set_result("a");
        CHECK(fmt::format("{}", text) == "<Future finished result='a'>");
        Future<> failed = loop.create_future<void>();
        failed.set_exception(ValueError("x"));
        CHECK(fmt::format("{}", failed) == "<Future finished exception=weft::ValueError: x>");
        CHECK(failed.exception());
        Future<> cancelled = loop.create_future<void>();
        cancelled.cancel();
        CHECK(fmt::format("{:>20}", cancelled) == "  <Future cancelled>");
        CHECK(fmt::format("{}", Future<>()) == "<Future>");
        co_return;
    });
}

TEST_CASE("a task prints its name, its coroutine and where it waits, then its result") {
    run_simulated([]() -> Coro<> {
        Task<int> task = create_task(answer(), TaskOptions().name("deep thought"));
        co_await turns(1);
        const std::string pending = fmt::format("{}", task);
        CHECK(pending.starts_with("<Task pending name='deep thought' coro=<"));
        CHECK(pending.find("answer") != std::string::npos);
        CHECK(pending.find("format_test.cpp:13") != std::string::npos);
        CHECK(pending.ends_with(" wait_for=<sleep>>"));
        co_await task;
        CHECK(fmt::format("{}", task) == "<Task finished name='deep thought' result=42>");
        CHECK(fmt::format("{}", current_task()).starts_with("<Task running name='"));
    });
}

TEST_CASE("handles, loops, contexts, timeouts, locks and queues print themselves") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Handle handle = loop.call_soon([] {});
        CHECK(fmt::format("{}", handle).starts_with("<Handle "));
        handle.cancel();
        CHECK(fmt::format("{}", handle) == "<Handle cancelled>");
        TimerHandle timer = loop.call_at(TimePoint(2000s), [] {});
        timer.cancel();
        CHECK(fmt::format("{}", timer) == "<TimerHandle when=2000.000000 cancelled>");
        CHECK(fmt::format("{}", loop) == "<EventLoop backend=sim running=True closed=False debug=False>");
        ContextVar<int> variable("request");
        CHECK(fmt::format("{}", variable) == "<ContextVar name='request'>");
        CHECK(fmt::format("{}", Context()) == "<Context of 0 variables>");
        CHECK(fmt::format("{}", ConcurrentFuture<>()) == "<ConcurrentFuture pending>");
        const auto body = [](Timeout& timeout) -> Coro<> {
            CHECK(timeout.repr() == "<Timeout [active]>");
            co_return;
        };
        co_await timeout(std::nullopt, body);
        const auto group_body = [](TaskGroup& group) -> Coro<> {
            CHECK(group.repr() == "<TaskGroup entered>");
            group.create_task(sleep(1s));
            CHECK(fmt::format("{}", group) == "<TaskGroup tasks=1 entered>");
            group.cancel();
            CHECK(group.repr() == "<TaskGroup tasks=1 cancelling>");
            co_return;
        };
        co_await task_group(group_body);
        Lock lock;
        CHECK(fmt::format("{}", lock) == "<Lock [unlocked]>");
        Queue<int> queue(2);
        CHECK(fmt::format("{}", queue) == "<Queue maxsize=2>");
    });
}

TEST_CASE("servers and streams print themselves") {
    run_simulated([]() -> Coro<> {
        const auto handler = [](StreamReader, StreamWriter writer) -> Coro<> {
            writer.write("hi");
            co_await writer.drain();
        };
        Server server = co_await start_server(handler, "127.0.0.1", 8080);
        CHECK(fmt::format("{}", server) == "<Server sockets=[127.0.0.1:8080]>");
        auto [reader, writer] = co_await open_connection("127.0.0.1", 8080);
        co_await sleep(1s);
        CHECK(fmt::format("{}", reader) == "<StreamReader 2 bytes eof>");
        CHECK(fmt::format("{}", writer) ==
              "<StreamWriter transport=<Transport fd=-1 read=polling write=<idle, bufsize=0>>>");
        writer.close();
        server.close();
    });
}
