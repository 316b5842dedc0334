#include "support/harness.hpp"

#include <atomic>
#include <condition_variable>
#include <latch>
#include <mutex>
#include <set>
#include <thread>

using namespace weft;
using namespace weft::testing;

namespace {

ContextVar<int> number("executor_test.number", 0);

/// Holds threads until it is opened.
class Gate {
public:
    void open() {
        const std::lock_guard lock(mutex_);
        open_ = true;
        opened_.notify_all();
    }
    void pass() {
        std::unique_lock lock(mutex_);
        opened_.wait(lock, [this] { return open_; });
    }

private:
    std::mutex mutex_;
    std::condition_variable opened_;
    bool open_ = false;
};

int twice(int value) {
    return 2 * value;
}

}  // namespace

TEST_CASE("run_in_executor gives the result, the exception, and nothing of a void function") {
    run_on_each_backend([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const int value = co_await loop.run_in_executor(nullptr, twice, 21);
        CHECK(value == 42);
        bool ran = false;
        co_await loop.run_in_executor(nullptr, [&ran] { ran = true; });
        CHECK(ran);
        const auto fail = [] { throw ValueError("in a thread"); };
        const std::exception_ptr error = co_await error_of(loop.run_in_executor(nullptr, fail));
        CHECK(error_text(error) == "ValueError: in a thread");
        auto owned = co_await loop.run_in_executor(nullptr, [] { return std::make_unique<int>(3); });
        CHECK(*owned == 3);
    });
}

TEST_CASE("the functions of a real loop run on other threads, those of a simulated one on its own") {
    const auto body = [](bool same) {
        return [same]() -> Coro<> {
            const auto thread = co_await get_running_loop().run_in_executor(nullptr, std::this_thread::get_id);
            CHECK((thread == std::this_thread::get_id()) == same);
        };
    };
    run_simulated(body(true));
    run_real(body(false));
}

TEST_CASE(
    "rule 120: cancelling run_in_executor cancels a queued call; a running one goes on and its result is dropped") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        ThreadPoolExecutor pool(1, "one");
        Gate gate;
        std::latch started(1);
        std::atomic<int> ran{0};
        Future<int> running = loop.run_in_executor(&pool, [&] {
            started.count_down();
            gate.pass();
            ++ran;
            return 1;
        });
        Future<int> queued = loop.run_in_executor(&pool, [&] { return ++ran; });
        started.wait();
        CHECK(pool.queue_depth() == 1);
        CHECK(queued.cancel());
        CHECK(running.cancel());
        co_await turns(2);
        gate.open();
        pool.shutdown();
        CHECK(ran == 1);
        CHECK(running.cancelled());
        CHECK(queued.cancelled());
    });
}

TEST_CASE("rule 29: wrap_future: cancelling either side cancels the other") {
    run_simulated([]() -> Coro<> {
        ConcurrentFuture<int> source;
        Future<int> wrapped = wrap_future(source);
        wrapped.cancel();
        co_await turns(2);
        CHECK(source.cancelled());
        ConcurrentFuture<int> other;
        Future<int> follower = wrap_future(other);
        CHECK(other.cancel());
        const std::string text = co_await ending(follower);
        CHECK(text == "CancelledError");
        CHECK(follower.cancelled());
    });
}

TEST_CASE("rule 29: a result that comes after the loop was closed is dropped") {
    ConcurrentFuture<int> source;
    {
        auto loop = make_real_loop();
        Future<int> wrapped = wrap_future(source, *loop);
        loop->close();
    }
    source.set_result(1);
    CHECK(source.result() == 1);
}

TEST_CASE("wrap_future brings results, exceptions and what was there already") {
    run_on_each_backend([]() -> Coro<> {
        ConcurrentFuture<std::string> source;
        source.set_result("there");
        const std::string there = co_await wrap_future(source);
        CHECK(there == "there");
        ConcurrentFuture<> failing;
        Future<> wrapped = wrap_future(failing);
        failing.set_exception(ValueError("no"));
        const std::exception_ptr error = co_await error_of(wrapped);
        CHECK(error_text(error) == "ValueError: no");
    });
}

TEST_CASE("a ConcurrentFuture: states, blocking result with a limit, callbacks") {
    ConcurrentFuture<int> future;
    CHECK_FALSE(future.done());
    CHECK(error_type([&] {
              try {
                  future.result(1ms);
              } catch (...) {
                  return std::current_exception();
              }
              return std::exception_ptr();
          }()) == "TimeoutError");
    int called = 0;
    future.add_done_callback([&called] { ++called; });
    CHECK(future.set_running_or_notify_cancel());
    CHECK(future.running());
    CHECK_FALSE(future.cancel());
    std::thread setter([future]() mutable { future.set_result(5); });
    CHECK(future.result() == 5);
    setter.join();
    CHECK(called == 1);
    future.add_done_callback([&called] { ++called; });
    CHECK(called == 2);
    CHECK(future.exception() == nullptr);
    CHECK(ending_of_call([&] { future.set_result(6); }) == "InvalidStateError");
    ConcurrentFuture<int> dropped;
    CHECK(dropped.cancel());
    CHECK(dropped.cancel());
    CHECK_FALSE(dropped.set_running_or_notify_cancel());
    CHECK(ending_of_call([&] { dropped.result(); }) == "CancelledError");
}

TEST_CASE("run_coroutine_threadsafe runs a coroutine on the loop and gives its result to the thread") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const auto ask = [](int n) -> Coro<int> {
            co_await sleep(1ms);
            co_return n + 1;
        };
        const auto fail = []() -> Coro<> {
            co_await sleep(0s);
            throw ValueError("on the loop");
        };
        const auto from_thread = [&]() -> int {
            const int value = run_coroutine_threadsafe(ask(1), loop).result(10s);
            CHECK(error_text(run_coroutine_threadsafe(fail(), loop).exception(10s)) == "ValueError: on the loop");
            return value;
        };
        const int value = co_await to_thread(from_thread);
        CHECK(value == 2);
    });
}

TEST_CASE("cancelling the answer of run_coroutine_threadsafe cancels the task") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        std::latch started(1);
        Future<> cancelled = loop.create_future<void>();
        const auto endless = [&]() -> Coro<> {
            started.count_down();
            try {
                co_await sleep(1h);
            } catch (const CancelledError&) {
                cancelled.set_result();
                throw;
            }
        };
        const auto from_thread = [&] {
            ConcurrentFuture<> answer = run_coroutine_threadsafe(endless(), loop);
            started.wait();
            return answer.cancel();
        };
        const bool accepted = co_await to_thread(from_thread);
        CHECK(accepted);
        co_await cancelled;
    });
}

TEST_CASE("a thread that waits for a coroutine of a loop that closes is told") {
    ConcurrentFuture<> queued;
    ConcurrentFuture<> begun;
    auto loop = make_real_loop();
    loop->set_exception_handler([](EventLoop&, const ExceptionContext&) {});
    const auto endless = []() -> Coro<> { co_await sleep(1h); };
    std::thread([&] { begun = run_coroutine_threadsafe(endless(), *loop); }).join();
    loop->run_until_complete(turns(3));
    std::thread([&] { queued = run_coroutine_threadsafe(endless(), *loop); }).join();
    loop->close();
    CHECK(begun.cancelled());
    CHECK(queued.cancelled());
    std::string late;
    std::thread([&] { late = error_of_call([&] { (void)run_coroutine_threadsafe(endless(), *loop); }); }).join();
    CHECK(late == "RuntimeError: Event loop is closed");
}

TEST_CASE("to_thread carries a copy of the context") {
    run_on_each_backend([]() -> Coro<> {
        number.set(3);
        const int seen = co_await to_thread([] {
            const int value = number.get();
            number.set(4);
            return value;
        });
        CHECK(seen == 3);
        CHECK(number.get() == 3);
    });
}

TEST_CASE("to_thread with a stop_token: cancelling the await requests the stop") {
    run_real([]() -> Coro<> {
        std::latch started(1);
        std::latch stopped(1);
        const auto search = [&](std::stop_token stop, int step) {
            started.count_down();
            while (!stop.stop_requested())
                std::this_thread::sleep_for(std::chrono::microseconds(step));
            stopped.count_down();
        };
        const auto body = [&]() -> Coro<> { co_await to_thread(search, 100); };
        Task<> task = create_task(body());
        co_await to_thread([&] { started.wait(); });
        task.cancel();
        const std::string text = co_await ending(task);
        CHECK(text == "CancelledError");
        co_await to_thread([&] { stopped.wait(); });
    });
}

TEST_CASE("run_in_executor with a stop_token: cancelling the future requests the stop") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        ThreadPoolExecutor pool(1, "db");
        std::latch begun(1);
        std::latch stopped(1);
        const auto until_stopped = [&](std::stop_token stop, int) {
            begun.count_down();
            while (!stop.stop_requested())
                std::this_thread::yield();
            stopped.count_down();
        };
        Future<> running = loop.run_in_executor(&pool, until_stopped, 1);
        begun.wait();
        running.cancel();
        const std::string end = co_await ending(running);
        CHECK(end == "CancelledError");
        co_await turns(1);
        stopped.wait();
        const auto answer = [](std::stop_token stop) { return stop.stop_possible() && !stop.stop_requested(); };
        const bool answered = co_await loop.run_in_executor(&pool, answer);
        CHECK(answered);
    });
}

TEST_CASE("a pool starts threads as they are needed, up to its limit, and names them") {
    ThreadPoolExecutor pool(2, "limited");
    CHECK(pool.workers() == 0);
    Gate gate;
    std::mutex mutex;
    std::set<std::string> names;
    std::vector<ConcurrentFuture<>> futures;
    for (int i = 0; i < 5; ++i)
        futures.push_back(pool.submit([&] {
            char name[16] = "";
            pthread_getname_np(pthread_self(), name, sizeof name);
            {
                const std::lock_guard lock(mutex);
                names.insert(name);
            }
            gate.pass();
        }));
    CHECK(pool.workers() == 2);
    CHECK(pool.queue_depth() >= 3);
    gate.open();
    for (auto& future : futures)
        future.result(10s);
    CHECK(names == std::set<std::string>{"limited"});
    pool.shutdown();
    CHECK(pool.workers() == 0);
    CHECK(pool.terminated().done());
    CHECK(error_of_call([&] { (void)pool.submit([] {}); }) ==
          "RuntimeError: cannot schedule new futures after shutdown");
}

TEST_CASE("shutdown without waiting lets the queue run; with cancel_futures it is cancelled") {
    for (const bool cancel : {false, true}) {
        auto pool = std::make_unique<ThreadPoolExecutor>(1, "ending");
        Gate gate;
        std::latch started(1);
        ConcurrentFuture<> running = pool->submit([&] {
            started.count_down();
            gate.pass();
        });
        ConcurrentFuture<> queued = pool->submit([] {});
        started.wait();
        pool->shutdown(false, cancel);
        CHECK_FALSE(pool->terminated().done());
        gate.open();
        pool->terminated().result(10s);
        CHECK(queued.cancelled() == cancel);
        CHECK(running.exception() == nullptr);
    }
}

TEST_CASE("shutdown_default_executor waits for the threads; afterwards the default executor refuses") {
    run_on_each_backend([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Future<int> last = loop.run_in_executor(nullptr, twice, 2);
        co_await loop.shutdown_default_executor();
        const int four = co_await last;
        CHECK(four == 4);
        CHECK(error_of_call([&] { (void)loop.run_in_executor(nullptr, twice, 2); }) ==
              "RuntimeError: Executor shutdown has been called");
    });
}

TEST_CASE("shutdown_default_executor gives up after its limit and says so") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        std::vector<std::string> log;
        loop.set_logger([&](std::string_view line) { log.emplace_back(line); });
        Gate gate;
        Future<> held = loop.run_in_executor(nullptr, [&] { gate.pass(); });
        co_await loop.shutdown_default_executor(10ms);
        REQUIRE(log.size() == 1);
        CHECK(log[0] == "The executor did not finish joining its threads within 0 seconds.");
        gate.open();
        co_await held;
    });
}

TEST_CASE("a default executor of one's own, and pools by name") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto mine = std::make_shared<ThreadPoolExecutor>(1, "mine");
        loop.set_default_executor(mine);
        const auto name_of_thread = [] {
            char name[16] = "";
            pthread_getname_np(pthread_self(), name, sizeof name);
            return std::string(name);
        };
        const std::string name = co_await loop.run_in_executor(nullptr, name_of_thread);
        CHECK(name == "mine");
        ExecutorService& service = loop.service<ExecutorService>();
        Executor& pool = service.pool("db", 2);
        CHECK(&service.pool("db") == &pool);
        const std::string other = co_await loop.run_in_executor(&pool, name_of_thread);
        CHECK(other == "db");
        CHECK(ending_of_call([&] { loop.set_default_executor(nullptr); }) == "ValueError");
    });
}

TEST_CASE("an application's own executor service makes the default executor and the pools") {
    class Inline final : public Executor {
    public:
        explicit Inline(std::string name, Trace& trace) : name_(std::move(name)), trace_(trace) {}
        void shutdown(bool, bool) override {
            if (terminated_.done()) return;
            trace_(name_ + " ends");
            terminated_.set_result();
        }
        ConcurrentFuture<> terminated() const override { return terminated_; }
        std::size_t queue_depth() const override { return 0; }
        std::string_view name() const noexcept override { return name_; }

    private:
        void post(std::unique_ptr<ExecutorJob> job) override {
            trace_(name_ + " runs");
            job->run();
        }
        std::string name_;
        Trace& trace_;
        ConcurrentFuture<> terminated_;
    };
    class InlineExecutors final : public ExecutorService {
    public:
        InlineExecutors(EventLoop& loop, Trace& trace) : ExecutorService(loop), trace_(trace) {}

    private:
        std::shared_ptr<Executor> new_executor(const std::string& name, std::size_t max_workers) override {
            trace_("new " + name + "/" + std::to_string(max_workers));
            return std::make_shared<Inline>(name, trace_);
        }
        Trace& trace_;
    };
    Trace trace;
    auto loop = make_real_loop();
    loop->add_service<InlineExecutors>(*loop, trace);
    loop->run_until_complete([]() -> Coro<> {
        EventLoop& running = get_running_loop();
        const int first = co_await running.run_in_executor(nullptr, twice, 1);
        const int second = co_await to_thread(twice, 2);
        Executor& pool = running.service<ExecutorService>().pool("db", 3);
        const int third = co_await running.run_in_executor(&pool, twice, 3);
        const int fourth = co_await running.run_in_executor(&running.service<ExecutorService>().pool("db"), twice, 4);
        CHECK(first + second + third + fourth == 20);
    }());
    loop->close();
    CHECK(trace.text() == "new weft/0 weft runs weft runs new db/3 db runs db runs weft ends db ends");
}

TEST_CASE("closing the loop waits neither for what its executors run nor for a pool by name") {
    auto gate = std::make_shared<Gate>();
    auto ended = std::make_shared<std::latch>(2);
    {
        auto loop = make_real_loop();
        const auto start = [gate, ended]() -> Coro<> {
            EventLoop& loop = get_running_loop();
            const auto job = [gate, ended] {
                gate->pass();
                ended->count_down();
            };
            (void)loop.run_in_executor(nullptr, job);
            (void)loop.run_in_executor(&loop.service<ExecutorService>().pool("db", 1), job);
            co_await sleep(1ms);
        };
        loop->run_until_complete(start());
        loop->close();  // before the gate is open
    }
    gate->open();
    ended->wait();
}

TEST_CASE("a pool that ends on one of its own threads, or is shut down by one, does not wait for itself") {
    std::latch ended(2);
    {
        auto pool = std::make_shared<ThreadPoolExecutor>(1);
        std::weak_ptr<ThreadPoolExecutor> watched = pool;
        auto gate = std::make_shared<Gate>();
        pool->submit([pool, gate, &ended] {
            gate->pass();
            ended.count_down();
        });
        pool = nullptr;  // the job has the last one
        gate->open();
        while (!watched.expired())
            std::this_thread::yield();
    }
    ThreadPoolExecutor other(1);
    other.submit([&other, &ended] {
        other.shutdown(true);
        ended.count_down();
    });
    ended.wait();
}

TEST_CASE("the default services are made with the first use, whoever asks") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const int four = co_await loop.run_in_executor(&loop.service<ExecutorService>().pool("db", 1), twice, 2);
        CHECK(four == 4);
        CHECK(loop.service<ResolverService>().name() == "resolver");
        CHECK(loop.service<SignalService>().name() == "signals");
        CHECK(loop.service<SubprocessService>().name() == "subprocess");
    });
}

TEST_CASE("many calls from many threads all arrive") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        std::vector<Future<int>> futures;
        for (int i = 0; i < 2000; ++i)
            futures.push_back(loop.run_in_executor(nullptr, twice, i));
        long sum = 0;
        for (const int value : co_await gather(std::move(futures)))
            sum += value;
        CHECK(sum == 1999L * 2000);
    });
}

TEST_CASE("functions that follow each other closely, and apart: a pool's thread that is about to sleep misses none") {
    for (const std::size_t workers : {1, 2}) {
        ThreadPoolExecutor pool(workers, "close");
        bool all = true;
        for (int i = 0; all && i < 400; ++i) {
            // Nobody submits meanwhile: one that is missed now is missed for good.
            if (i % 2 == 0) std::this_thread::sleep_for(std::chrono::microseconds(i % 51));
            try {
                all = pool.submit([](int n) { return n; }, i).result(30s) == i;
            } catch (const TimeoutError&) {
                all = false;
            }
        }
        CHECK(all);
    }
}

TEST_CASE("functions from several threads on one pool all run") {
    ThreadPoolExecutor pool(2, "shared");
    std::atomic<int> ran{0};
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 3; ++thread)
        threads.emplace_back([&] {
            for (int i = 0; i < 300; ++i) {
                if (i % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(5 * (i % 11)));
                pool.submit([&ran] { ++ran; });
            }
        });
    for (std::thread& thread : threads)
        thread.join();
    pool.shutdown();
    CHECK(ran == 900);
}

TEST_CASE("ConcurrentFuture and shutdown_default_executor take any duration as their limit") {
    ConcurrentFuture<int> never;
    CHECK(ending_of_call([&] { (void)never.result(0.001s); }) == "TimeoutError");
    CHECK(ending_of_call([&] { (void)never.exception(0.001s); }) == "TimeoutError");
    never.set_result(3);
    CHECK(never.result(0.5s) == 3);
    CHECK(never.exception(0.5s) == nullptr);
    run_simulated([]() -> Coro<> { co_await get_running_loop().shutdown_default_executor(0.5s); });
}
