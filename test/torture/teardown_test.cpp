// Each scenario is stopped after k iterations of the loop, for every k. Then the loop is closed with everything alive,
// or the scenario is cancelled and runs to its end: either way everything is destroyed, once.
#include "torture/torture.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

/// One run that is interrupted, and what is wrong with it.
class InterruptedRun {
public:
    InterruptedRun(const Scenario& scenario, std::size_t steps) : scenario_(scenario), steps_(steps) {}

    /// The handle of the task goes before the loop closes, after it, or after the loop is gone.
    enum class Handle { dropped_first, dropped_after_close, outlives_loop };
    void close(Handle handle) {
        const long probes = Probe::alive();
        Task<> task;
        {
            const auto loop = start(task);
            const std::size_t pending = all_tasks(*loop).size();
            if (handle == Handle::dropped_first) task = Task<>();
            loop->close();
            if (destroyed_ != pending)
                problem(std::to_string(pending) + " tasks were pending, and " + std::to_string(destroyed_) +
                        " were reported as destroyed");
            if (loop->task_table().size() != 0) problem("tasks are left");
            if (handle == Handle::dropped_after_close) task = Task<>();
        }
        task = Task<>();
        check_probes(probes);
    }

    void cancel() {
        const long probes = Probe::alive();
        {
            Task<> task;
            const auto loop = start(task);
            if (!task.done()) {
                task.cancel("the scenario is cancelled");
                run_until_stopped(*loop);
            }
            if (!task.done()) problem("the cancelled task did not end");
            finish_others(*loop);
            task = Task<>();
            loop->close();
            if (destroyed_ != 0) problem("tasks were pending when the loop closed");
        }
        check_probes(probes);
    }
    bool ended() const noexcept { return ended_; }
    const std::string& problems() const noexcept { return problems_; }

private:
    std::unique_ptr<EventLoop> start(Task<>& task) {
        auto loop = std::make_unique<EventLoop>(std::make_unique<SteppedBackend>(steps_));
        loop->set_exception_handler([this](EventLoop&, const ExceptionContext& context) {
            if (context.message == "Task was destroyed but it is pending!") ++destroyed_;
        });
        task = loop->create_task(scenario_.run());
        task.add_done_callback([raw = loop.get()] { raw->stop(); });
        run_until_stopped(*loop);
        ended_ = task.done();
        return loop;
    }

    void run_until_stopped(EventLoop& loop) {
        try {
            loop.run_forever();
        } catch (...) {
            problem("the loop was left by " + describe_exception(std::current_exception()));
        }
    }

    /// What the scenario left behind is cancelled, and then has time to end.
    void finish_others(EventLoop& loop) {
        try {
            for (AnyTask& task : all_tasks(loop))
                task.cancel();
            loop.stop();  // the done-callback may still do so
            loop.run_forever();
            loop.run_until_complete(sleep(3h));
        } catch (...) {
            problem("the loop is not usable: " + describe_exception(std::current_exception()));
        }
    }

    void check_probes(long before) {
        if (Probe::alive() != before)
            problem(std::to_string(Probe::alive() - before) + " more objects were made than destroyed");
        if (Probe::broken() != 0) problem("something was destroyed twice");
    }
    void problem(const std::string& what) {
        problems_ += std::string("\n  ") + scenario_.name + ", iteration " + std::to_string(steps_) + ": " + what;
    }

    const Scenario& scenario_;
    const std::size_t steps_;
    std::size_t destroyed_ = 0;
    bool ended_ = false;
    std::string problems_;
};

template <class F>
void interrupt_everywhere(const std::vector<Scenario>& scenarios, F&& run_one) {
    for (const Scenario& scenario : scenarios) {
        bool ended = false;
        std::size_t wrong = 0;
        // What is made once for the whole program.
        on_fresh_thread([&] {
            InterruptedRun run(scenario, 0);
            run_one(run);
        });
        for (std::size_t steps = 1; !ended && wrong < 5; ++steps) {
            std::string problems;
            const long before = live_allocations();
            on_fresh_thread([&] {
                InterruptedRun run(scenario, steps);
                run_one(run);
                ended = run.ended();
                if (!run.problems().empty()) problems = run.problems();
            });
            if (problems.empty() && live_allocations() != before)
                problems = std::string(scenario.name) + ", iteration " + std::to_string(steps) + ": " +
                           std::to_string(live_allocations() - before) + " blocks are left";
            CHECK_MESSAGE(problems.empty(), problems);
            wrong += !problems.empty();
        }
    }
}

// What waits for ever, unless somebody cancels it

Coro<> never_reads(StreamReader reader, StreamWriter writer) {
    const Probe in_frame;
    const auto keep = std::pair(reader, writer);
    co_await get_running_loop().create_future<void>();
}

Coro<> blocked_streams() {
    Server server = co_await start_server(never_reads, "127.0.0.1", 8888);
    auto [reader, writer] = co_await open_connection("127.0.0.1", 8888);
    auto read = [reader = reader, probe = Probe()]() mutable -> Coro<> { (void)co_await reader.readline(); };
    auto drain = [writer = writer, probe = Probe()]() mutable -> Coro<> {
        writer.write(std::string(300'000, 'x'));
        co_await writer.drain();
    };
    auto wait_closed = [writer = writer]() mutable -> Coro<> { co_await writer.wait_closed(); };
    auto serve = [server]() mutable -> Coro<> { co_await server.serve_forever(); };
    auto server_closed = [server]() mutable -> Coro<> { co_await server.wait_closed(); };
    std::vector<Task<>> tasks;
    tasks.push_back(create_task(read));
    tasks.push_back(create_task(drain));
    tasks.push_back(create_task(wait_closed));
    tasks.push_back(create_task(serve));
    tasks.push_back(create_task(server_closed));
    co_await sleep(1ms);
    for (Task<>& task : tasks)
        task.cancel();
    co_await sleep(0s);
    server.close();
    server.abort_clients();
    co_await gather(return_exceptions, tasks);
}

Coro<> blocked_executor() {
    EventLoop& loop = get_running_loop();
    std::vector<Future<>> futures;
    for (int i = 0; i < 5; ++i) {
        auto job = [probe = Probe()] {};
        futures.push_back(loop.run_in_executor(nullptr, job));
    }
    futures[3].cancel();
    (void)co_await gather(return_exceptions, futures);
}

Coro<> recurse(int depth, Probe probe) {
    const Probe in_frame;
    if (depth == 0) {
        co_await sleep(1ms);
        co_return;
    }
    auto body = [depth, probe](TaskGroup& group) -> Coro<> {
        group.create_task(recurse(depth - 1, probe));
        auto work = [depth, probe] { return recurse(depth - 1, probe); };
        auto cleanup = [probe]() -> Coro<> { co_await sleep(1ms); };
        co_await timeout(1h, [&]() -> Coro<> { co_await try_finally(work, cleanup); });
    };
    co_await task_group(body);
}

Coro<> nested_groups() {
    co_await recurse(3, Probe());
}

AsyncGenerator<int> inner_numbers(Probe) {
    const Probe in_frame;
    for (int i = 0; i < 2; ++i) {
        co_await sleep(1ms);
        co_yield i;
    }
}

AsyncGenerator<int> outer_numbers(Probe probe) {
    const Probe in_frame;
    auto inner = inner_numbers(probe);
    while (auto number = co_await inner.next())
        co_yield *number;
}

Coro<> nested_generators() {
    auto numbers = outer_numbers(Probe());
    int count = 0;
    while (auto number = co_await numbers.next())
        count += 1 + *number;
    require(count == 3, "generators: wrong numbers");
}

/// Takes the callback's captures along.
Coro<> callbacks() {
    EventLoop& loop = get_running_loop();
    Future<> future = loop.create_future<void>();
    future.add_done_callback([probe = Probe()] {});
    for (int i = 0; i < 3; ++i) {
        loop.call_soon([probe = Probe()] {});
        loop.call_later(i * 1ms, [probe = Probe()] {});
        loop.call_soon_threadsafe([probe = Probe()] {});
        co_await sleep(1ms);
    }
    future.set_result();
}

std::vector<Scenario> scenarios() {
    std::vector<Scenario> all = all_scenarios();
    all.emplace_back("blocked streams", blocked_streams);
    all.emplace_back("blocked executor", blocked_executor);
    all.emplace_back("nested groups", nested_groups);
    all.emplace_back("nested generators", nested_generators);
    all.emplace_back("callbacks", callbacks);
    return all;
}

}  // namespace

TEST_CASE("a loop may be closed at any point, with everything alive") {
    using Handle = InterruptedRun::Handle;
    for (const Handle handle : {Handle::dropped_first, Handle::dropped_after_close, Handle::outlives_loop})
        interrupt_everywhere(scenarios(), [handle](InterruptedRun& run) { run.close(handle); });
}

TEST_CASE("a task may be cancelled at any point") {
    interrupt_everywhere(scenarios(), [](InterruptedRun& run) { run.cancel(); });
}
