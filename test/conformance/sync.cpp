// Rules 85 to 91: Lock, Event, Condition, Semaphore, Barrier.
#include "twin.hpp"

using namespace weft;
using namespace weft::conformance;

namespace {

template <class F>
std::vector<Task<>> start(F& body, std::initializer_list<const char*> names) {
    std::vector<Task<>> tasks;
    for (const char* name : names)
        tasks.push_back(create_task(body(std::string(name))));
    return tasks;
}

std::string done(const std::vector<Task<>>& tasks) {
    std::string text;
    for (const Task<>& task : tasks)
        text += (text.empty() ? "" : " ") + yes(task.done());
    return text;
}

void trace_next_turn() {
    get_running_loop().call_soon([] { trace("the loop went on"); });
}

}  // namespace

TWIN(85, "Lock: release wakes the first waiter; a newcomer queues behind it though locked() is false") {
    Lock lock;
    auto work = [&](std::string name) -> Coro<> {
        {
            auto guard = co_await lock.scoped();
            trace(name + " has it");
            co_await turns(1);
        }
        trace(name + " released");
    };
    co_await lock.acquire();
    Task<> first = create_task(work("first"));
    Task<> second = create_task(work("second"));
    co_await turns(1);
    lock.release();
    trace("locked: " + yes(lock.locked()));
    co_await work("newcomer");
    co_await first;
    co_await second;
    trace("locked: " + yes(lock.locked()));
    trace(ending_of_call([&] { lock.release(); }));
    trace_next_turn();
    co_await lock.acquire();
    trace("free: no waiting");
    lock.release();
    co_await turns(1);
}

TWIN(86, "Lock: a waiter that was woken and is cancelled passes the wake-up on") {
    Lock lock;
    auto work = [&](std::string name) -> Coro<> {
        try {
            co_await lock.acquire();
        } catch (const CancelledError&) {
            trace(name + " cancelled, locked: " + yes(lock.locked()));
            throw;
        }
        trace(name + " has it");
        lock.release();
    };
    co_await lock.acquire();
    std::vector<Task<>> tasks = start(work, {"first", "second", "third"});
    co_await turns(1);
    lock.release();  // wakes the first
    tasks[0].cancel();
    co_await turns(4);
    trace(done(tasks));
    trace("-- cancelled before the release");
    co_await lock.acquire();
    tasks = start(work, {"first", "second"});
    co_await turns(1);
    tasks[0].cancel();
    lock.release();
    co_await turns(4);
    trace(done(tasks));
    trace("-- cancelled while it is held");
    co_await lock.acquire();
    tasks = start(work, {"first", "second"});
    co_await turns(1);
    tasks[0].cancel();
    co_await turns(2);
    lock.release();
    co_await turns(4);
    trace(done(tasks) + ", locked: " + yes(lock.locked()));
}

TWIN(87, "Event: set wakes all that wait in order, even if clear() follows at once") {
    Event event;
    auto wait = [&](std::string name) -> Coro<> {
        const bool result = co_await event.wait();
        trace(name + " woken: " + yes(result) + ", set: " + yes(event.is_set()));
    };
    std::vector<Task<>> tasks = start(wait, {"first", "second", "third"});
    co_await turns(1);
    tasks[1].cancel();
    event.set();
    event.clear();
    Task<> late = create_task(wait("late"));
    co_await turns(3);
    trace(done(tasks) + ", late: " + yes(late.done()));
    event.set();
    event.set();
    co_await late;
    trace_next_turn();
    co_await wait("while it is set");
    co_await turns(1);
}

TWIN(88, "Condition: wait takes the lock again even when cancelled repeatedly, and raises holding it") {
    Condition condition;
    auto wait = [&](std::string name) -> Coro<> {
        auto guard = co_await condition.scoped();
        try {
            co_await condition.wait();
        } catch (const CancelledError&) {
            trace(name + ": " + error_text(std::current_exception()) + ", locked: " + yes(condition.locked()));
            throw;
        }
        trace(name + " notified, locked: " + yes(condition.locked()));
    };
    trace(ending_of_call([&] { condition.notify(); }));
    trace(co_await ending(condition.wait()));
    Task<> task = create_task(wait("waiter"));
    co_await turns(1);
    co_await condition.acquire();
    task.cancel("first");
    co_await turns(2);
    trace("done while the lock is held: " + yes(task.done()));
    task.cancel("second");
    co_await turns(2);
    trace("done while the lock is held: " + yes(task.done()));
    condition.release();
    trace(co_await ending(task));
    trace("locked: " + yes(condition.locked()) + ", cancelling: " + std::to_string(task.cancelling()));
    trace("-- notify");
    std::vector<Task<>> tasks = start(wait, {"first", "second", "third"});
    co_await turns(1);
    {
        auto guard = co_await condition.scoped();
        condition.notify();
        trace("notified one");
    }
    co_await turns(3);
    {
        auto guard = co_await condition.scoped();
        condition.notify_all();
    }
    (void)co_await weft::wait(tasks);
    std::string value;
    auto wait_for_value = [&]() -> Coro<> {
        auto guard = co_await condition.scoped();
        co_await condition.wait_for([&value] { return !value.empty(); });
        trace(value);
    };
    task = create_task(wait_for_value());
    for (const char* next : {"", "value"}) {
        value = next;
        co_await turns(1);
        auto guard = co_await condition.scoped();
        condition.notify_all();
    }
    co_await task;
}

TWIN(89, "Condition: a waiter that was notified and is cancelled passes the notification on") {
    Condition condition;
    auto wait = [&](std::string name) -> Coro<> {
        auto guard = co_await condition.scoped();
        co_await condition.wait();
        trace(name + " notified");
    };
    std::vector<Task<>> tasks = start(wait, {"first", "second"});
    co_await turns(1);
    {
        auto guard = co_await condition.scoped();
        condition.notify();
        tasks[0].cancel();
    }
    co_await turns(5);
    trace("first cancelled: " + yes(tasks[0].cancelled()) + ", second done: " + yes(tasks[1].done()));
    tasks[1].cancel();
    (void)co_await ending(tasks[1]);
}

TWIN(90,
     "Semaphore: first come, first served; a newcomer queues; cancelled after the wake-up it gives the permit back") {
    Semaphore semaphore(1);
    auto work = [&](std::string name) -> Coro<> {
        co_await semaphore.acquire();
        trace(name + " has it");
        co_await turns(1);
        semaphore.release();
    };
    co_await semaphore.acquire();
    trace("locked: " + yes(semaphore.locked()));
    Task<> first = create_task(work("first"));
    Task<> second = create_task(work("second"));
    co_await turns(1);
    semaphore.release();
    trace("locked: " + yes(semaphore.locked()));
    co_await work("newcomer");
    co_await first;
    co_await second;
    trace("locked: " + yes(semaphore.locked()));
    trace("-- cancelled after the wake-up");
    co_await semaphore.acquire();
    std::vector<Task<>> tasks = start(work, {"first", "second"});
    co_await turns(1);
    semaphore.release();
    tasks[0].cancel();
    co_await turns(4);
    trace(yes(tasks[0].cancelled()) + " " + yes(tasks[1].done()) + ", locked: " + yes(semaphore.locked()));
    trace("-- two permits");
    semaphore = Semaphore(2);
    tasks = start(work, {"first", "second", "third", "fourth"});
    (void)co_await weft::wait(tasks);
    trace(ending_of_call([] { Semaphore negative(-1); }));
    BoundedSemaphore bounded(1);
    co_await bounded.acquire();
    bounded.release();
    trace(ending_of_call([&] { bounded.release(); }));
}

TWIN(91, "Barrier: draining blocks the next generation; reset breaks the waits, abort the barrier") {
    Barrier barrier(2);
    auto wait = [&](std::string name) -> Coro<> {
        try {
            const int index = co_await barrier.wait();
            trace(name + ": " + std::to_string(index));
        } catch (const BrokenBarrierError&) {
            trace(name + ": broken");
        }
    };
    trace(ending_of_call([] { Barrier nobody(0); }));
    std::vector<Task<>> tasks = start(wait, {"first", "second", "third", "fourth"});
    (void)co_await weft::wait(tasks);
    trace("waiting: " + std::to_string(barrier.n_waiting()) + " of " + std::to_string(barrier.parties()) +
          ", broken: " + yes(barrier.broken()));
    trace("-- a waiter that is cancelled leaves");
    Task<> task = create_task(wait("cancelled one"));
    co_await turns(1);
    trace("waiting: " + std::to_string(barrier.n_waiting()));
    task.cancel();
    (void)co_await ending(task);
    trace("waiting: " + std::to_string(barrier.n_waiting()) + ", broken: " + yes(barrier.broken()));
    trace("-- reset");
    task = create_task(wait("fifth"));
    co_await turns(1);
    co_await barrier.reset();
    co_await task;
    trace("broken: " + yes(barrier.broken()));
    co_await gather(wait("sixth"), wait("seventh"));
    trace("-- abort");
    task = create_task(wait("eighth"));
    co_await turns(1);
    co_await barrier.abort();
    co_await task;
    trace("broken: " + yes(barrier.broken()));
    co_await wait("ninth");
    co_await barrier.reset();
    trace("broken: " + yes(barrier.broken()));
}
