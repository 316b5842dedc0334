#pragma once
// Semaphore: lets a number of tasks at a time through (asyncio.Semaphore), and BoundedSemaphore, which minds that it is
// not released more often than acquired.
//
//     Semaphore connections(10);
//     auto permit = co_await connections.scoped();      // async with connections:
//     co_await fetch(url);                              // at most ten at a time
//
// Copies mean the same semaphore. It belongs to the first loop that blocks on it and is used on that loop's thread.

#include <weft/sync/waiters.hpp>

#include <cstddef>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

namespace weft {

namespace detail {

class SemaphoreState final : public SharedState<SemaphoreState> {
public:
    static constexpr std::ptrdiff_t unbounded = std::numeric_limits<std::ptrdiff_t>::max();

    /// ValueError for a negative value.
    explicit SemaphoreState(std::ptrdiff_t value, std::ptrdiff_t bound);

    bool locked() const noexcept { return value_ == 0 || (!waiters_.empty() && waiters_.any_live()); }
    bool try_acquire() noexcept {
        if (locked()) return false;
        --value_;
        return true;
    }
    void give_back() {
        if (value_ >= bound_) [[unlikely]]
            throw_released_too_often();
        ++value_;
        wake_next();
    }
    /// For destructors: leaves a bounded one alone that has all its permits.
    void give_back_if_missing() noexcept {
        if (value_ >= bound_) return;
        ++value_;
        wake_next();
    }

    void wait(ListWaiter& waiter, PromiseBase& promise);
    /// The waiter's task runs again: it has its permit, or throws CancelledError and gives it to the next one.
    void finish_wait(ListWaiter& waiter);
    /// The waiter's frame is destroyed while it waits: a permit that it was given comes back.
    void abandon_wait(ListWaiter& waiter) noexcept;
    std::string repr() const;

private:
    /// Gives a permit to the first that waits; false if nobody does.
    bool wake_next() noexcept;
    /// Gives permits while there are some and somebody waits.
    void wake_all_possible() noexcept {
        while (value_ > 0 && wake_next()) {}
    }
    [[noreturn]] static void throw_released_too_often();

    std::ptrdiff_t value_;
    const std::ptrdiff_t bound_;
    Waiters waiters_;
    LoopBinding binding_;
};

/// The wait for a permit.
class SemaphoreWait : public ListWaiter {
public:
    explicit SemaphoreWait(Ref<SemaphoreState> state) noexcept : state_(std::move(state)) {}
    SemaphoreWait(SemaphoreWait&&) noexcept = default;
    ~SemaphoreWait() {
        if (is_linked()) state_->abandon_wait(*this);
    }

    std::string_view waiter_kind() const noexcept override { return "Semaphore.acquire"; }
    bool await_ready() const noexcept { return state_->try_acquire(); }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) {
        state_->wait(*this, handle.promise());
    }

protected:
    void finish() {
        if (is_linked()) state_->finish_wait(*this);
    }
    Ref<SemaphoreState> state_;
};

/// What Semaphore::acquire() gives.
class SemaphoreAcquire final : public SemaphoreWait, public LeafAwaitable<SemaphoreAcquire, bool> {
public:
    using SemaphoreWait::SemaphoreWait;
    bool await_resume() {
        finish();
        return true;
    }
};

}  // namespace detail

/// Holds a permit and gives it back when it goes. Movable; an empty one holds nothing.
class [[nodiscard("the permit is given back when the guard goes: give it a name")]] SemaphoreGuard {
public:
    SemaphoreGuard() noexcept = default;
    explicit SemaphoreGuard(detail::Ref<detail::SemaphoreState> state) noexcept : state_(std::move(state)) {}
    SemaphoreGuard(SemaphoreGuard&&) noexcept = default;
    SemaphoreGuard& operator=(SemaphoreGuard other) noexcept {
        std::swap(state_, other.state_);
        return *this;
    }
    ~SemaphoreGuard() {
        if (state_) state_->give_back_if_missing();
    }
    /// Gives the permit back now; the guard is empty then, and doing it again does nothing. ValueError as the
    /// semaphore's release().
    void release() {
        if (const auto state = std::move(state_)) state->give_back();
    }
    explicit operator bool() const noexcept { return static_cast<bool>(state_); }

private:
    detail::Ref<detail::SemaphoreState> state_;
};

namespace detail {

/// What Semaphore::scoped() gives.
class SemaphoreScoped final : public SemaphoreWait, public LeafAwaitable<SemaphoreScoped, SemaphoreGuard> {
public:
    using SemaphoreWait::SemaphoreWait;
    SemaphoreGuard await_resume() {
        finish();
        return SemaphoreGuard(state_);
    }
};

}  // namespace detail

class Semaphore {
public:
    /// With `value` permits. ValueError if that is negative.
    explicit Semaphore(std::ptrdiff_t value = 1) : Semaphore(value, detail::SemaphoreState::unbounded) {}

    /// Takes a permit and gives true; does not suspend if there is one and nobody waits. Strictly first come, first
    /// served. A waiter that is cancelled leaves; a permit that it was given already goes to the next one. RuntimeError
    /// if it has to wait and the semaphore belongs to another loop.
    [[nodiscard("co_await it")]] detail::SemaphoreAcquire acquire() { return detail::SemaphoreAcquire(state_); }
    /// The same, giving a guard that gives the permit back: Python's `async with semaphore`.
    [[nodiscard("co_await it")]] detail::SemaphoreScoped scoped() { return detail::SemaphoreScoped(state_); }
    /// Adds a permit, which the first waiter is given at once. ValueError if the semaphore is bounded and has all its
    /// permits.
    void release() { state_->give_back(); }
    /// True if acquire() would suspend: there is no permit, or others come first.
    bool locked() const noexcept { return state_->locked(); }

    /// `<Semaphore [unlocked, value:3]>`
    std::string repr() const { return state_->repr(); }
    /// The same semaphore.
    bool operator==(const Semaphore& other) const noexcept { return state_ == other.state_; }

protected:
    Semaphore(std::ptrdiff_t value, std::ptrdiff_t bound)
        : state_(detail::Ref<detail::SemaphoreState>::adopt(new detail::SemaphoreState(value, bound))) {}

private:
    detail::Ref<detail::SemaphoreState> state_;
};

/// A semaphore that never has more permits than it started with (asyncio.BoundedSemaphore).
class BoundedSemaphore : public Semaphore {
public:
    explicit BoundedSemaphore(std::ptrdiff_t value = 1) : Semaphore(value, value) {}
};

}  // namespace weft
