// Who waits for a queue and how: the order, and cancellation.
#include "support/harness.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

Task<int> start_get(Queue<int> queue) {
    return create_task(Coro<int>(queue.get()));
}
Task<> start_put(Queue<int> queue, int item) {
    return create_task(Coro<>(queue.put(item)));
}

Coro<> get_and_tell(Queue<int> queue, Trace& trace, std::string name) {
    const int item = co_await queue.get();
    trace(name + std::to_string(item));
}

}  // namespace

TEST_CASE("put and get do not suspend when they need not") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue(1);
        const std::uint64_t steps = get_running_loop().steps();
        for (int i = 0; i < 10; ++i) {
            co_await queue.put(i);
            const int item = co_await queue.get();
            CHECK(item == i);
        }
        CHECK(get_running_loop().steps() == steps);
    });
}

TEST_CASE("a put with a name is awaited once: RuntimeError the second time, and nothing is put") {
    run_simulated([]() -> Coro<> {
        Queue<std::string> queue;
        auto put = queue.put("item");
        co_await put;
        std::string text;
        try {
            co_await put;
        } catch (const RuntimeError& error) {
            text = error.what();
        }
        CHECK(text == "cannot reuse already awaited coroutine");
        CHECK(queue.qsize() == 1);
        const std::string item = co_await queue.get();
        CHECK(item == "item");
    });
}

TEST_CASE("a getter waits for an item, and a putter for room") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue(1);
        EventLoop& loop = get_running_loop();
        loop.call_later(1s, [queue]() mutable { queue.put_nowait(7); });
        const TimePoint begin = loop.time();
        const int item = co_await queue.get();
        CHECK(item == 7);
        CHECK(loop.time() == begin + 1s);
        queue.put_nowait(1);
        loop.call_later(1s, [queue]() mutable { (void)queue.get_nowait(); });
        co_await queue.put(2);
        CHECK(loop.time() == begin + 2s);
        CHECK(queue.get_nowait() == 2);
    });
}

TEST_CASE("getters are served in the order they came") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue;
        Trace trace;
        std::vector<Task<>> tasks;
        for (const char* name : {"a", "b", "c"})
            tasks.push_back(create_task(get_and_tell(queue, trace, name)));
        co_await turns(1);
        for (int i = 1; i <= 3; ++i)
            queue.put_nowait(i);
        co_await gather(std::move(tasks));
        CHECK(trace.text() == "a1 b2 c3");
    });
}

TEST_CASE("rule 93: putters are served in the order they came") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue(1);
        queue.put_nowait(0);
        std::vector<Task<>> tasks;
        for (int i = 1; i <= 4; ++i)
            tasks.push_back(start_put(queue, i));
        co_await turns(1);
        CHECK(queue.repr() == "<Queue maxsize=1 _queue=[0] _putters[4] tasks=1>");
        for (int expected = 0; expected <= 4; ++expected) {
            const int item = co_await queue.get();
            CHECK(item == expected);
        }
        co_await gather(std::move(tasks));
    });
}

TEST_CASE("a putter goes on as soon as there is room, and puts when it runs") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue(2);
        std::vector<int> put;
        auto body = [&]() -> Coro<> {
            for (int i = 0; i < 3; ++i) {
                co_await queue.put(i);
                put.push_back(i);
            }
        };
        Task<> task = create_task(body());
        co_await turns(2);
        CHECK(put == std::vector<int>{0, 1});
        const int first = co_await queue.get();
        CHECK(first == 0);
        CHECK(queue.qsize() == 1);
        co_await turns(1);
        CHECK(put == std::vector<int>{0, 1, 2});
        CHECK(task.done());
    });
}

TEST_CASE("producers and consumers with a small queue do not lose each other") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue(1);
        int sum = 0;
        auto producer = [&]() -> Coro<> {
            for (int i = 1; i <= 5; ++i)
                co_await queue.put(i);
        };
        auto consumer = [&]() -> Coro<> {
            for (int i = 1; i <= 5; ++i) {
                const int item = co_await queue.get();
                sum += item;
            }
        };
        Task<> a = create_task(producer());
        Task<> b = create_task(consumer());
        co_await gather(a, b);
        CHECK(sum == 15);
    });
}

TEST_CASE("all putters that wait get in when several items are taken in one step") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue(2);
        auto getter = [&]() -> Coro<> {
            co_await sleep(0s);
            for (std::size_t i = queue.qsize(); i > 0; --i)
                (void)queue.get_nowait();
        };
        Task<> task = create_task(getter());
        std::vector<Task<>> putters;
        for (int i = 0; i < 4; ++i)
            putters.push_back(start_put(queue, i));
        co_await gather(std::move(putters));
        co_await task;
        CHECK(queue.qsize() == 2);
    });
}

// The item stays in the queue until the getter runs

TEST_CASE("an item that wakes a getter is in the queue until that one runs") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue;
        Task<int> getter = start_get(queue);
        co_await turns(1);
        queue.put_nowait(1);
        CHECK(queue.qsize() == 1);
        co_await turns(1);
        CHECK(queue.empty());
        CHECK(getter.result() == 1);
    });
}

TEST_CASE("a woken getter whose item somebody else took waits again, at the end of the line") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue;
        Trace trace;
        Task<> a = create_task(get_and_tell(queue, trace, "a"));
        Task<> b = create_task(get_and_tell(queue, trace, "b"));
        co_await turns(1);
        queue.put_nowait(1);
        CHECK(queue.get_nowait() == 1);
        co_await turns(2);
        CHECK(trace.text().empty());
        CHECK(queue.repr() == "<Queue maxsize=0 _getters[2] tasks=1>");
        queue.put_nowait(2);
        queue.put_nowait(3);
        co_await gather(a, b);
        CHECK(trace.text() == "b2 a3");
    });
}

TEST_CASE("a woken putter whose room somebody else took waits again, at the end of the line") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue(1);
        queue.put_nowait(0);
        Task<> a = start_put(queue, 1);
        Task<> b = start_put(queue, 2);
        co_await turns(1);
        CHECK(queue.get_nowait() == 0);
        queue.put_nowait(9);
        co_await turns(2);
        CHECK(queue.repr() == "<Queue maxsize=1 _queue=[9] _putters[2] tasks=2>");
        std::vector<int> got;
        for (int i = 0; i < 3; ++i) {
            const int item = co_await queue.get();
            got.push_back(item);
        }
        CHECK(got == std::vector<int>{9, 2, 1});
        co_await gather(a, b);
    });
}

TEST_CASE("a getter that waits again can be cancelled, and be shut down") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue;
        Task<int> a = start_get(queue);
        Task<int> b = start_get(queue);
        co_await turns(1);
        for (int i = 0; i < 2; ++i) {
            queue.put_nowait(i);
            CHECK(queue.get_nowait() == i);
            co_await turns(1);
        }
        a.cancel();
        const std::string cancelled = co_await ending(a);
        CHECK(cancelled == "CancelledError");
        queue.shutdown();
        const std::string shut_down = co_await ending(b);
        CHECK(shut_down == "QueueShutDown");
    });
}

// Cancellation

TEST_CASE("a cancelled getter leaves the line") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue(5);
        const std::string text = co_await ending(wait_for(queue.get(), 100ms));
        CHECK(text == "TimeoutError");
        CHECK(queue.repr() == "<Queue maxsize=5>");
        Task<int> a = start_get(queue);
        Task<int> b = start_get(queue);
        co_await turns(1);
        a.cancel();
        co_await turns(1);
        CHECK(a.cancelled());
        queue.put_nowait(1);
        const int item = co_await b;
        CHECK(item == 1);
    });
}

TEST_CASE("rule 92: a getter cancelled in the step it was woken for leaves the item, and the next getter is woken") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue;
        Task<int> a = start_get(queue);
        Task<int> b = start_get(queue);
        co_await turns(1);
        queue.put_nowait(1);
        a.cancel();
        CHECK(queue.qsize() == 1);
        co_await turns(1);
        CHECK(a.cancelled());
        CHECK(queue.qsize() == 1);
        co_await turns(1);
        CHECK(b.result() == 1);
    });
}

TEST_CASE("rule 92: the same with nobody else waiting: the item is there for who comes next") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue;
        Task<int> reader = start_get(queue);
        co_await turns(1);
        queue.put_nowait(1);
        queue.put_nowait(2);
        reader.cancel();
        const std::string text = co_await ending(reader);
        CHECK(text == "CancelledError");
        CHECK(queue.qsize() == 2);
        const int item = co_await queue.get();
        CHECK(item == 1);
    });
}

TEST_CASE("rule 92: with several getters and items nothing is lost") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue;
        Task<int> a = start_get(queue);
        Task<int> b = start_get(queue);
        Task<int> c = start_get(queue);
        co_await turns(1);
        queue.put_nowait(1);
        queue.put_nowait(2);
        a.cancel();
        const std::string text = co_await ending(a);
        CHECK(text == "CancelledError");
        const int last = co_await c;
        CHECK(b.result() + last == 3);
    });
}

TEST_CASE("rule 92: a getter that was woken and cancelled wakes nobody if the item is gone") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue;
        Task<int> a = start_get(queue);
        Task<int> b = start_get(queue);
        co_await turns(1);
        queue.put_nowait(1);
        CHECK(queue.get_nowait() == 1);
        a.cancel();
        co_await turns(2);
        CHECK(a.cancelled());
        CHECK_FALSE(b.done());
        CHECK(queue.repr() == "<Queue maxsize=0 _getters[1] tasks=1>");
        queue.put_nowait(2);
        const int item = co_await b;
        CHECK(item == 2);
    });
}

TEST_CASE("rule 92: a putter cancelled in the step it was woken for passes the room on") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue(1);
        queue.put_nowait(0);
        Task<> a = start_put(queue, 1);
        Task<> b = start_put(queue, 2);
        co_await turns(1);
        CHECK(queue.get_nowait() == 0);
        a.cancel();
        co_await turns(2);
        CHECK(a.cancelled());
        CHECK(b.done());
        CHECK(queue.get_nowait() == 2);
        CHECK(queue.empty());
    });
}

TEST_CASE("rule 92: a cancelled putter puts nothing, and one that waits behind it is served") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue(1);
        Task<> a = start_put(queue, 1);
        Task<> b = start_put(queue, 2);
        Task<> c = start_put(queue, 3);
        co_await turns(1);
        CHECK(a.done());
        CHECK_FALSE(b.done());
        b.cancel();
        CHECK(queue.get_nowait() == 1);  // its task has not run yet: it is passed over
        co_await turns(1);
        CHECK(b.cancelled());
        CHECK(c.done());
        CHECK(queue.get_nowait() == 3);
        CHECK(queue.repr() == "<Queue maxsize=1 tasks=2>");
    });
}

TEST_CASE("rule 39: a getter that is woken, cancelled and un-cancelled before it runs goes on, or waits on") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue;
        Task<int> a = start_get(queue);
        co_await turns(1);
        queue.put_nowait(1);
        a.cancel();
        CHECK(a.uncancel() == 0);
        co_await turns(1);
        CHECK(a.result() == 1);

        Task<int> b = start_get(queue);
        co_await turns(1);
        queue.put_nowait(2);
        CHECK(queue.get_nowait() == 2);
        b.cancel();
        CHECK(b.uncancel() == 0);
        co_await turns(2);
        CHECK_FALSE(b.done());
        queue.put_nowait(3);
        const int item = co_await b;
        CHECK(item == 3);
    });
}

TEST_CASE("rule 41: a task with a request due that has to wait for a queue is cancelled there") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue;
        auto body = [&]() -> Coro<> {
            current_task().cancel();
            (void)co_await queue.get();
        };
        const std::string text = co_await ending(create_task(body()));
        CHECK(text == "CancelledError");
        CHECK(queue.repr() == "<Queue maxsize=0>");
    });
}

TEST_CASE("in debug mode a queue's wait is named when it takes long") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto logged = std::make_shared<std::string>();
        loop.set_logger([logged](std::string_view line) { *logged += line; });
        loop.slow_callback_duration = Duration(0);
        Queue<int> queue;
        auto body = [&]() -> Coro<> { (void)co_await queue.get(); };
        Task<> getter = create_task(body(), TaskOptions().name("slow-getter"));
        co_await turns(1);
        loop.set_debug(true);
        queue.put_nowait(1);
        co_await turns(2);
        loop.set_debug(false);
        CHECK(logged->find("slow-getter") != std::string::npos);
    });
}
