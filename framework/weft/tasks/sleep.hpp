#pragma once
// sleep: suspends the current task (asyncio.sleep).
//
//     co_await sleep(100ms);
//     co_await sleep(0s);                     // lets everything else that is ready run once
//     int n = co_await sleep(1s, 42);         // gives 42
//
// A delay that is not positive yields exactly one iteration. Cancelling the task removes the timer at once. One that
// has a name is awaited once: a second time is a RuntimeError.

#include <weft/tasks/task.hpp>

#include <chrono>

namespace weft {

namespace detail {

/// The awaiter of sleep(); its timer wakes the task.
class SleepBase : public TaskWaiter {
public:
    explicit SleepBase(Duration delay) noexcept : delay_(delay) {}
    /// Only one that was not awaited.
    SleepBase(SleepBase&& other) noexcept : TaskWaiter(std::move(other)), delay_(other.delay_) {}
    ~SleepBase() {
        if (was_used()) drop_timer();
    }

    std::string_view waiter_kind() const noexcept override { return "sleep"; }
    bool await_ready() const noexcept { return false; }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) {
        if (was_awaited()) [[unlikely]]
            throw_already_awaited();
        if (delay_ <= Duration::zero())
            yield(handle.promise());
        else
            start(handle.promise());
    }

private:
    void start(PromiseBase& promise);
    void on_cancel_wait() noexcept override { drop_timer(); }
    void drop_timer() noexcept;

    union {
        Duration delay_;     // until it waits
        TimerState* timer_;  // owned; of one that was_used()
    };
};

class Sleep final : public SleepBase, public LeafAwaitable<Sleep, void> {
public:
    using SleepBase::SleepBase;
    void await_resume() { end_wait(); }
};

template <class T>
class SleepWithResult final : public SleepBase, public LeafAwaitable<SleepWithResult<T>, T> {
public:
    SleepWithResult(Duration delay, T result) : SleepBase(delay), result_(std::move(result)) {}
    T await_resume() {
        end_wait();
        return std::move(result_);
    }

private:
    T result_;
};

}  // namespace detail

/// Suspends for `delay`. Awaited in a task; CancelledError ends it early.
template <class Rep, class Period>
[[nodiscard("co_await it")]] detail::Sleep sleep(std::chrono::duration<Rep, Period> delay) {
    return detail::Sleep(detail::to_duration(delay));
}
/// The same, and then gives `result`.
template <class Rep, class Period, class T>
[[nodiscard("co_await it")]] detail::SleepWithResult<std::decay_t<T>> sleep(std::chrono::duration<Rep, Period> delay,
                                                                            T&& result) {
    return detail::SleepWithResult<std::decay_t<T>>(detail::to_duration(delay), std::forward<T>(result));
}

}  // namespace weft
