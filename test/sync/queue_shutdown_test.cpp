// How queues end: by shutdown, with their loop, with their last handle.
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

}  // namespace

TEST_CASE("rule 93: shutdown of an empty queue ends its getters, and everything that comes") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue;
        Task<int> a = start_get(queue);
        Task<int> b = start_get(queue);
        co_await turns(1);
        queue.shutdown();
        co_await queue.join();
        co_await turns(1);
        CHECK(a.done());
        CHECK(b.done());
        CHECK(error_type(a.exception()) == "QueueShutDown");
        CHECK(error_type(b.exception()) == "QueueShutDown");
        const std::string put = co_await ending(queue.put(1));
        const std::string get = co_await ending(queue.get());
        CHECK(put == "QueueShutDown");
        CHECK(get == "QueueShutDown");
        CHECK(ending_of_call([&] { queue.put_nowait(1); }) == "QueueShutDown");
        CHECK(ending_of_call([&] { queue.get_nowait(); }) == "QueueShutDown");
        CHECK(queue.repr() == "<Queue maxsize=0 shutdown>");
    });
}

TEST_CASE("rule 93: shutdown leaves what is in the queue to be taken, and ends putters that wait") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue(1);
        queue.put_nowait(1);
        auto joins = [&]() -> Coro<> { co_await queue.join(); };
        Task<> joined = create_task(joins());
        Task<> a = start_put(queue, 2);
        Task<> b = start_put(queue, 3);
        co_await turns(1);
        queue.shutdown();
        CHECK(queue.qsize() == 1);
        co_await turns(1);
        CHECK(error_type(a.exception()) == "QueueShutDown");
        CHECK(error_type(b.exception()) == "QueueShutDown");
        const std::string full = co_await ending(queue.put(4));
        CHECK(full == "QueueShutDown");
        const int item = co_await queue.get();
        CHECK(item == 1);
        CHECK_FALSE(joined.done());
        const std::string room = co_await ending(queue.put(4));
        CHECK(room == "QueueShutDown");
        const std::string empty = co_await ending(queue.get());
        CHECK(empty == "QueueShutDown");
        queue.task_done();
        co_await joined;
        CHECK(ending_of_call([&] { queue.task_done(); }) == "ValueError");
    });
}

TEST_CASE("rule 93: an immediate shutdown drops what is in the queue and counts it as done") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue;
        queue.put_nowait(1);
        auto joins = [&]() -> Coro<> { co_await queue.join(); };
        Task<> joined = create_task(joins());
        co_await turns(1);
        queue.shutdown(true);
        CHECK(queue.empty());
        co_await turns(1);
        CHECK(joined.done());
        const std::string get = co_await ending(queue.get());
        CHECK(get == "QueueShutDown");
        CHECK(ending_of_call([&] { queue.get_nowait(); }) == "QueueShutDown");
        CHECK(ending_of_call([&] { queue.task_done(); }) == "ValueError");
    });
}

TEST_CASE("rule 93: an immediate shutdown does not count what was taken and is being worked on") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue;
        queue.put_nowait(1);
        queue.put_nowait(2);
        auto joins = [&]() -> Coro<> { co_await queue.join(); };
        Task<> joined = create_task(joins());
        const int item = co_await queue.get();
        CHECK(item == 1);
        queue.shutdown(true);
        co_await turns(2);
        CHECK_FALSE(joined.done());
        queue.task_done();
        co_await joined;
        CHECK(ending_of_call([&] { queue.task_done(); }) == "ValueError");
    });
}

TEST_CASE("rule 93: a getter that was woken for an item that an immediate shutdown drops gets QueueShutDown") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue;
        Task<int> a = start_get(queue);
        Task<int> b = start_get(queue);
        co_await turns(1);
        queue.put_nowait(1);
        queue.shutdown(true);
        co_await turns(1);
        CHECK(error_type(a.exception()) == "QueueShutDown");
        CHECK(error_type(b.exception()) == "QueueShutDown");
    });
}

TEST_CASE("rule 93: shutdown twice, then at once, is the stricter one") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue;
        queue.put_nowait(1);
        queue.shutdown();
        queue.shutdown();
        CHECK(queue.qsize() == 1);
        queue.shutdown(true);
        CHECK(queue.empty());
        co_await queue.join();
    });
}

// Loops

TEST_CASE("a queue belongs to the first loop that blocks on it; join has its own") {
    Queue<int> queue(1);
    auto blocks = [](Queue<int> queue) -> Coro<> { (void)co_await ending(wait_for(queue.get(), 1s)); };
    make_simulated_loop()->run_until_complete(blocks(queue));
    auto elsewhere = [](Queue<int> queue) -> Coro<> {
        const std::exception_ptr get = co_await error_of(queue.get());
        CHECK(error_text(get) == "RuntimeError: <Queue maxsize=1> is bound to a different event loop");
        co_await queue.put(1);  // does not block
        const std::exception_ptr put = co_await error_of(queue.put(2));
        CHECK(error_text(put) ==
              "RuntimeError: <Queue maxsize=1 _queue=[1] tasks=1> is bound to a different event loop");
        const std::string join = co_await ending(wait_for(queue.join(), 1s));
        CHECK(join == "TimeoutError");
    };
    auto other = make_simulated_loop();
    other->run_until_complete(elsewhere(queue));
}

TEST_CASE("closing the loop takes its waiting tasks out of a queue, woken or not") {
    Queue<int> queue(1);
    {
        auto loop = make_simulated_loop();
        loop->set_exception_handler([](EventLoop&, const ExceptionContext&) {});
        auto gets = [](Queue<int> queue) -> Coro<> { (void)co_await queue.get(); };
        auto joins = [](Queue<int> queue) -> Coro<> { co_await queue.join(); };
        Task<> a = loop->create_task(gets(queue));
        Task<> b = loop->create_task(gets(queue));
        loop->run_until_complete(turns(2));
        queue.put_nowait(1);
        Task<> c = loop->create_task(joins(queue));
        CHECK(queue.repr() == "<Queue maxsize=1 _queue=[1] _getters[1] tasks=1>");
    }
    CHECK(queue.repr() == "<Queue maxsize=1 _queue=[1] tasks=1>");
    CHECK(queue.get_nowait() == 1);
}

TEST_CASE("closing the loop destroys a queue that its tasks still wait on, whoever goes first") {
    auto loop = make_simulated_loop();
    loop->set_exception_handler([](EventLoop&, const ExceptionContext&) {});
    auto owner = []() -> Coro<> {
        Queue<std::string> queue(1);
        auto gets = [](Queue<std::string>& queue) -> Coro<> { (void)co_await queue.get(); };
        auto puts = [](Queue<std::string>& queue) -> Coro<> {
            for (int i = 0; i < 2; ++i)
                co_await queue.put("an item that is longer than the short string buffer");
        };
        auto joins = [](Queue<std::string>& queue) -> Coro<> { co_await queue.join(); };
        Queue<std::string> other(1);
        std::vector<Task<>> tasks;
        tasks.push_back(create_task(gets(queue)));
        tasks.push_back(create_task(gets(queue)));
        tasks.push_back(create_task(puts(other)));
        tasks.push_back(create_task(joins(other)));
        co_await sleep(1h);
    };
    Task<> task = loop->create_task(owner());
    loop->run_until_complete(turns(3));
    loop->close();
    CHECK(task.cancelled());
}

TEST_CASE("waiters keep a queue whose last handle goes") {
    run_simulated([]() -> Coro<> {
        Task<int> getter;
        {
            Queue<int> queue;
            getter = start_get(queue);
            co_await turns(1);
            queue.put_nowait(1);
        }
        const int item = co_await getter;
        CHECK(item == 1);
        Task<int> waiting;
        {
            Queue<int> queue;
            waiting = start_get(queue);
            co_await turns(1);
        }
        waiting.cancel();
        const std::string text = co_await ending(waiting);
        CHECK(text == "CancelledError");
    });
}
