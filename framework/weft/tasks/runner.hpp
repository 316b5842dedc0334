#pragma once
// run and Runner: from main() into a coroutine and back (asyncio.run, asyncio.Runner).
//
//     Coro<> amain() { ... }
//     int main() { return weft::run(amain()); }
//
// run() makes a loop, runs the coroutine, cancels what it left behind, and closes the loop. The first Ctrl-C cancels
// the main task; a second one leaves the loop at once.

#include <weft/loop/policy.hpp>
#include <weft/tasks/task.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <utility>

namespace weft {

class RunOptions {
public:
    using LoopFactory = std::function<std::unique_ptr<EventLoop>()>;

    RunOptions() = default;
    /// Debug mode of the loop; default: as the environment says (WEFT_DEBUG).
    RunOptions& debug(bool value) & {
        debug_ = value;
        return *this;
    }
    RunOptions&& debug(bool value) && { return std::move(debug(value)); }
    /// What makes the loop; default: new_event_loop().
    RunOptions& loop_factory(LoopFactory value) & {
        loop_factory_ = std::move(value);
        return *this;
    }
    RunOptions&& loop_factory(LoopFactory value) && { return std::move(loop_factory(std::move(value))); }

    std::optional<bool> debug() const noexcept { return debug_; }
    const LoopFactory& loop_factory() const noexcept { return loop_factory_; }

private:
    std::optional<bool> debug_;
    LoopFactory loop_factory_;
};

/// Runs several coroutines, one after the other, on one loop, which it makes when first needed.
class Runner {
public:
    explicit Runner(RunOptions options = {});
    Runner(const Runner&) = delete;
    Runner& operator=(const Runner&) = delete;
    ~Runner();

    /// Runs the coroutine to its end and gives its value or throws its exception. RuntimeError if a loop runs on this
    /// thread or after close(). On the main thread, with SIGINT at its default, Ctrl-C cancels it; if it ends by that,
    /// KeyboardInterrupt is thrown.
    template <class T>
    T run(Coro<T> coro) {
        check_can_run();
        get_loop();
        return run(std::move(coro), *context_);
    }
    /// The same in `context`; otherwise all runs share one, copied when the loop was made.
    template <class T>
    T run(Coro<T> coro, const Context& context) {
        check_can_run();
        TaskOptions options;
        options.context(context);
        Task<T> task = get_loop().create_task(std::move(coro), std::move(options));
        run_main(*task.state());
        task.state()->require_value();
        return detail::take_value_of<T>(*task.state(), true);
    }
    /// The loop; made by the first call.
    EventLoop& get_loop();
    /// Cancels the tasks that are left, waits for them, reports their errors, and closes the loop. Again: nothing.
    void close();

private:
    void check_can_run() const;
    void run_main(detail::FutureBase& main);
    void cancel_all_tasks();

    enum class State : std::uint8_t { created, initialized, closed };
    RunOptions options_;
    State state_ = State::created;
    std::unique_ptr<EventLoop> loop_;
    std::optional<Context> context_;
};

namespace detail {

/// Calls `body`, which runs the program, and turns how it ended into an exit status. What it throws is printed.
int exit_status_of(UniqueFunction<int(Runner&, std::string& trace)> body, RunOptions options);
std::string format_error(const TaskBase& task, const std::exception_ptr& error);

template <class T>
Coro<T> traced_main(Coro<T> main, std::string& trace) {
    std::exception_ptr error;
    try {
        co_return co_await std::move(main);
    } catch (...) {
        error = std::current_exception();
    }
    trace = format_error(current_task().task(), error);
    std::rethrow_exception(error);
}

}  // namespace detail

/// Runs a program and gives its exit status: the value of a Coro<int>, 0 for any other; 1 after an exception, which is
/// printed with where it passed; 130 after Ctrl-C; the code of a SystemExit. Prints to standard error.
template <class T>
int run(Coro<T> main, RunOptions options = {}) {
    return detail::exit_status_of(
        [main = std::move(main)](Runner& runner, std::string& trace) mutable -> int {
            if constexpr (std::is_same_v<T, int>) {
                return runner.run(detail::traced_main(std::move(main), trace));
            } else {
                (void)runner.run(detail::traced_main(std::move(main), trace));
                return 0;
            }
        },
        std::move(options));
}
/// The same for main(): a Coro<> gives nothing.
inline int run(Coro<void> main, RunOptions options = {}) {
    return detail::exit_status_of(
        [main = std::move(main)](Runner& runner, std::string& trace) mutable -> int {
            runner.run(detail::traced_main(std::move(main), trace));
            return 0;
        },
        std::move(options));
}

}  // namespace weft
