// What queues do with their items; who waits for them is in queue_waits_test.cpp, how they end in
// queue_shutdown_test.cpp.
#include "support/harness.hpp"

#include <functional>
#include <map>

using namespace weft;
using namespace weft::testing;

namespace {

template <class Q>
std::string drain(Q queue) {
    std::string text;
    while (!queue.empty())
        text += (text.empty() ? "" : " ") + std::to_string(queue.get_nowait());
    return text;
}

template <class Q>
void fill(Q queue, std::initializer_list<int> items) {
    for (const int item : items)
        queue.put_nowait(item);
}

/// Counts the objects that live.
class Counted {
public:
    explicit Counted(int value) : value_(value) { ++living; }
    Counted(Counted&& other) noexcept : value_(other.value_) { ++living; }
    Counted& operator=(Counted&& other) noexcept = default;
    ~Counted() { --living; }
    int value() const noexcept { return value_; }

    static inline int living = 0;

private:
    int value_;
};

}  // namespace

TEST_CASE("a queue gives its items first in, first out") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue;
        CHECK(queue.empty());
        for (const int item : {1, 3, 2})
            co_await queue.put(item);
        CHECK(queue.qsize() == 3);
        CHECK_FALSE(queue.empty());
        for (const int expected : {1, 3, 2}) {
            const int item = co_await queue.get();
            CHECK(item == expected);
        }
        CHECK(queue.empty());
    });
}

TEST_CASE("a LifoQueue gives the last one first, a PriorityQueue the least one") {
    LifoQueue<int> lifo;
    fill(lifo, {1, 3, 2});
    CHECK(drain(lifo) == "2 3 1");
    PriorityQueue<int> least;
    fill(least, {5, 1, 4, 1, 3, 2, 9, 0});
    CHECK(drain(least) == "0 1 1 2 3 4 5 9");
    PriorityQueue<int, std::greater<int>> greatest(3);
    CHECK(greatest.maxsize() == 3);
    fill(greatest, {1, 3, 2});
    CHECK(drain(greatest) == "3 2 1");
    const std::map<int, int> rank{{7, 2}, {8, 0}, {9, 1}};
    auto by_rank = [&rank](int a, int b) { return rank.at(a) < rank.at(b); };
    PriorityQueue<int, decltype(by_rank)> ranked(0, by_rank);
    fill(ranked, {7, 8, 9});
    CHECK(drain(ranked) == "8 9 7");
    PriorityQueue<std::pair<int, std::string>> entries;
    entries.put_nowait({2, "two"});
    entries.put_nowait({1, "one"});
    CHECK(entries.get_nowait().second == "one");
}

TEST_CASE("a queue holds up to maxsize items, any number if that is not positive") {
    Queue<int> queue(2);
    CHECK(queue.maxsize() == 2);
    CHECK_FALSE(queue.full());
    fill(queue, {1, 2});
    CHECK(queue.full());
    CHECK(ending_of_call([&] { queue.put_nowait(3); }) == "QueueFull");
    CHECK(queue.qsize() == 2);
    for (const int maxsize : {0, -1}) {
        Queue<int> endless(maxsize);
        for (int i = 0; i < 1000; ++i)
            endless.put_nowait(i);
        CHECK_FALSE(endless.full());
        CHECK(endless.maxsize() == maxsize);
        CHECK(endless.qsize() == 1000);
    }
}

TEST_CASE("an empty queue has nothing to get now") {
    Queue<int> queue;
    CHECK(ending_of_call([&] { queue.get_nowait(); }) == "QueueEmpty");
    fill(queue, {1});
    CHECK(queue.get_nowait() == 1);
    CHECK(ending_of_call([&] { queue.get_nowait(); }) == "QueueEmpty");
}

TEST_CASE("items keep their order while the ring they are in grows and goes round") {
    Queue<int> queue;
    int put = 0;
    int got = 0;
    for (int round = 0; round < 50; ++round) {
        for (int i = 0; i < round; ++i)
            queue.put_nowait(put++);
        for (int i = 0; i < round / 2 + 1 && !queue.empty(); ++i)
            CHECK(queue.get_nowait() == got++);
    }
    while (!queue.empty())
        CHECK(queue.get_nowait() == got++);
    CHECK(put == got);
}

TEST_CASE("move-only items go through every kind of queue") {
    run_simulated([]() -> Coro<> {
        Queue<std::unique_ptr<int>> queue(1);
        co_await queue.put(std::make_unique<int>(1));
        auto second = [&]() -> Coro<> { co_await queue.put(std::make_unique<int>(2)); };
        Task<> task = create_task(second());
        co_await turns(1);
        const std::unique_ptr<int> a = co_await queue.get();
        const std::unique_ptr<int> b = co_await queue.get();
        CHECK(*a == 1);
        CHECK(*b == 2);
        LifoQueue<std::unique_ptr<int>> lifo;
        lifo.put_nowait(std::make_unique<int>(3));
        CHECK(*lifo.get_nowait() == 3);
        PriorityQueue<std::unique_ptr<int>> least;
        least.put_nowait(std::make_unique<int>(4));
        CHECK(*least.get_nowait() == 4);
    });
}

TEST_CASE("put_nowait leaves its argument as it was if it fails") {
    Queue<std::unique_ptr<int>> queue(1);
    queue.put_nowait(nullptr);
    auto item = std::make_unique<int>(5);
    CHECK(ending_of_call([&] { queue.put_nowait(std::move(item)); }) == "QueueFull");
    REQUIRE(item);
    queue.shutdown();
    CHECK(ending_of_call([&] { queue.put_nowait(std::move(item)); }) == "QueueShutDown");
    REQUIRE(item);
    CHECK(*item == 5);
}

TEST_CASE("items that are left are destroyed with the queue, and at once by an immediate shutdown") {
    {
        Queue<Counted> queue;
        for (int i = 0; i < 20; ++i)
            queue.put_nowait(Counted(i));
        CHECK(queue.get_nowait().value() == 0);
        CHECK(Counted::living == 19);
    }
    CHECK(Counted::living == 0);
    Queue<Counted> queue;
    queue.put_nowait(Counted(1));
    queue.shutdown(true);
    CHECK(Counted::living == 0);
    LifoQueue<Counted> lifo;
    lifo.put_nowait(Counted(1));
    lifo.shutdown(true);
    CHECK(Counted::living == 0);
}

TEST_CASE("an item whose destructor uses the queue may be dropped by a shutdown") {
    run_simulated([]() -> Coro<> {
        Queue<std::shared_ptr<void>> queue;
        std::string seen;
        Queue<std::shared_ptr<void>>* at = &queue;
        queue.put_nowait(std::shared_ptr<void>(nullptr, [&seen, at](void*) {
            seen = std::to_string(at->qsize());
            seen += " " + ending_of_call([at] { at->put_nowait(nullptr); });
        }));
        queue.shutdown(true);
        CHECK(seen == "0 QueueShutDown");
        co_await queue.join();
    });
}

TEST_CASE("copies mean the same queue") {
    Queue<int> queue;
    Queue<int> copy = queue;
    CHECK(copy == queue);
    CHECK_FALSE(Queue<int>() == queue);
    copy.put_nowait(1);
    CHECK(queue.get_nowait() == 1);
}

// task_done and join

TEST_CASE("rule 93: task_done more often than items were put is a ValueError") {
    Queue<int> queue;
    CHECK(error_of_call([&] { queue.task_done(); }) == "ValueError: task_done() called too many times");
    fill(queue, {1});
    queue.task_done();
    CHECK(ending_of_call([&] { queue.task_done(); }) == "ValueError");
    LifoQueue<int> lifo;
    CHECK(ending_of_call([&] { lifo.task_done(); }) == "ValueError");
    PriorityQueue<int> least;
    CHECK(ending_of_call([&] { least.task_done(); }) == "ValueError");
}

TEST_CASE("rule 93: join returns at once when nothing is unfinished") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue;
        const std::uint64_t steps = get_running_loop().steps();
        co_await queue.join();
        co_await queue.join();
        CHECK(get_running_loop().steps() == steps);
    });
}

TEST_CASE("rule 93: join waits for the work on every item, not for the items to be taken") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue;
        int sum = 0;
        for (int i = 0; i < 100; ++i)
            queue.put_nowait(i);
        bool running = true;
        auto worker = [&]() -> Coro<> {
            while (running) {
                const int item = co_await queue.get();
                sum += item;
                co_await sleep(1ms);
                queue.task_done();
            }
        };
        Task<> a = create_task(worker());
        Task<> b = create_task(worker());
        co_await queue.join();
        CHECK(sum == 4950);
        running = false;
        fill(queue, {0, 0});
        co_await gather(a, b);
    });
}

TEST_CASE("rule 93: all that join go on, also when a new item is put before they run") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue;
        Trace trace;
        fill(queue, {1});
        auto joins = [&](std::string name) -> Coro<> {
            co_await queue.join();
            trace(std::move(name));
        };
        Task<> a = create_task(joins("a"));
        Task<> b = create_task(joins("b"));
        Task<> c = create_task(joins("c"));
        co_await turns(1);
        c.cancel();
        queue.task_done();
        fill(queue, {2});
        co_await turns(1);
        CHECK(trace.text() == "a b");
        CHECK(c.cancelled());
        const std::string text = co_await ending(wait_for(queue.join(), 1s));
        CHECK(text == "TimeoutError");
    });
}

// repr

TEST_CASE("a queue prints itself") {
    run_simulated([]() -> Coro<> {
        Queue<int> queue(2);
        CHECK(queue.repr() == "<Queue maxsize=2>");
        Task<int> getter = create_task(Coro<int>(queue.get()));
        co_await turns(1);
        CHECK(queue.repr() == "<Queue maxsize=2 _getters[1]>");
        fill(queue, {1, 2});
        CHECK(queue.repr() == "<Queue maxsize=2 _queue=[1, 2] tasks=2>");
        const int first = co_await getter;
        CHECK(first == 1);
        fill(queue, {3});
        Task<> putter = create_task(Coro<>(queue.put(4)));
        co_await turns(1);
        CHECK(queue.repr() == "<Queue maxsize=2 _queue=[2, 3] _putters[1] tasks=3>");
        (void)queue.get_nowait();
        co_await putter;
        CHECK(queue.repr() == "<Queue maxsize=2 _queue=[3, 4] tasks=4>");
    });
    LifoQueue<std::string> words;
    words.put_nowait("a");
    words.put_nowait("b");
    words.shutdown();
    CHECK(words.repr() == "<LifoQueue maxsize=0 _queue=['a', 'b'] tasks=2 shutdown>");
    PriorityQueue<double> numbers;
    numbers.put_nowait(2.5);
    numbers.put_nowait(1.0);
    CHECK(numbers.repr() == "<PriorityQueue maxsize=0 _queue=[1.0, 2.5] tasks=2>");
    Queue<std::unique_ptr<int>> pointers;
    pointers.put_nowait(nullptr);
    CHECK(pointers.repr() == "<Queue maxsize=0 _queue[1] tasks=1>");
    Queue<Lock> locks;
    locks.put_nowait(Lock());
    CHECK(locks.repr() == "<Queue maxsize=0 _queue=[<Lock [unlocked]>] tasks=1>");
    Queue<bool> flags;
    flags.put_nowait(true);
    CHECK(flags.repr() == "<Queue maxsize=0 _queue=[True] tasks=1>");
}
