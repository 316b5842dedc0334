#include "torture/torture.hpp"

namespace weft::testing {

namespace {

Coro<> produce(Queue<std::string> queue, int count, Probe = Probe()) {
    const Probe in_frame;
    for (int i = 0; i < count; ++i)
        co_await queue.put(std::string(long_text));
}

Coro<> consume(Queue<std::string> queue, std::shared_ptr<int> count) {
    const Probe in_frame;
    try {
        for (;;) {
            const std::string text = co_await queue.get();
            queue.task_done();
            *count += text == long_text;
        }
    } catch (const QueueShutDown&) {}
}

/// Shuts a queue down when it goes, so that who waits for it ends too.
template <class Q>
class ShutDown {
public:
    explicit ShutDown(Q& queue) noexcept : queue_(queue) {}
    ShutDown(const ShutDown&) = delete;
    ShutDown& operator=(const ShutDown&) = delete;
    ~ShutDown() { queue_.shutdown(true); }

private:
    Q& queue_;
};

Coro<> queues() {
    auto count = std::make_shared<int>(0);
    Queue<std::string> queue(2);
    const ShutDown end(queue);
    co_await task_group([&](TaskGroup& group) -> Coro<> {
        group.create_task(consume(queue, count));
        group.create_task(consume(queue, count));
        Task<> first = group.create_task(produce(queue, 5));
        Task<> second = group.create_task(produce(queue, 5));
        co_await first;
        co_await second;
        co_await queue.join();
        queue.shutdown();
    });
    require(*count == 10, "queue: items were lost");
}

Coro<> other_queues() {
    PriorityQueue<int> least;
    LifoQueue<std::string> last;
    Queue<std::unique_ptr<int>> many;
    for (int i = 0; i < 20; ++i) {
        co_await least.put(20 - i);
        last.put_nowait(std::string(long_text));
        many.put_nowait(std::make_unique<int>(i));
    }
    int sum = 0;
    for (int i = 0; i < 20; ++i) {
        const auto item = co_await many.get();
        sum += *item == i && co_await least.get() == i + 1 && last.get_nowait() == long_text;
    }
    require(sum == 20, "queues: wrong items");
}

Coro<> add_under_lock(Lock lock, std::shared_ptr<int> count, Probe = Probe()) {
    const Probe in_frame;
    auto guard = co_await lock.scoped();
    const int before = *count;
    co_await sleep(1ms);
    *count = before + 1;
}

Coro<> locks() {
    Lock lock;
    auto count = std::make_shared<int>(0);
    co_await task_group([&](TaskGroup& group) -> Coro<> {
        for (int i = 0; i < 4; ++i)
            group.create_task(add_under_lock(lock, count));
        co_return;
    });
    require(*count == 4 && !lock.locked(), "lock: two were inside");
}

Coro<> use_semaphore(Semaphore semaphore, std::shared_ptr<int> count) {
    auto permit = co_await semaphore.scoped();
    const Probe in_frame;
    co_await sleep(1ms);
    ++*count;
}

Coro<> semaphores() {
    Semaphore semaphore(2);
    auto count = std::make_shared<int>(0);
    co_await gather(use_semaphore(semaphore, count), use_semaphore(semaphore, count), use_semaphore(semaphore, count));
    require(*count == 3 && !semaphore.locked(), "semaphore: permits were lost");
}

Coro<> wait_for_count(Condition condition, std::shared_ptr<int> count) {
    auto guard = co_await condition.scoped();
    const Probe in_frame;
    auto enough = [count] { return *count >= 2; };
    (void)co_await condition.wait_for(enough);
}

Coro<> conditions() {
    Condition condition;
    auto count = std::make_shared<int>(0);
    co_await task_group([&](TaskGroup& group) -> Coro<> {
        group.create_task(wait_for_count(condition, count));
        group.create_task(wait_for_count(condition, count));
        for (int i = 0; i < 2; ++i) {
            co_await sleep(1ms);
            auto guard = co_await condition.scoped();
            ++*count;
            condition.notify_all();
        }
    });
    require(!condition.locked(), "condition: the lock is held");
}

Coro<> pass(Barrier barrier, Event event, std::shared_ptr<int> sum) {
    const Probe in_frame;
    *sum += co_await barrier.wait();
    co_await event.wait();
}

Coro<> barriers() {
    Barrier barrier(3);
    Event event;
    auto sum = std::make_shared<int>(0);
    co_await task_group([&](TaskGroup& group) -> Coro<> {
        for (int i = 0; i < 3; ++i)
            group.create_task(pass(barrier, event, sum));
        co_await sleep(1ms);
        event.set();
    });
    require(*sum == 3, "barrier: wrong numbers");
}

}  // namespace

const std::vector<Scenario>& sync_scenarios() {
    static const std::vector<Scenario> scenarios{
        Scenario("queue", queues),         Scenario("other queues", other_queues),
        Scenario("lock", locks),           Scenario("semaphore", semaphores),
        Scenario("condition", conditions), Scenario("barrier and event", barriers),
    };
    return scenarios;
}

}  // namespace weft::testing
