#include "torture/torture.hpp"

namespace weft::testing {

namespace {

Coro<> sleep_long(Probe = Probe()) {
    const Probe in_frame;
    co_await sleep(1h);
}

/// Cancels tasks when it goes.
class AllCancelled {
public:
    explicit AllCancelled(const std::vector<Task<>>& tasks) noexcept : tasks_(tasks) {}
    AllCancelled(const AllCancelled&) = delete;
    AllCancelled& operator=(const AllCancelled&) = delete;
    ~AllCancelled() {
        for (Task<> task : tasks_)
            task.cancel();
    }

private:
    const std::vector<Task<>>& tasks_;
};

/// Has something to await when it is cancelled.
Coro<> sleep_and_clean_up(std::shared_ptr<int> cleaned) {
    auto body = [] { return sleep_long(); };
    auto cleanup = [cleaned]() -> Coro<> {
        co_await sleep(100us);  // less than until somebody cancels
        ++*cleaned;
    };
    co_await try_finally(body, cleanup);
}

/// Refuses to be cancelled the first time.
Coro<int> refuse_once(Probe = Probe()) {
    try {
        co_await sleep(1h);
    } catch (const CancelledError&) {}
    co_await sleep(1ms);
    co_return 1;
}

/// Lets `task` run to where it waits, cancels it, and awaits its end.
template <class T>
Coro<> cancel_and_join(Task<T> task) {
    co_await sleep(1ms);
    task.cancel(long_text);
    bool cancelled = false;
    try {
        (void)co_await task;
    } catch (const CancelledError&) {
        cancelled = true;
    }
    require(cancelled && task.cancelled(), "the task was not cancelled");
}

Coro<> cancel_sleep() {
    co_await cancel_and_join(create_task(sleep_long()));
    Task<> unstarted = create_task(sleep_long());
    unstarted.cancel(long_text);
    co_await sleep(0s);
    require(unstarted.cancelled(), "the task has started");
}

Coro<> cancel_itself() {
    Task<> task = create_task([]() -> Coro<> {
        current_task().cancel(long_text);
        co_await get_running_loop().create_future<void>();
    });
    co_await sleep(0s);
    co_await sleep(0s);
    require(task.cancelled(), "the task is not cancelled");
}

Coro<> cancel_future() {
    auto wait_for_ever = []() -> Coro<> {
        const Probe in_frame;
        co_await get_running_loop().create_future<void>();
    };
    co_await cancel_and_join(create_task(wait_for_ever));
    auto wait_for_task = [inner = create_task(sleep_long())]() -> Coro<> { co_await inner; };
    co_await cancel_and_join(create_task(wait_for_task));
}

Coro<> cancel_gather() {
    auto body = []() -> Coro<> { co_await gather(sleep_long(), gather(sleep_long(), sleep_long())); };
    co_await cancel_and_join(create_task(body));
    auto outcomes = []() -> Coro<> {
        (void)co_await gather(return_exceptions, sleep_long(), refuse_once());
        require(false, "gather: the cancellation was lost");
    };
    co_await cancel_and_join(create_task(outcomes));
}

Coro<> cancel_wait() {
    auto body = []() -> Coro<> {
        std::vector<Task<>> all;
        all.push_back(create_task(sleep_long()));
        all.push_back(create_task(sleep_long()));
        const AllCancelled guard(all);
        (void)co_await wait(all, WaitOptions().timeout(2h));
    };
    co_await cancel_and_join(create_task(body));
    co_await sleep(0s);
}

Coro<> cancel_wait_for() {
    auto cleaned = std::make_shared<int>(0);
    auto body = [cleaned]() -> Coro<> { co_await wait_for(sleep_and_clean_up(cleaned), 2h); };
    co_await cancel_and_join(create_task(body));
    require(*cleaned == 1, "wait_for: no clean-up");
}

Coro<> cancel_timeout() {
    auto body = []() -> Coro<> {
        co_await timeout(2h, []() -> Coro<> { co_await timeout(3h, [] { return sleep_long(); }); });
    };
    co_await cancel_and_join(create_task(body));
}

Coro<> cancel_shield() {
    Task<int> inner = create_task(refuse_once());
    auto body = [inner]() -> Coro<> { (void)co_await shield(inner); };
    co_await cancel_and_join(create_task(body));
    inner.cancel();
    const int value = co_await inner;
    require(value == 1, "shield: the inner task was touched");
}

Coro<> cancel_as_completed() {
    auto body = []() -> Coro<> {
        std::vector<Task<>> all;
        all.push_back(create_task(sleep_long()));
        all.push_back(create_task(sleep_long()));
        const AllCancelled guard(all);
        auto ends = as_completed(all, 2h);
        while (auto next = co_await ends.next())
            co_await *next;
    };
    co_await cancel_and_join(create_task(body));
    co_await sleep(0s);
}

Coro<> cancel_task_group() {
    auto cleaned = std::make_shared<int>(0);
    auto body = [cleaned]() -> Coro<> {
        auto group_body = [cleaned](TaskGroup& group) -> Coro<> {
            group.create_task(sleep_long());
            group.create_task(sleep_and_clean_up(cleaned));
            co_await task_group([](TaskGroup& inner) -> Coro<> {
                inner.create_task(sleep_long());
                co_return;
            });
        };
        co_await task_group(group_body);
    };
    co_await cancel_and_join(create_task(body));
    require(*cleaned == 1, "task_group: no clean-up");
}

AsyncGenerator<int> numbers() {
    const Probe in_frame;
    for (int i = 0;; ++i) {
        co_yield i;
        co_await sleep(1h);
    }
}

Coro<> cancel_generator() {
    auto body = []() -> Coro<> {
        auto generator = numbers();
        while (auto number = co_await generator.next())
            require(*number == 0, "generator: an hour has passed");
    };
    co_await cancel_and_join(create_task(body));
}

Coro<> cancel_executor() {
    auto body = []() -> Coro<> {
        ConcurrentFuture<> never;
        co_await wrap_future(never);
    };
    co_await cancel_and_join(create_task(body));
}

Coro<> cancel_locks() {
    Lock lock;
    auto guard = co_await lock.scoped();
    auto acquire = [lock]() mutable -> Coro<> { co_await lock.acquire(); };
    co_await cancel_and_join(create_task(acquire));
    auto wait_event = [event = Event()]() mutable -> Coro<> { co_await event.wait(); };
    co_await cancel_and_join(create_task(wait_event));
    auto take_permit = [semaphore = Semaphore(0)]() mutable -> Coro<> { co_await semaphore.acquire(); };
    co_await cancel_and_join(create_task(take_permit));
    auto wait_barrier = [barrier = Barrier(2)]() mutable -> Coro<> { co_await barrier.wait(); };
    co_await cancel_and_join(create_task(wait_barrier));
    Condition condition;
    auto wait_condition = [condition]() mutable -> Coro<> {
        auto held = co_await condition.scoped();
        co_await condition.wait();
    };
    co_await cancel_and_join(create_task(wait_condition));
    require(!condition.locked(), "condition: the lock is held");
}

Coro<> cancel_queue() {
    Queue<std::string> queue(1);
    co_await queue.put(long_text);
    auto put = [queue]() mutable -> Coro<> { co_await queue.put(long_text); };
    co_await cancel_and_join(create_task(put));
    auto join = [queue]() mutable -> Coro<> { co_await queue.join(); };
    co_await cancel_and_join(create_task(join));
    const std::string text = co_await queue.get();
    auto get = [queue]() mutable -> Coro<> { (void)co_await queue.get(); };
    co_await cancel_and_join(create_task(get));
    require(text == long_text && queue.empty(), "queue: wrong items");
}

Coro<> cancel_repeatedly() {
    Task<int> task = create_task(refuse_once());
    co_await sleep(1ms);
    task.cancel(long_text);
    co_await sleep(0s);
    task.cancel("another text that does not fit into a small string");
    bool cancelled = false;
    try {
        (void)co_await task;
    } catch (const CancelledError&) {
        cancelled = true;
    }
    require(cancelled && task.cancelling() == 2, "the second request was lost");
}

}  // namespace

const std::vector<Scenario>& cancel_scenarios() {
    static const std::vector<Scenario> scenarios{
        Scenario("cancel sleep", cancel_sleep),
        Scenario("cancel itself", cancel_itself),
        Scenario("cancel future", cancel_future),
        Scenario("cancel gather", cancel_gather),
        Scenario("cancel wait", cancel_wait),
        Scenario("cancel wait_for", cancel_wait_for),
        Scenario("cancel timeout", cancel_timeout),
        Scenario("cancel shield", cancel_shield),
        Scenario("cancel as_completed", cancel_as_completed),
        Scenario("cancel task_group", cancel_task_group),
        Scenario("cancel generator", cancel_generator),
        Scenario("cancel executor", cancel_executor),
        Scenario("cancel locks", cancel_locks),
        Scenario("cancel queue", cancel_queue),
        Scenario("cancel repeatedly", cancel_repeatedly),
    };
    return scenarios;
}

}  // namespace weft::testing
