#include "support/harness.hpp"

#include <weft/inspect/dump.hpp>

using namespace weft;
using namespace weft::testing;

namespace {

Coro<> naps() {
    co_await sleep(1h);
}
Coro<> waits_for(Task<>& other) {
    co_await other;
}

const inspect::TaskInfo& find(const std::vector<inspect::TaskInfo>& tasks, const std::string& name) {
    for (const auto& task : tasks)
        if (task.name == name) return task;
    throw ValueError("no task " + name);
}

}  // namespace

TEST_CASE("a snapshot has the tasks with what they wait for, where, and for whom") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        current_task().set_name("main");
        Task<> sleeper = create_task(naps(), TaskOptions().name("sleeper"));
        Task<> waiter = create_task(waits_for(sleeper), TaskOptions().name("waiter"));
        Task<> fresh = create_task(naps(), TaskOptions().name("fresh"));
        auto before = inspect::snapshot(loop);
        REQUIRE(before.size() == 4);
        CHECK(find(before, "main").state == "running");
        CHECK(find(before, "fresh").state == "pending");
        CHECK(find(before, "fresh").stack.size() == 1);  // where its body is
        co_await turns(2);
        const auto tasks = inspect::snapshot(loop);
        const auto& s = find(tasks, "sleeper");
        const auto& w = find(tasks, "waiter");
        CHECK(s.waiting_for == "sleep");
        CHECK(w.waiting_for == "Task");
        REQUIRE(w.awaits.size() == 1);
        CHECK(w.awaits[0] == s.id);
        REQUIRE(s.awaited_by.size() == 1);
        CHECK(s.awaited_by[0] == w.id);
        REQUIRE(s.stack.size() == 1);
        CHECK(inspect::format_location(s.stack[0]).starts_with("dump_test.cpp:"));
        CHECK(inspect::format_location(s.stack[0]).find("naps") != std::string::npos);
        CHECK(inspect::format_location(s.spawned_at).starts_with("dump_test.cpp:"));
        CHECK(inspect::format_location(std::source_location()).empty());
        waiter.cancel();
        fresh.cancel();
        (void)co_await ending(waiter);
        (void)co_await ending(fresh);
        CHECK(inspect::snapshot(loop).size() == 1);
    });
}

TEST_CASE("await edges go through gather, shield, task groups and timeouts") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Task<> a = create_task(naps(), TaskOptions().name("a"));
        Task<> b = create_task(naps(), TaskOptions().name("b"));
        auto gathers = [&]() -> Coro<> { (void)co_await gather(a, b); };
        auto shields = [&]() -> Coro<> { co_await shield(a); };
        auto limits = [&]() -> Coro<> { co_await wait_for(b, 2h); };
        auto body = [](TaskGroup& group) -> Coro<> {
            group.create_task(naps(), TaskOptions().name("child"));
            co_return;
        };
        auto groups = [&]() -> Coro<> { co_await task_group(body); };
        std::vector<Task<>> tasks{create_task(gathers(), TaskOptions().name("gathers")),
                                  create_task(shields(), TaskOptions().name("shields")),
                                  create_task(limits(), TaskOptions().name("limits")),
                                  create_task(groups(), TaskOptions().name("groups"))};
        co_await turns(3);
        const auto seen = inspect::snapshot(loop);
        const auto id = [&](const std::string& name) { return find(seen, name).id; };
        using Ids = std::vector<std::uint64_t>;
        CHECK(find(seen, "gathers").awaits == Ids{id("a"), id("b")});
        CHECK(find(seen, "gathers").waiting_for == "gather");
        CHECK(find(seen, "shields").awaits == Ids{id("a")});
        CHECK(find(seen, "shields").waiting_for == "shield");
        CHECK(find(seen, "limits").awaits == Ids{id("b")});
        CHECK(find(seen, "groups").awaits == Ids{id("child")});
        CHECK(find(seen, "groups").waiting_for == "TaskGroup");
        CHECK(find(seen, "a").awaited_by == Ids{id("gathers"), id("shields")});
        for (Task<>& task : tasks) {
            task.cancel();
            (void)co_await ending(task);
        }
        a.cancel();
        (void)co_await ending(a);
    });
}

TEST_CASE("await edges go through wait, as_completed and a wait_for that has no time left") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto refuses_once = []() -> Coro<> {
            (void)co_await ending(sleep(1h));
            co_await naps();
        };
        Task<> a = create_task(naps(), TaskOptions().name("a"));
        Task<> b = create_task(naps(), TaskOptions().name("b"));
        Task<> c = create_task(refuses_once(), TaskOptions().name("c"));
        const std::vector<Task<>> both{a, b};
        co_await turns(2);
        auto waits = [&]() -> Coro<> { (void)co_await wait(both); };
        auto takes = [&]() -> Coro<> {
            auto ends = as_completed(both);
            (void)co_await ends.next();
        };
        auto limits = [&]() -> Coro<> { co_await wait_for(c, 0s); };
        std::vector<Task<>> tasks{create_task(waits(), TaskOptions().name("waits")),
                                  create_task(takes(), TaskOptions().name("takes")),
                                  create_task(limits(), TaskOptions().name("limits"))};
        co_await turns(3);
        const auto seen = inspect::snapshot(loop);
        const auto id = [&](const std::string& name) { return find(seen, name).id; };
        using Ids = std::vector<std::uint64_t>;
        CHECK(find(seen, "waits").awaits == Ids{id("a"), id("b")});
        CHECK(find(seen, "waits").waiting_for == "wait");
        CHECK(find(seen, "takes").awaits == Ids{id("a"), id("b")});
        CHECK(find(seen, "takes").waiting_for == "as_completed");
        CHECK(find(seen, "limits").awaits == Ids{id("c")});
        CHECK(find(seen, "limits").waiting_for == "wait_for");
        CHECK(find(seen, "a").awaited_by == Ids{id("waits"), id("takes")});
        for (Task<>& task : tasks) {
            task.cancel();
            (void)co_await ending(task);
        }
        CHECK_FALSE(a.done());
        std::vector<Task<>> left{a, b, c};
        for (Task<>& task : left) {
            task.cancel();
            (void)co_await ending(task);
        }
    });
}

TEST_CASE("dump_tasks prints a tree: a task under each one that awaits it") {
    auto loop = make_simulated_loop();
    CHECK(dump_tasks(*loop) == "no tasks\n");
    loop->run_until_complete([](EventLoop& at) -> Coro<> {
        current_task().set_name("main");
        Task<> sleeper = create_task(naps(), TaskOptions().name("sleeper"));
        Task<> waiter = create_task(waits_for(sleeper), TaskOptions().name("waiter"));
        co_await turns(2);
        const std::string text = dump_tasks(at);
        CHECK(text.find("\nwaiter pending: Task at dump_test.cpp:") != std::string::npos);
        CHECK(text.find("\n  sleeper pending: sleep at dump_test.cpp:") != std::string::npos);
        waiter.cancel();
        (void)co_await ending(waiter);
    }(*loop));
}
