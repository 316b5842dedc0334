#pragma once
// Executors: plain functions on other threads (concurrent.futures and loop.run_in_executor).
//
//     int n = co_await get_running_loop().run_in_executor(nullptr, blocking_call, argument);
//     int m = co_await to_thread([](std::stop_token stop) { return search(stop); });   // stops when cancelled
//
//     ThreadPoolExecutor pool(4, "db");
//     ConcurrentFuture<int> future = pool.submit(query, 7);
//
// The default executor is made when first used: a thread pool on a real loop; on a simulated one the functions run on
// the loop's own thread, one per iteration, so that a run can be repeated. Pools by name:
// `loop.service<ExecutorService>().pool("db", 4)`.

#include <weft/base/unique_function.hpp>
#include <weft/loop/context.hpp>
#include <weft/loop/event_loop.hpp>
#include <weft/loop/service.hpp>
#include <weft/tasks/concurrent_future.hpp>
#include <weft/tasks/timeout.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace weft {

namespace detail {

template <class Result>
constexpr void check_is_no_coroutine() {
    static_assert(
        !requires { typename std::decay_t<Result>::starts_when_awaited; },
        "a thread runs plain functions: what a coroutine function returns would never be awaited there");
}

}  // namespace detail

/// Something to do, once.
class ExecutorJob {
public:
    virtual ~ExecutorJob() = default;
    virtual void run() noexcept = 0;
    /// In place of run(), if the executor ends first.
    virtual void cancel() noexcept = 0;
};

/// Runs functions somewhere else. submit() and the queries may be called from any thread.
class Executor {
public:
    virtual ~Executor() = default;
    Executor(const Executor&) = delete;
    Executor& operator=(const Executor&) = delete;

    /// Runs `fn(args...)`, both moved along; the future has its result or exception. RuntimeError after shutdown().
    template <class F, class... Args>
        requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
    auto submit(F&& fn, Args&&... args);
    /// No new work; what is queued still runs, or is cancelled if `cancel_futures`. With `wait` it returns when the
    /// last function has ended.
    virtual void shutdown(bool wait = true, bool cancel_futures = false) = 0;
    /// Done when shutdown() was called and the last function has ended.
    virtual ConcurrentFuture<> terminated() const = 0;
    /// Functions that wait for a thread.
    virtual std::size_t queue_depth() const = 0;
    virtual std::string_view name() const noexcept = 0;

protected:
    Executor() = default;

private:
    virtual void post(std::unique_ptr<ExecutorJob> job) = 0;
};

/// A pool of up to `max_workers` threads, started as they are needed (concurrent.futures.ThreadPoolExecutor).
class ThreadPoolExecutor final : public Executor {
public:
    /// 0 workers: as many as asyncio's default, min(32, processors + 4). ValueError for a name with more than 15
    /// characters: threads are called by it.
    explicit ThreadPoolExecutor(std::size_t max_workers = 0, std::string name = "weft");
    /// shutdown(true), but after a shutdown(false) it waits for nothing; nor does it on one of its own threads.
    ~ThreadPoolExecutor() override;
    void shutdown(bool wait = true, bool cancel_futures = false) override;
    ConcurrentFuture<> terminated() const override;
    std::size_t queue_depth() const override;
    std::string_view name() const noexcept override;
    /// Threads that were started and have not ended.
    std::size_t workers() const;

private:
    class Pool;
    void post(std::unique_ptr<ExecutorJob> job) override;
    std::shared_ptr<Pool> pool_;
};

/// The executors of one loop. An application that wants others derives from it, overrides new_executor() and adds it
/// to the loop before the first use: `loop.add_service<MyExecutors>(loop)`.
class ExecutorService : public Service {
public:
    using service_type = ExecutorService;
    static constexpr bool has_default = true;
    explicit ExecutorService(EventLoop& loop) : loop_(loop) {}
    std::string_view name() const noexcept override { return "executor"; }
    /// Ends the executors without waiting for what they run.
    void shutdown() noexcept override;

    /// The loop's executor service; made if it has none.
    static ExecutorService& of(EventLoop& loop);
    /// RuntimeError once shutdown_default_executor() was called.
    Executor& default_executor();
    void set_default_executor(std::shared_ptr<Executor> executor);
    /// The pool of this name, made with so many workers if there is none yet.
    Executor& pool(const std::string& name, std::size_t max_workers = 0);
    Coro<> shutdown_default(std::optional<Duration> limit);

protected:
    /// Makes the pool of this name; the default executor is made as "weft" with 0 workers, which means as many as the
    /// executor likes. Not null. Here: what the loop's backend has, threads or (simulated) the loop itself.
    virtual std::shared_ptr<Executor> new_executor(const std::string& name, std::size_t max_workers);

private:
    EventLoop& loop_;
    std::shared_ptr<Executor> default_;
    std::map<std::string, std::shared_ptr<Executor>> pools_;
    bool default_shut_down_ = false;
};

namespace detail {

template <class F, class... Args>
class BoundJob final : public ExecutorJob {
public:
    using Result = std::decay_t<std::invoke_result_t<F, Args...>>;
    static constexpr bool checked = (check_is_no_coroutine<Result>(), true);
    template <class G, class... Given>
    explicit BoundJob(ConcurrentFuture<Result> future, G&& fn, Given&&... args)
        : future_(std::move(future)), fn_(std::forward<G>(fn)), args_(std::forward<Given>(args)...) {}
    void run() noexcept override {
        if (!future_.set_running_or_notify_cancel()) return;
        try {
            if constexpr (std::is_void_v<Result>) {
                std::apply(std::move(fn_), std::move(args_));
                future_.set_result();
            } else {
                future_.set_result(std::apply(std::move(fn_), std::move(args_)));
            }
        } catch (...) {
            future_.set_exception(std::current_exception());
        }
    }
    void cancel() noexcept override { future_.cancel(); }

private:
    ConcurrentFuture<Result> future_;
    F fn_;
    std::tuple<Args...> args_;
};

template <class F, class... Args>
concept TakesStopToken = std::invocable<std::decay_t<F>, std::stop_token, std::decay_t<Args>...>;

}  // namespace detail

template <class F, class... Args>
    requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
auto Executor::submit(F&& fn, Args&&... args) {
    using Job = detail::BoundJob<std::decay_t<F>, std::decay_t<Args>...>;
    ConcurrentFuture<typename Job::Result> future;
    post(std::make_unique<Job>(future, std::forward<F>(fn), std::forward<Args>(args)...));
    return future;
}

namespace detail {

template <class F, class... Args>
auto submit_on(EventLoop& loop, Executor* executor, F&& fn, Args&&... args) {
    loop.check_usable();
    Executor& chosen = executor ? *executor : ExecutorService::of(loop).default_executor();
    return wrap_future(chosen.submit(std::forward<F>(fn), std::forward<Args>(args)...), loop);
}

}  // namespace detail

template <class F, class... Args>
auto EventLoop::run_in_executor(Executor* executor, F&& fn, Args&&... args) {
    WEFT_DETAIL_CHECK_BODY(F);
    if constexpr (!std::invocable<std::decay_t<F>, std::decay_t<Args>...> && detail::TakesStopToken<F, Args...>) {
        const std::stop_source source;
        auto future =
            detail::submit_on(*this, executor, std::forward<F>(fn), source.get_token(), std::forward<Args>(args)...);
        future.add_done_callback([source](const auto&) mutable { source.request_stop(); });  // late, it is harmless
        return future;
    } else {
        static_assert(std::invocable<std::decay_t<F>, std::decay_t<Args>...>,
                      "run_in_executor: the function cannot be called with these arguments");
        return detail::submit_on(*this, executor, std::forward<F>(fn), std::forward<Args>(args)...);
    }
}

namespace detail {

template <class R, class F, class... Args>
Coro<R> run_to_thread(F fn, Args... args) {
    const Context context = copy_context();
    auto call = [context, fn = std::move(fn), bound = std::make_tuple(std::move(args)...)]() mutable -> R {
        return context.run([&]() -> R { return std::apply(std::move(fn), std::move(bound)); });
    };
    co_return co_await submit_on(get_running_loop(), nullptr, std::move(call));
}

template <class R, class F, class... Args>
Coro<R> run_to_thread_with_stop(F fn, Args... args) {
    const Context context = copy_context();
    const std::stop_source source;
    auto call = [context, token = source.get_token(), fn = std::move(fn),
                 bound = std::make_tuple(std::move(args)...)]() mutable -> R {
        auto with_token = std::tuple_cat(std::make_tuple(std::move(token)), std::move(bound));
        return context.run([&]() -> R { return std::apply(std::move(fn), std::move(with_token)); });
    };
    class StopAtEnd {
    public:
        explicit StopAtEnd(const std::stop_source& source) : source_(source) {}
        StopAtEnd(const StopAtEnd&) = delete;
        StopAtEnd& operator=(const StopAtEnd&) = delete;
        ~StopAtEnd() { source_.request_stop(); }

    private:
        std::stop_source source_;
    };
    const StopAtEnd stop(source);  // harmless once the function has returned
    co_return co_await submit_on(get_running_loop(), nullptr, std::move(call));
}

}  // namespace detail

/// Awaits `fn(args...)` on a thread of the default executor, in a copy of the current context (asyncio.to_thread).
/// Cancelling the await cancels a call that has not begun; one that has goes on, its result is dropped. If `fn` takes
/// a std::stop_token first, that is then requested to stop.
template <class F, class... Args>
auto to_thread(F&& fn, Args&&... args) {
    WEFT_DETAIL_CHECK_BODY(F);
    if constexpr (detail::TakesStopToken<F, Args...>) {
        using R = std::decay_t<std::invoke_result_t<std::decay_t<F>, std::stop_token, std::decay_t<Args>...>>;
        return detail::run_to_thread_with_stop<R, std::decay_t<F>, std::decay_t<Args>...>(std::forward<F>(fn),
                                                                                          std::forward<Args>(args)...);
    } else {
        static_assert(std::invocable<std::decay_t<F>, std::decay_t<Args>...>,
                      "to_thread: the function cannot be called with these arguments");
        using R = std::decay_t<std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>>;
        return detail::run_to_thread<R, std::decay_t<F>, std::decay_t<Args>...>(std::forward<F>(fn),
                                                                                std::forward<Args>(args)...);
    }
}

}  // namespace weft
