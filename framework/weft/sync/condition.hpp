#pragma once
// Condition: tasks that hold a lock wait until another one says that something changed (asyncio.Condition).
//
//     Condition changed;
//     auto guard = co_await changed.scoped();                          // async with changed:
//     co_await changed.wait_for([&] { return !jobs.empty(); });        // gives the lock up while it waits
//
//     auto guard = co_await changed.scoped();                          // elsewhere
//     jobs.push_back(job);
//     changed.notify();
//
// Copies mean the same condition. It belongs to the first loop that blocks on it and is used on that loop's thread.

#include <weft/sync/lock.hpp>
#include <weft/tasks/timeout.hpp>

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace weft {

namespace detail {

class ConditionState final : public SharedState<ConditionState> {
public:
    explicit ConditionState(Ref<LockState> lock) noexcept : lock_(std::move(lock)) {}

    const Ref<LockState>& lock() const noexcept { return lock_; }
    /// Wakes up to `count` waiters, whoever holds the lock.
    void wake(std::ptrdiff_t count) noexcept;
    /// The same for all of them.
    void wake_every_waiter() noexcept { wake_all(waiters_); }
    void notify(std::ptrdiff_t count);
    void notify_all();
    /// What wait() does before it suspends: checks, and gives the lock up.
    void begin_wait(EventLoop& loop);
    Waiters& waiters() noexcept { return waiters_; }
    std::string repr() const;

private:
    Ref<LockState> lock_;
    Waiters waiters_;
    LoopBinding binding_;
};

Coro<bool> condition_wait(Ref<ConditionState> condition);

template <class F>
using condition_value_t = std::decay_t<std::invoke_result_t<F&>>;

template <class F>
Coro<condition_value_t<F>> condition_wait_for(Ref<ConditionState> condition, F predicate) {
    while (true) {
        condition_value_t<F> value = std::invoke(predicate);
        if (value) co_return std::move(value);
        co_await condition_wait(condition);
    }
}

}  // namespace detail

class Condition {
public:
    /// With a lock of its own.
    Condition() : Condition(Lock()) {}
    /// With the given lock, which others may use too.
    explicit Condition(const Lock& lock)
        : state_(detail::Ref<detail::ConditionState>::adopt(new detail::ConditionState(lock.state()))) {}

    /// As the lock's.
    [[nodiscard("co_await it")]] detail::LockAcquire acquire() { return detail::LockAcquire(state_->lock()); }
    /// Takes the lock and gives a guard that releases it: Python's `async with condition`.
    [[nodiscard("co_await it")]] detail::LockScoped scoped() { return detail::LockScoped(state_->lock()); }
    /// As the lock's.
    void release() { state_->lock()->unlock(); }
    bool locked() const noexcept { return state_->lock()->locked(); }

    /// Gives the lock up, waits to be notified, takes the lock again and gives true. It may also return without a
    /// notification: look at what you wait for again. Once it has given the lock up it never ends without holding it: a
    /// cancellation while it takes the lock again is thrown (the last one, if there are several) when it has it. A
    /// waiter that was notified and is cancelled before it returns notifies another one. RuntimeError if the lock is
    /// not held, or if this belongs to another loop.
    Coro<bool> wait() { return detail::condition_wait(state_); }
    /// wait()s until `predicate()` is true and gives its value; does not suspend if it is true at once.
    template <class F>
    auto wait_for(F&& predicate) {
        static_assert(detail::survives_co_await<F>(),
                      "g++ 12 destroys the captures of this temporary lambda twice (GCC bug 99576): give it a name "
                      "first, `auto predicate = [...] {...};`, and pass `predicate`; or capture by reference");
        return detail::condition_wait_for<std::decay_t<F>>(state_, std::forward<F>(predicate));
    }
    /// Wakes `count` waiters, or all if there are fewer, in the order they came. They return when they have the lock,
    /// so release it. RuntimeError if the lock is not held.
    void notify(std::ptrdiff_t count = 1) { state_->notify(count); }
    /// The same for all of them.
    void notify_all() { state_->notify_all(); }

    /// `<Condition [locked, waiters:2]>`
    std::string repr() const { return state_->repr(); }
    /// The same condition.
    bool operator==(const Condition& other) const noexcept { return state_ == other.state_; }
    /// For the framework.
    const detail::Ref<detail::ConditionState>& state() const noexcept { return state_; }

private:
    detail::Ref<detail::ConditionState> state_;
};

}  // namespace weft
