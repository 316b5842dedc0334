#pragma once
// Waiter: what a suspended task waits for, and whom Task::cancel() asks. Futures are waiters; waits on the loop's own
// objects (a timer, a stream's bytes) are TaskWaiters, which live in the waiting coroutine's frame and allocate
// nothing.

#include <weft/base/unique_function.hpp>
#include <weft/loop/task_table.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace weft::detail {

class TaskBase;
class PromiseBase;

class Waiter {
public:
    /// Asks for the wait to end by CancelledError. True if it will: the task is then woken through the ready queue.
    /// False if the wait is over already. `message` may be null.
    virtual bool cancel_wait(const std::string* message) = 0;
    /// True once cancel_wait() took effect: the wait ends by a CancelledError that has its message already.
    virtual bool wait_was_cancelled() const noexcept = 0;
    /// For dumps: "sleep", "Future", ...
    virtual std::string_view waiter_kind() const noexcept = 0;
    /// Calls `visit` for each task that is awaited through this.
    virtual void visit_awaited_tasks(UniqueFunction<void(TaskRecord&)>&) {}

protected:
    Waiter() = default;
    ~Waiter() = default;
};

/// A wait of exactly one task, woken or cancelled exactly once.
///
///     idle -> waiting -> woken | cancelled
///
/// It must stay where it is from suspend() on; its owner calls end_wait() when the task has resumed.
class TaskWaiter : public Waiter {
public:
    /// Wakes the task through the ready queue; nothing happens unless it waits.
    void wake() noexcept;
    bool is_waiting() const noexcept { return state_ == State::waiting; }
    bool cancel_wait(const std::string* message) override;
    bool wait_was_cancelled() const noexcept override { return state_ == State::cancelled; }

protected:
    TaskWaiter() = default;
    /// Only an idle waiter may be moved; the copy is idle.
    TaskWaiter(TaskWaiter&&) noexcept {}
    ~TaskWaiter() = default;

    /// Suspends the coroutine's task on this.
    void suspend(PromiseBase& promise);
    /// Lets everything else that is ready run once; this stays idle.
    inline void yield(PromiseBase& promise);
    /// First thing after resuming: throws CancelledError if the wait or the step was cancelled.
    inline void end_wait();
    bool was_woken() const noexcept { return state_ == State::woken; }
    /// It waits or has waited.
    bool was_used() const noexcept { return state_ != State::idle; }
    /// A task has suspended on this, or yielded.
    bool was_awaited() const noexcept { return task_ != nullptr; }
    /// Told when a cancellation took effect: leave whatever list would call wake().
    virtual void on_cancel_wait() noexcept = 0;

private:
    enum class State : std::uint8_t { idle, waiting, woken, cancelled };
    TaskBase* task_ = nullptr;
    State state_ = State::idle;
};

}  // namespace weft::detail
