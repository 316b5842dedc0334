// What the steady state allocates: nothing. A program of its own, since it replaces global operator new.
#include "support/harness.hpp"

#include <weft/base/frame_pool.hpp>

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<long> allocations{0};

void* counted(std::size_t size, std::size_t alignment = 0) {
    allocations.fetch_add(1, std::memory_order_relaxed);
    void* block = alignment ? std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment)
                            : std::malloc(size ? size : 1);
    if (!block) throw std::bad_alloc();
    return block;
}

}  // namespace

void* operator new(std::size_t size) {
    return counted(size);
}
void* operator new[](std::size_t size) {
    return counted(size);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
    return counted(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* block) noexcept {
    std::free(block);
}
void operator delete[](void* block) noexcept {
    std::free(block);
}
void operator delete(void* block, std::size_t) noexcept {
    std::free(block);
}
void operator delete[](void* block, std::size_t) noexcept {
    std::free(block);
}
void operator delete(void* block, std::align_val_t) noexcept {
    std::free(block);
}
void operator delete(void* block, std::size_t, std::align_val_t) noexcept {
    std::free(block);
}

using namespace weft;
using namespace weft::testing;

namespace {

#ifdef WEFT_POOL_OFF
constexpr bool pooled = false;
#else
constexpr bool pooled = true;
#endif

/// How many heap allocations `round(n)` makes after a first one has filled the pools.
template <class F>
Coro<long> allocations_of(F& round) {
    co_await round(2000);
    const long before = allocations.load();
    co_await round(1000);
    co_return allocations.load() - before;
}

Coro<int> child(int n) {
    co_return n;
}

}  // namespace

TEST_CASE("the counter counts") {
    const long before = allocations.load();
    auto made = std::make_unique<std::array<int, 100>>();
    CHECK(allocations.load() > before);
    CHECK(made);
}

TEST_CASE("nothing is allocated per task switch" * doctest::skip(!pooled)) {
    run_on_each_backend([]() -> Coro<> {
        auto round = [](int n) -> Coro<> {
            for (int i = 0; i < n; ++i)
                co_await sleep(0s);
        };
        const long count = co_await allocations_of(round);
        CHECK(count == 0);
    });
}

TEST_CASE("nothing is allocated per awaited child" * doctest::skip(!pooled)) {
    run_on_each_backend([]() -> Coro<> {
        auto round = [](int n) -> Coro<> {
            for (int i = 0; i < n; ++i)
                (void)co_await child(i);
        };
        const long count = co_await allocations_of(round);
        CHECK(count == 0);
    });
}

TEST_CASE("nothing is allocated per call_soon" * doctest::skip(!pooled)) {
    run_on_each_backend([]() -> Coro<> {
        auto round = [](int n) -> Coro<> {
            int calls = 0;
            for (int i = 0; i < n; ++i) {
                get_running_loop().call_soon([&calls] { ++calls; });
                if (i % 100 == 99) co_await sleep(0s);
            }
            co_await sleep(0s);
            if (calls != n) throw RuntimeError("calls were lost");
        };
        const long count = co_await allocations_of(round);
        CHECK(count == 0);
    });
}

TEST_CASE("nothing is allocated per sleep, nor per cancelled timer" * doctest::skip(!pooled)) {
    run_simulated([]() -> Coro<> {
        auto sleeps = [](int n) -> Coro<> {
            for (int i = 0; i < n; ++i)
                co_await sleep(1ms);
        };
        const long slept = co_await allocations_of(sleeps);
        CHECK(slept == 0);
        auto cancels = [](int n) -> Coro<> {
            for (int i = 0; i < n; ++i)
                get_running_loop().call_later(24h, [] {}).cancel();
            co_return;
        };
        const long cancelled = co_await allocations_of(cancels);
        CHECK(cancelled == 0);
    });
}

TEST_CASE("nothing is allocated per sleep on the real clock" * doctest::skip(!pooled)) {
    run_real([]() -> Coro<> {
        auto round = [](int n) -> Coro<> {
            for (int i = 0; i < n / 50; ++i)
                co_await sleep(10us);
        };
        const long count = co_await allocations_of(round);
        CHECK(count == 0);
    });
}

TEST_CASE("nothing is allocated per future wake-up, done-callback and task" * doctest::skip(!pooled)) {
    run_on_each_backend([]() -> Coro<> {
        auto futures = [](int n) -> Coro<> {
            EventLoop& loop = get_running_loop();
            for (int i = 0; i < n; ++i) {
                Future<int> future = loop.create_future<int>();
                loop.call_soon([&future, i] { future.set_result(i); });
                (void)co_await future;
            }
        };
        const long woken = co_await allocations_of(futures);
        CHECK(woken == 0);
        auto callbacks = [](int n) -> Coro<> {
            for (int i = 0; i < n; ++i) {
                Future<> future = get_running_loop().create_future<void>();
                future.add_done_callback([] {});
                future.set_result();
                co_await sleep(0s);
            }
        };
        const long called = co_await allocations_of(callbacks);
        CHECK(called == 0);
        auto tasks = [](int n) -> Coro<> {
            for (int i = 0; i < n; ++i)
                (void)co_await create_task(child(i));
        };
        const long spawned = co_await allocations_of(tasks);
        CHECK(spawned == 0);
    });
}

TEST_CASE("nothing is allocated per lock, event, condition, semaphore, contended or not" * doctest::skip(!pooled)) {
    run_on_each_backend([]() -> Coro<> {
        auto alone = [](int n) -> Coro<> {
            Lock lock;
            Semaphore semaphore(2);
            for (int i = 0; i < n; ++i) {
                co_await lock.acquire();
                lock.release();
                auto guard = co_await lock.scoped();
                auto permit = co_await semaphore.scoped();
            }
        };
        const long free = co_await allocations_of(alone);
        CHECK(free == 0);
        auto both = [](int n) -> Coro<> {
            Lock lock;
            Semaphore semaphore(1);
            Condition condition;
            auto body = [&](int rounds) -> Coro<> {
                for (int i = 0; i < rounds; ++i) {
                    auto guard = co_await lock.scoped();
                    auto permit = co_await semaphore.scoped();
                    co_await sleep(0s);
                }
                auto held = co_await condition.scoped();
                condition.notify_all();
                co_await condition.wait();
                condition.notify_all();
            };
            Task<> other = create_task(body(n / 2));
            co_await body(n / 2);
            co_await other;
        };
        const long contended = co_await allocations_of(both);
        CHECK(contended == 0);
        auto events = [](int n) -> Coro<> {
            Event event;
            for (int i = 0; i < n; ++i) {
                get_running_loop().call_soon([&event] { event.set(); });
                co_await event.wait();
                event.clear();
            }
        };
        const long woken = co_await allocations_of(events);
        CHECK(woken == 0);
    });
}

TEST_CASE("nothing is allocated per item that goes through a queue" * doctest::skip(!pooled)) {
    run_on_each_backend([]() -> Coro<> {
        Queue<int> there;
        Queue<int> back(1);
        PriorityQueue<int> least;
        auto echo = [&](int n) -> Coro<> {
            for (int i = 0; i < n; ++i) {
                const int item = co_await there.get();
                co_await back.put(item);
            }
        };
        auto round = [&](int n) -> Coro<> {
            Task<> other = create_task(echo(n));
            for (int i = 0; i < n; ++i) {
                co_await there.put(i);
                const int item = co_await back.get();
                co_await least.put(item);
                (void)co_await least.get();
            }
            co_await other;
        };
        const long count = co_await allocations_of(round);
        CHECK(count == 0);
    });
}
