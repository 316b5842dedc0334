// Task micro-benchmarks on Weft. measure.hpp says what each line means.

#include "measure.hpp"

#include <weft/weft.hpp>

#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

using namespace weft;
using namespace std::chrono_literals;

namespace {

/// CPU time of `work`, run on a loop of its own; the loop's making and closing do not count.
template <class Work>
double time_on_loop(Work work) {
    const std::unique_ptr<EventLoop> loop = new_event_loop();
    double time = 0;
    loop->run_until_complete([&]() -> Coro<> {
        const double begin = bench::cpu_time();
        co_await work();
        time = bench::cpu_time() - begin;
    }());
    return time;
}

Coro<> empty() {
    co_return;
}

Coro<int> one() {
    co_return 1;
}

Coro<> give_way() {
    for (int i = 0; i < bench::switches_per_task; ++i)
        co_await sleep(0s);
}

Coro<> switch_tasks() {
    std::vector<Task<>> tasks;
    for (int i = 0; i < bench::tasks; ++i)
        tasks.push_back(create_task(give_way()));
    for (Task<>& task : tasks)
        co_await task;
}

/// The same while an accept is pending.
template <class Work>
double time_with_socket(Work work) {
    const std::unique_ptr<EventLoop> loop = new_event_loop();
    double time = 0;
    loop->run_until_complete([&]() -> Coro<> {
        auto ignore = [](StreamReader, StreamWriter) {};
        Server server = co_await start_server(ignore, "127.0.0.1", 0);
        const double begin = bench::cpu_time();
        co_await work();
        time = bench::cpu_time() - begin;
        server.close();
    }());
    return time;
}

Coro<> spawn_join() {
    for (int i = 0; i < bench::spawns; ++i)
        co_await create_task(empty());
}

Coro<> await_child() {
    std::int64_t sum = 0;
    for (int i = 0; i < bench::awaits; ++i)
        sum += co_await one();
    bench::keep(sum);
}

Coro<> call_soon() {
    EventLoop& loop = get_running_loop();
    std::int64_t count = 0;
    for (int i = 0; i < bench::calls; i += bench::calls_per_batch) {
        for (int j = 0; j < bench::calls_per_batch; ++j)
            loop.call_soon([&count] { ++count; });
        co_await sleep(0s);
    }
    bench::keep(count);
}

/// The timers of one repetition; armed as an application would arm them, keeping the handles.
class Timers {
public:
    void arm(Duration earliest, Duration range) {
        EventLoop& loop = get_running_loop();
        const TimePoint start = loop.time() + earliest;
        for (int i = 0; i < bench::timers; ++i)
            handles_.push_back(loop.call_at(start + Duration(random_.below(range.count())), [this] { ++fired_; }));
    }
    void cancel() {
        for (TimerHandle& handle : handles_)
            handle.cancel();
    }
    int fired() const { return fired_; }

private:
    bench::Random random_;
    int fired_ = 0;
    std::vector<TimerHandle> handles_;
};

double timer_cancel() {
    const auto timers = std::make_unique<Timers>();
    return time_on_loop([&]() -> Coro<> {
        timers->arm(1h, 1h);
        timers->cancel();
        co_await sleep(0s);
    });
}

double timer_fire() {
    const auto timers = std::make_unique<Timers>();
    return time_on_loop([&]() -> Coro<> {
        timers->arm(0s, 100ms);
        while (timers->fired() < bench::timers)
            co_await sleep(1ms);
    });
}

Coro<> gather_children() {
    for (int i = 0; i < bench::gathers; ++i) {
        std::vector<Coro<>> children;
        children.reserve(bench::children_per_gather);
        for (int j = 0; j < bench::children_per_gather; ++j)
            children.push_back(empty());
        (void)co_await gather(std::move(children));
    }
}

Coro<> wait_long() {
    co_await sleep(1h);
}

double cancel_tasks() {
    double time = 0;
    const std::unique_ptr<EventLoop> loop = new_event_loop();
    loop->run_until_complete([&]() -> Coro<> {
        for (int batch = 0; batch < bench::cancel_batches; ++batch) {
            std::vector<Task<>> tasks;
            for (int i = 0; i < bench::cancels_per_batch; ++i)
                tasks.push_back(create_task(wait_long()));
            co_await sleep(0s);
            const double begin = bench::cpu_time();
            for (Task<>& task : tasks)
                task.cancel();
            co_await sleep(0s);
            time += bench::cpu_time() - begin;
            for (Task<>& task : tasks)
                if (!task.cancelled()) std::abort();
        }
    }());
    return time;
}

Coro<> echo(Queue<int> in, Queue<int> out) {
    for (int i = 0; i < bench::round_trips; ++i) {
        const int item = co_await in.get();
        co_await out.put(item);
    }
}

Coro<> queue() {
    Queue<int> there;
    Queue<int> back;
    Task<> other = create_task(echo(there, back));
    std::int64_t sum = 0;
    for (int i = 0; i < bench::round_trips; ++i) {
        co_await there.put(i);
        sum += co_await back.get();
    }
    co_await other;
    bench::keep(sum);
}

Coro<> lock() {
    Lock lock;
    for (int i = 0; i < bench::lock_rounds; ++i) {
        co_await lock.acquire();
        lock.release();
    }
}

Coro<> answer(Event in, Event out) {
    for (int i = 0; i < bench::round_trips; ++i) {
        co_await in.wait();
        in.clear();
        out.set();
    }
}

Coro<> event() {
    Event there;
    Event back;
    Task<> other = create_task(answer(there, back));
    for (int i = 0; i < bench::round_trips; ++i) {
        there.set();
        co_await back.wait();
        back.clear();
    }
    co_await other;
}

Coro<> eager_tasks() {
    const auto nothing = []() -> Coro<> { co_return; };
    for (int i = 0; i < bench::spawns; ++i)
        create_task(nothing(), TaskOptions().eager_start(true));
    co_return;
}

ContextVar<std::int64_t> variable("variable");

Coro<> context_get() {
    variable.set(1);
    std::int64_t sum = 0;
    for (int i = 0; i < bench::lock_rounds; ++i)
        sum += variable.get();
    bench::keep(sum);
    co_return;
}

Coro<> executor() {
    EventLoop& loop = get_running_loop();
    ThreadPoolExecutor pool(1, "bench");
    std::int64_t sum = 0;
    for (int i = 0; i < bench::executor_rounds; ++i) {
        Future<int> done = loop.run_in_executor(&pool, [](int n) { return n; }, i);
        sum += co_await done;
    }
    bench::keep(sum);
}

Coro<> threadsafe() {
    EventLoop& loop = get_running_loop();
    int count = 0;
    Future<> all = loop.create_future<void>();
    std::thread other([&] {
        for (int i = 0; i < bench::calls; ++i)
            loop.call_soon_threadsafe([&] {
                if (++count == bench::calls) all.set_result();
            });
    });
    co_await all;
    other.join();
}

}  // namespace

int main(int argc, char** argv) {
    bench::begin(argc, argv);
    bench::report("switch", 1.0 * bench::tasks * bench::switches_per_task, [] { return time_on_loop(switch_tasks); });
    bench::report("switch_socket", 1.0 * bench::tasks * bench::switches_per_task,
                  [] { return time_with_socket(switch_tasks); });
    bench::report("spawn_join", bench::spawns, [] { return time_on_loop(spawn_join); });
    bench::report("await_child", bench::awaits, [] { return time_on_loop(await_child); });
    bench::report("call_soon", bench::calls, [] { return time_on_loop(call_soon); });
    bench::report("timer_cancel", bench::timers, timer_cancel);
    bench::report("timer_fire", bench::timers, timer_fire);
    bench::report("gather", 1.0 * bench::gathers * bench::children_per_gather,
                  [] { return time_on_loop(gather_children); });
    bench::report("cancel", 1.0 * bench::cancel_batches * bench::cancels_per_batch, cancel_tasks);
    bench::report("queue", bench::round_trips, [] { return time_on_loop(queue); });
    bench::report("lock", bench::lock_rounds, [] { return time_on_loop(lock); });
    bench::report("eager", bench::spawns, [] { return time_on_loop(eager_tasks); });
    bench::report("context_get", bench::lock_rounds, [] { return time_on_loop(context_get); });
    bench::report("executor", bench::executor_rounds, [] { return time_on_loop(executor); });
    bench::report("executor_socket", bench::executor_rounds, [] { return time_with_socket(executor); });
    bench::report_elapsed("round_trip", bench::executor_rounds, [] { return time_on_loop(executor); });
    bench::report_elapsed("round_trip_socket", bench::executor_rounds, [] { return time_with_socket(executor); });
    bench::report("threadsafe", bench::calls, [] { return time_on_loop(threadsafe); });
    bench::report("event", bench::round_trips, [] { return time_on_loop(event); });
}
