#pragma once
// Lock: lets one task at a time through (asyncio.Lock). Not reentrant, and nobody owns it: any task may release it.
//
//     Lock lock;
//     {
//         auto guard = co_await lock.scoped();      // async with lock:
//         co_await change(shared);
//     }                                             // released by the guard's destructor
//
// Copies mean the same lock, so it is passed to coroutines by value. It belongs to the first loop that blocks on it and
// is used on that loop's thread.

#include <weft/sync/waiters.hpp>

#include <string>
#include <string_view>
#include <utility>

namespace weft {

namespace detail {

class LockState final : public SharedState<LockState> {
public:
    bool locked() const noexcept { return locked_; }
    /// Takes the lock unless it is taken or somebody's turn comes first.
    bool try_lock() noexcept {
        if (locked_ || (!waiters_.empty() && waiters_.any_live())) return false;
        locked_ = true;
        return true;
    }
    void unlock() {
        if (!locked_) [[unlikely]]
            throw_not_acquired();
        locked_ = false;
        wake_first();
    }
    /// For destructors: leaves a lock alone that is not taken.
    void unlock_if_locked() noexcept {
        if (!locked_) return;
        locked_ = false;
        wake_first();
    }

    void wait(ListWaiter& waiter, PromiseBase& promise);
    /// The waiter's task runs again: takes the lock, or throws CancelledError and lets the next one have it.
    void finish_wait(ListWaiter& waiter);
    std::string repr() const;

private:
    /// Nothing happens if the first was woken already, or was cancelled: then it passes this on when its task runs.
    void wake_first() noexcept {
        if (ListWaiter* first = waiters_.first()) first->wake();
    }
    [[noreturn]] static void throw_not_acquired();

    Waiters waiters_;
    LoopBinding binding_;
    bool locked_ = false;
};

/// The wait for a lock.
class LockWait : public ListWaiter {
public:
    explicit LockWait(Ref<LockState> state) noexcept : state_(std::move(state)) {}
    LockWait(LockWait&&) noexcept = default;
    ~LockWait() { unlink(); }

    std::string_view waiter_kind() const noexcept override { return "Lock.acquire"; }
    bool await_ready() const noexcept { return state_->try_lock(); }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) {
        state_->wait(*this, handle.promise());
    }

protected:
    void finish() {
        if (is_linked()) state_->finish_wait(*this);
    }
    Ref<LockState> state_;
};

/// What Lock::acquire() gives.
class LockAcquire final : public LockWait, public LeafAwaitable<LockAcquire, bool> {
public:
    using LockWait::LockWait;
    bool await_resume() {
        finish();
        return true;
    }
};

}  // namespace detail

/// Holds a lock and releases it when it goes. Movable; an empty one holds nothing.
class [[nodiscard("the lock is released when the guard goes: give it a name")]] LockGuard {
public:
    LockGuard() noexcept = default;
    explicit LockGuard(detail::Ref<detail::LockState> state) noexcept : state_(std::move(state)) {}
    LockGuard(LockGuard&&) noexcept = default;
    LockGuard& operator=(LockGuard other) noexcept {
        std::swap(state_, other.state_);
        return *this;
    }
    ~LockGuard() {
        if (state_) state_->unlock_if_locked();
    }
    /// Releases the lock now; the guard is empty then, and doing it again does nothing. RuntimeError if the lock was
    /// released otherwise.
    void release() {
        if (const auto state = std::move(state_)) state->unlock();
    }
    explicit operator bool() const noexcept { return static_cast<bool>(state_); }

private:
    detail::Ref<detail::LockState> state_;
};

namespace detail {

/// What Lock::scoped() gives.
class LockScoped final : public LockWait, public LeafAwaitable<LockScoped, LockGuard> {
public:
    using LockWait::LockWait;
    LockGuard await_resume() {
        finish();
        return LockGuard(state_);
    }
};

}  // namespace detail

class Lock {
public:
    Lock() : state_(detail::Ref<detail::LockState>::adopt(new detail::LockState)) {}
    explicit Lock(detail::Ref<detail::LockState> state) noexcept : state_(std::move(state)) {}

    /// Takes the lock and gives true; does not suspend if it is free and nobody waits. Waiters get it in the order they
    /// came, and whoever comes while one of them has its turn queues behind. A waiter that is cancelled leaves; if it
    /// was its turn, the next one's comes. RuntimeError if it has to wait and the lock belongs to another loop.
    [[nodiscard("co_await it")]] detail::LockAcquire acquire() { return detail::LockAcquire(state_); }
    /// The same, giving a guard that releases the lock: Python's `async with lock`.
    [[nodiscard("co_await it")]] detail::LockScoped scoped() { return detail::LockScoped(state_); }
    /// Frees the lock and wakes the first waiter, which takes it when it runs. RuntimeError if it is not taken.
    void release() { state_->unlock(); }
    bool locked() const noexcept { return state_->locked(); }

    /// `<Lock [locked, waiters:2]>`
    std::string repr() const { return state_->repr(); }
    /// The same lock.
    bool operator==(const Lock& other) const noexcept { return state_ == other.state_; }
    /// For the framework.
    const detail::Ref<detail::LockState>& state() const noexcept { return state_; }

private:
    detail::Ref<detail::LockState> state_;
};

}  // namespace weft
