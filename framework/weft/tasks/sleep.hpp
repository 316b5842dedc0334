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
    SleepBase(SleepBase&& other) noexcept : TaskWaiter(std::move(other)), delay_(other.delay_) {}
    ~SleepBase() {
        if (timer_) [[unlikely]]
            drop_timer();
    }

    std::string_view waiter_kind() const noexcept override { return "sleep"; }
    bool await_ready() const noexcept { return false; }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) {
        if (delay_ <= Duration::zero())
            yield(handle.promise());
        else
            start(handle.promise());
    }

protected:
    void yield(PromiseBase& promise) {
        if (yielded_) [[unlikely]]
            throw_already_awaited();
        yielded_ = &promise.task();
        yielded_->suspend(promise, nullptr);
        yielded_->schedule();
    }
    void start(PromiseBase& promise);
    void finish() { yielded_ ? yielded_->check_cancelled(false) : end_wait(); }

private:
    void on_cancel_wait() noexcept override { drop_timer(); }
    void drop_timer() noexcept;

    Duration delay_;
    TimerState* timer_ = nullptr;  // owned; while it waits
    TaskBase* yielded_ = nullptr;  // a bare yield has no timer and no waiter
};

class Sleep final : public SleepBase, public LeafAwaitable<Sleep, void> {
public:
    using SleepBase::SleepBase;
    void await_resume() { finish(); }
};

template <class T>
class SleepWithResult final : public SleepBase, public LeafAwaitable<SleepWithResult<T>, T> {
public:
    SleepWithResult(Duration delay, T result) : SleepBase(delay), result_(std::move(result)) {}
    T await_resume() {
        finish();
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
