// Task micro-benchmarks on plain Boost.Asio coroutines. measure.hpp says what each line means.

#include "measure.hpp"

#include <boost/asio.hpp>
#include <boost/asio/experimental/channel.hpp>
#include <boost/asio/experimental/parallel_group.hpp>

#include <chrono>
#include <cstddef>
#include <deque>
#include <exception>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Clock = std::chrono::steady_clock;
using Executor = asio::io_context::executor_type;
using Timer = asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, Executor>;
using Acceptor = asio::basic_socket_acceptor<tcp, Executor>;
template <class T = void>
using Awaitable = asio::awaitable<T, Executor>;

using Channel = asio::experimental::basic_channel<Executor, asio::experimental::channel_traits<>,
                                                  void(boost::system::error_code, int)>;

constexpr asio::use_awaitable_t<Executor> use_awaitable;

void rethrow(std::exception_ptr error) {
    if (error) std::rethrow_exception(error);
}

/// Runs one coroutine to its end on a loop of its own; the CPU time that took.
template <class Start>
double run(Start&& start) {
    asio::io_context io(1);
    asio::co_spawn(io.get_executor(), start(io.get_executor()), rethrow);
    return bench::cpu_time_of([&] { io.run(); });
}

Awaitable<> empty() {
    co_return;
}

Awaitable<int> child(int value) {
    co_return value;
}

Awaitable<> give_way(int times) {
    for (int i = 0; i < times; ++i)
        co_await asio::post(use_awaitable);
}

/// If wanted: its mere existence starts Asio's reactor.
class PendingAccept {
public:
    PendingAccept(asio::io_context& io, bool wanted) {
        if (!wanted) return;
        acceptor_.emplace(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
        acceptor_->async_accept([](boost::system::error_code, auto) {});
    }

private:
    std::optional<Acceptor> acceptor_;
};

double switch_tasks(bool with_socket) {
    asio::io_context io(1);
    const PendingAccept accept(io, with_socket);
    int running = bench::tasks;
    for (int i = 0; i < bench::tasks; ++i) {
        asio::co_spawn(io.get_executor(), give_way(bench::switches_per_task), [&](std::exception_ptr error) {
            rethrow(error);
            if (--running == 0) io.stop();
        });
    }
    return bench::cpu_time_of([&] { io.run(); });
}

double spawn_join() {
    return run([](Executor executor) -> Awaitable<> {
        for (int i = 0; i < bench::spawns; ++i)
            co_await asio::co_spawn(executor, empty(), use_awaitable);
    });
}

double await_child() {
    return run([](Executor) -> Awaitable<> {
        long sum = 0;
        for (int i = 0; i < bench::awaits; ++i)
            sum += co_await child(i);
        bench::keep(sum);
    });
}

class CallSoon {
public:
    double run() {
        schedule_batch();
        return bench::cpu_time_of([&] { io_.run(); });
    }

private:
    void schedule_batch() {
        for (int i = 0; i < bench::calls_per_batch; ++i)
            asio::post(io_, [this] { called(); });
    }

    void called() {
        ++calls_;
        if (calls_ % bench::calls_per_batch == 0 && calls_ < bench::calls) schedule_batch();
    }

    asio::io_context io_{1};
    int calls_ = 0;
};

class Timers {
public:
    Timers() { timers_.reserve(bench::timers); }

    void arm(std::chrono::nanoseconds earliest, std::chrono::nanoseconds span) {
        const auto now = Clock::now();
        for (int i = 0; i < bench::timers; ++i) {
            Timer& timer =
                timers_.emplace_back(io_, now + earliest + std::chrono::nanoseconds(random_.below(span.count())));
            timer.async_wait([this](boost::system::error_code) { ++completed_; });
        }
    }

    void cancel() {
        for (Timer& timer : timers_)
            timer.cancel();
    }

    void run() {
        io_.run();
        bench::keep(completed_);
    }

private:
    asio::io_context io_{1};
    bench::Random random_;
    std::vector<Timer> timers_;
    int completed_ = 0;
};

double timer_cancel() {
    using namespace std::chrono_literals;
    const auto timers = std::make_unique<Timers>();
    return bench::cpu_time_of([&] {
        timers->arm(1h, 1h);
        timers->cancel();
        timers->run();
    });
}

double timer_fire() {
    using namespace std::chrono_literals;
    const auto timers = std::make_unique<Timers>();
    return bench::cpu_time_of([&] {
        timers->arm(0s, 100ms);
        timers->run();
    });
}

double gather() {
    using Operation = decltype(asio::co_spawn(std::declval<Executor>(), empty(), asio::deferred));
    return run([](Executor executor) -> Awaitable<> {
        for (int i = 0; i < bench::gathers; ++i) {
            std::vector<Operation> children;
            children.reserve(bench::children_per_gather);
            for (int j = 0; j < bench::children_per_gather; ++j)
                children.push_back(asio::co_spawn(executor, empty(), asio::deferred));
            auto group = asio::experimental::make_parallel_group(std::move(children));
            co_await group.async_wait(asio::experimental::wait_for_all(), use_awaitable);
        }
    });
}

Awaitable<> wait_long(Executor executor) {
    Timer timer(executor, std::chrono::hours(1));
    co_await timer.async_wait(use_awaitable);
}

double cancel_batch() {
    asio::io_context io(1);
    std::deque<asio::cancellation_signal> signals(bench::cancels_per_batch);
    int cancelled = 0;
    for (auto& signal : signals) {
        asio::co_spawn(io.get_executor(), wait_long(io.get_executor()),
                       asio::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr error) {
                           if (error) ++cancelled;
                       }));
    }
    io.poll();
    const double time = bench::cpu_time_of([&] {
        for (auto& signal : signals)
            signal.emit(asio::cancellation_type::terminal);
        io.run();
    });
    bench::keep(cancelled);
    return time;
}

double cancel() {
    double time = 0;
    for (int i = 0; i < bench::cancel_batches; ++i)
        time += cancel_batch();
    return time;
}

Awaitable<> echo(Channel& in, Channel& out) {
    for (int i = 0; i < bench::round_trips; ++i) {
        const int item = co_await in.async_receive(use_awaitable);
        co_await out.async_send(boost::system::error_code(), item, use_awaitable);
    }
}

Awaitable<> ask(Channel& out, Channel& in) {
    long sum = 0;
    for (int i = 0; i < bench::round_trips; ++i) {
        co_await out.async_send(boost::system::error_code(), i, use_awaitable);
        sum += co_await in.async_receive(use_awaitable);
    }
    bench::keep(sum);
}

double queue() {
    asio::io_context io(1);
    Channel there(io.get_executor(), 1);  // room for the item on its way
    Channel back(io.get_executor(), 1);
    asio::co_spawn(io.get_executor(), echo(there, back), rethrow);
    asio::co_spawn(io.get_executor(), ask(there, back), rethrow);
    return bench::cpu_time_of([&] { io.run(); });
}

/// A function on a pool of one thread, and back: what boost::asio::post to a thread_pool is used for.
Awaitable<> use_pool(asio::thread_pool& pool) {
    const auto executor = co_await asio::this_coro::executor;
    std::int64_t sum = 0;
    for (int i = 0; i < bench::executor_rounds; ++i) {
        const auto work = [&pool, executor, i](auto handler) {
            asio::post(pool, [executor, i, handler = std::move(handler)]() mutable {
                asio::post(executor, [i, handler = std::move(handler)]() mutable { std::move(handler)(i); });
            });
        };
        sum += co_await asio::async_initiate<const asio::use_awaitable_t<Executor>, void(int)>(work, use_awaitable);
    }
    bench::keep(sum);
}

double executor(bool with_socket) {
    asio::io_context io(1);
    const PendingAccept accept(io, with_socket);
    asio::thread_pool pool(1);
    asio::co_spawn(io.get_executor(), use_pool(pool), [&io](std::exception_ptr error) {
        rethrow(error);
        io.stop();
    });
    const double time = bench::cpu_time_of([&] { io.run(); });
    pool.join();
    return time;
}

double threadsafe() {
    asio::io_context io(1);
    auto work = asio::make_work_guard(io);
    int count = 0;
    return bench::cpu_time_of([&] {
        std::thread other([&] {
            for (int i = 0; i < bench::calls; ++i)
                asio::post(io, [&] {
                    if (++count == bench::calls) work.reset();
                });
        });
        io.run();
        other.join();
    });
}

}  // namespace

int main(int argc, char** argv) {
    bench::begin(argc, argv);
    bench::report("switch", 1.0 * bench::tasks * bench::switches_per_task, [] { return switch_tasks(false); });
    bench::report("switch_socket", 1.0 * bench::tasks * bench::switches_per_task, [] { return switch_tasks(true); });
    bench::report("spawn_join", bench::spawns, spawn_join);
    bench::report("await_child", bench::awaits, await_child);
    bench::report("call_soon", bench::calls, [] { return CallSoon().run(); });
    bench::report("timer_cancel", bench::timers, timer_cancel);
    bench::report("timer_fire", bench::timers, timer_fire);
    bench::report("gather", 1.0 * bench::gathers * bench::children_per_gather, gather);
    bench::report("cancel", 1.0 * bench::cancel_batches * bench::cancels_per_batch, cancel);
    bench::report("queue", bench::round_trips, queue);
    bench::report("executor", bench::executor_rounds, [] { return executor(false); });
    bench::report("executor_socket", bench::executor_rounds, [] { return executor(true); });
    bench::report_elapsed("round_trip", bench::executor_rounds, [] { return executor(false); });
    bench::report_elapsed("round_trip_socket", bench::executor_rounds, [] { return executor(true); });
    bench::report("threadsafe", bench::calls, threadsafe);
}
