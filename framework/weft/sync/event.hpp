#pragma once
// Event: a flag that tasks wait for (asyncio.Event).
//
//     Event ready;
//     co_await ready.wait();       // in one task
//     ready.set();                 // in another: wakes all that wait
//
// Copies mean the same event. It belongs to the first loop that blocks on it and is used on that loop's thread.

#include <weft/sync/waiters.hpp>

#include <string>
#include <string_view>
#include <utility>

namespace weft {

namespace detail {

/// The flag and who waits for it.
class EventFlag {
public:
    explicit EventFlag(bool value = false) noexcept : value_(value) {}

    bool is_set() const noexcept { return value_; }
    void set() noexcept {
        if (value_) return;
        value_ = true;
        if (!waiters_.empty()) wake_all(waiters_);
    }
    void clear() noexcept { value_ = false; }
    void wait(ListWaiter& waiter, PromiseBase& promise);
    std::string repr() const;

private:
    Waiters waiters_;
    LoopBinding binding_;
    bool value_;
};

class EventState final : public SharedState<EventState>, public EventFlag {};

/// What Event::wait() gives.
class EventWait final : public ListWaiter, public LeafAwaitable<EventWait, bool> {
public:
    explicit EventWait(Ref<EventState> state) noexcept : state_(std::move(state)) {}
    EventWait(EventWait&&) noexcept = default;
    ~EventWait() { unlink(); }

    std::string_view waiter_kind() const noexcept override { return "Event.wait"; }
    bool await_ready() const noexcept { return state_->is_set(); }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) {
        state_->wait(*this, handle.promise());
    }
    bool await_resume() {
        unlink();
        end_wait();
        return true;
    }

private:
    Ref<EventState> state_;
};

}  // namespace detail

class Event {
public:
    /// Not set.
    Event() : state_(detail::Ref<detail::EventState>::adopt(new detail::EventState)) {}

    /// Waits until the event is set and gives true; does not suspend if it is. A task that waited when set() was called
    /// goes on even if clear() follows at once. RuntimeError if it has to wait and the event belongs to another loop.
    [[nodiscard("co_await it")]] detail::EventWait wait() { return detail::EventWait(state_); }
    /// Sets the flag and wakes all that wait, in the order they came.
    void set() noexcept { state_->set(); }
    void clear() noexcept { state_->clear(); }
    bool is_set() const noexcept { return state_->is_set(); }

    /// `<Event [unset, waiters:2]>`
    std::string repr() const { return state_->repr(); }
    /// The same event.
    bool operator==(const Event& other) const noexcept { return state_ == other.state_; }

private:
    detail::Ref<detail::EventState> state_;
};

}  // namespace weft
