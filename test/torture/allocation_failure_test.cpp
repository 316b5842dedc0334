// Each scenario is run with its n-th allocation failing, for every n: the failure is seen by somebody, the loop goes on
// to work, and once it is closed everything is gone.
#include "torture/torture.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

bool is_lack_of_memory(const std::exception_ptr& error) {
    if (contains<std::bad_alloc>(error)) return true;
    try {
        if (error) std::rethrow_exception(error);
    } catch (const std::system_error& system) {
        return system.code() == std::errc::not_enough_memory;  // as a socket says it
    } catch (const ExceptionGroup& group) {
        return std::any_of(group.exceptions().begin(), group.exceptions().end(), is_lack_of_memory);
    } catch (...) {}
    return false;
}

/// Where a scenario runs.
using MakeLoop = std::unique_ptr<EventLoop> (*)();

std::unique_ptr<EventLoop> simulated() {
    return make_simulated_loop();
}

/// One run of a scenario: what came of it, and what is wrong with that.
class FailingRun {
public:
    FailingRun(const Scenario& scenario, MakeLoop make_loop, long nth)
        : scenario_(scenario), make_loop_(make_loop), nth_(nth) {
        errors_.reserve(64);
    }

    void run() {
        const long probes = Probe::alive();
        {
            const auto loop = make_loop_();
            loop->set_exception_handler([this](EventLoop&, const ExceptionContext& context) {
                if (context.exception && errors_.size() < errors_.capacity()) errors_.push_back(context.exception);
            });
            torture(*loop);
            check_usable(*loop);
            loop->close();
        }
        if (Probe::alive() != probes) problem("objects are left, or were destroyed too often");
        if (Probe::broken() != 0) problem("something was destroyed twice");
        errors_.clear();
    }
    /// True if there was an n-th allocation.
    bool failed() const noexcept { return failed_; }
    const std::string& problems() const noexcept { return problems_; }

private:
    void torture(EventLoop& loop) {
        Task<> task;
        bool added = false;
        const auto stop = [&loop] { loop.stop(); };
        arm_allocation_failure(nth_);
        try {
            task = loop.create_task(scenario_.run());
            task.add_done_callback(stop);
            added = true;
        } catch (...) {
            errors_.push_back(std::current_exception());
        }
        if (task && !added) task.add_done_callback(stop);
        if (task) run_until_stopped(loop);
        failed_ = disarm_allocation_failure();
        if (!task) return;
        if (!task.done()) {
            problem("the task has not ended");
            return;
        }
        const std::exception_ptr error =
            task.cancelled() ? std::make_exception_ptr(CancelledError()) : task.exception();
        errors_.push_back(error);
        const bool seen = std::any_of(errors_.begin(), errors_.end(), is_lack_of_memory);
        if (error && !seen) problem("ended with " + describe_exception(error) + ", and nobody saw the failure");
        if (error) {
            // What it left behind need not have an end of its own.
            for (AnyTask& left : all_tasks(loop))
                left.cancel();
        }
        errors_.clear();
    }

    void run_until_stopped(EventLoop& loop) {
        try {
            loop.run_forever();
        } catch (...) {
            const AllocationsSucceed while_reporting;
            problem("the loop was left by " + describe_exception(std::current_exception()));
        }
    }

    /// The same loop runs something else; what the scenario left behind ends meanwhile.
    void check_usable(EventLoop& loop) {
        auto work = []() -> Coro<int> {
            Queue<int> queue;
            Future<int> future = get_running_loop().create_future<int>();
            get_running_loop().call_later(1ms, [future, queue]() mutable {
                queue.put_nowait(2);
                future.set_result(1);
            });
            auto get = [queue]() mutable -> Coro<int> { co_return co_await queue.get(); };
            auto [a, b] = co_await gather(future, get());
            co_await task_group([](TaskGroup& group) -> Coro<> {
                group.create_task([]() -> Coro<> { co_await sleep(3ms); });
                co_return;
            });
            co_return a + b;
        };
        try {
            const int sum = loop.run_until_complete(work());
            if (sum != 3) problem("the loop computes nonsense");
            for (const AnyTask& task : all_tasks(loop))
                problem("a task was left: " + task.repr());
        } catch (...) {
            problem("the loop is not usable: " + describe_exception(std::current_exception()));
        }
    }

    void problem(const std::string& what) {
        problems_ += std::string("\n  ") + scenario_.name + ", allocation " + std::to_string(nth_) + ": " + what;
    }

    const Scenario& scenario_;
    const MakeLoop make_loop_;
    const long nth_;
    std::vector<std::exception_ptr> errors_;  // that somebody saw
    bool failed_ = false;
    std::string problems_;
};

void torture(const Scenario& scenario, MakeLoop make_loop = simulated) {
    long nth = 0;
    bool failed = true;
    std::size_t wrong = 0;
    // The first run makes what is made once for the whole program.
    on_fresh_thread([&] { FailingRun(scenario, make_loop, 0).run(); });
    while (failed && wrong < 20) {
        ++nth;
        const long before = live_allocations();
        std::string problems;
        on_fresh_thread([&] {
            FailingRun run(scenario, make_loop, nth);
            run.run();
            failed = run.failed();
            problems = run.problems();
        });
        const auto count_left = [&] { return live_allocations() - before - (problems.capacity() > 15 ? 1 : 0); };
        const long left = count_left();
        if (left != 0)
            problems += std::string("\n  ") + scenario.name + ", allocation " + std::to_string(nth) + ": " +
                        std::to_string(left) + " blocks are left";
        CHECK_MESSAGE(problems.empty(), problems);
        wrong += !problems.empty();
    }
    CHECK_MESSAGE(nth > 1, scenario.name);
}

}  // namespace

TEST_CASE("any allocation may fail: tasks, futures, combinators") {
    for (const Scenario& scenario : task_scenarios())
        torture(scenario);
}

TEST_CASE("any allocation may fail: cancellation") {
    for (const Scenario& scenario : cancel_scenarios())
        torture(scenario);
}

TEST_CASE("any allocation may fail: locks and queues") {
    for (const Scenario& scenario : sync_scenarios())
        torture(scenario);
}

TEST_CASE("any allocation may fail: servers and streams") {
    for (const Scenario& scenario : io_scenarios())
        torture(scenario);
}

TEST_CASE("any allocation may fail: servers and streams over real sockets") {
    for (const Scenario& scenario : io_scenarios())
        torture(scenario, make_real_loop);
}

TEST_CASE("any allocation may fail: descriptors, TLS, pipes, processes, threads") {
    for (const Scenario& scenario : system_scenarios())
        torture(scenario, make_real_loop);
}
