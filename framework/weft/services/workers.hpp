#pragma once
// run_workers: the same program on several threads, each with a loop of its own, so that a service uses every core.
//
//     Coro<> serve(Worker& worker) {
//         Server server = co_await start_server(handler, "", 8888, ServerOptions().reuse_port(true));
//         co_await server.serve_forever();
//     }
//     int main() { return run_workers(std::thread::hardware_concurrency(), serve); }
//
// With reuse_port the kernel spreads the connections over the workers. Loops share nothing: what one tells another goes
// through Worker::call_soon_threadsafe() or an EventLoop's.
//
// Worker 0 runs on the calling thread, so that signal handlers and Ctrl-C work there. The workers stop together: when
// one of them ends with an error, when Ctrl-C cancels worker 0, or when stop() is called, the main task of every other
// is cancelled, which runs its clean-up; run_workers() returns when the last one has ended.

#include <weft/base/unique_function.hpp>
#include <weft/tasks/runner.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

namespace weft {

namespace detail {
class WorkerGroup;
}

/// One of the threads of run_workers(). It lives as long as run_workers() runs.
class Worker {
public:
    Worker(detail::WorkerGroup& group, std::size_t index) noexcept : group_(group), index_(index) {}
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    /// 0 to count() - 1.
    std::size_t index() const noexcept { return index_; }
    /// How many workers there are.
    std::size_t count() const noexcept;
    /// Any thread: cancels the main task of every worker. Again: no effect.
    void stop() const;
    /// Any thread: runs `fn` on the loop of worker `index`; false if that has ended. One that has not begun yet runs it
    /// when it does. ValueError if there is no such worker.
    bool call_soon_threadsafe(std::size_t index, UniqueFunction<void()> fn) const;

private:
    detail::WorkerGroup& group_;
    const std::size_t index_;
};

namespace detail {

/// Runs `main` for each worker; see run_workers().
int run_worker_threads(std::size_t count, std::function<Coro<int>(Worker&)> main, RunOptions options);

template <class F>
Coro<int> run_worker_main(std::shared_ptr<F> main, Worker& worker) {
    if constexpr (std::is_invocable_v<F&, Worker&>) {
        if constexpr (std::is_same_v<std::invoke_result_t<F&, Worker&>, Coro<int>>)
            co_return co_await (*main)(worker);
        else
            co_await (*main)(worker);
    } else {
        if constexpr (std::is_same_v<std::invoke_result_t<F&>, Coro<int>>)
            co_return co_await (*main)();
        else
            co_await (*main)();
    }
    co_return 0;
}

}  // namespace detail

/// Runs `main(worker)` or `main()`, a coroutine, on `count` threads (the calling one is the first), each with a loop
/// that `options` makes, and gives the exit status as run() does: the first that is not 0, with Ctrl-C 130. `main`
/// and the options' loop factory are called on each thread, at the same time. Errors are printed as run() prints them.
/// A worker that returns does not end the others. ValueError for 0 workers; RuntimeError inside a running loop;
/// std::system_error if a thread cannot be had, and then none runs on.
template <class F>
int run_workers(std::size_t count, F main, RunOptions options = {}) {
    static_assert(std::is_invocable_v<F&, Worker&> || std::is_invocable_v<F&>,
                  "run_workers needs a coroutine function that takes a Worker& or nothing");
    auto shared = std::make_shared<F>(std::move(main));
    return detail::run_worker_threads(
        count, [shared](Worker& worker) { return detail::run_worker_main(shared, worker); }, std::move(options));
}

}  // namespace weft
