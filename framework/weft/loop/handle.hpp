#pragma once
// Handle and TimerHandle: what call_soon, call_later and call_at return.
//
//     TimerHandle timer = loop.call_later(1s, [] { ... });
//     timer.cancel();                                   // its callback is destroyed now and never runs
//
// The callback runs in a copy of the context in which it was scheduled (see context.hpp); in another one with
// `loop.call_soon(context, fn)`. A handle may be dropped: the callback runs all the same. Handles are used on the
// loop's thread; the one that call_soon_threadsafe returns may be cancelled from any thread.

#include <weft/base/frame_pool.hpp>
#include <weft/base/ref.hpp>
#include <weft/base/unique_function.hpp>
#include <weft/loop/context_slot.hpp>
#include <weft/loop/duration.hpp>
#include <weft/loop/ready_queue.hpp>

#include <atomic>
#include <cstdint>
#include <string>
#include <typeinfo>

namespace weft {

class EventLoop;

namespace detail {

/// The shared state behind a Handle: a callback that is run or cancelled, whichever comes first.
///
///     pending -> running -> finished        pending | running | finished -> cancelled
class HandleState : public ReadyNode, public Pooled {
public:
    enum class State : std::uint8_t { pending, running, finished, cancelled };

    HandleState(EventLoop& loop, UniqueFunction<void()> callback, ContextSlot context, bool shared) noexcept
        : loop_(&loop), shared_(shared), context_(std::move(context)), callback_(std::move(callback)) {}

    /// Destroys the callback at once unless it has started.
    void cancel() noexcept;
    bool cancelled() const noexcept { return state_.load(std::memory_order_relaxed) == State::cancelled; }

    void run() override;
    void discard() noexcept override;
    std::string describe() const override;

    void add_ref() noexcept {
        if (shared_)
            refs_.fetch_add(1, std::memory_order_relaxed);
        else
            refs_.store(refs_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
    void release() noexcept {
        if (shared_) {
            if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
            return;
        }
        const std::uint32_t left = refs_.load(std::memory_order_relaxed) - 1;
        refs_.store(left, std::memory_order_relaxed);
        if (left == 0) delete this;
    }

protected:
    virtual ~HandleState() = default;
    EventLoop& loop() const noexcept { return *loop_; }
    /// Told on the loop's thread, once, when cancel() took effect.
    virtual void on_cancel() noexcept {}

    /// State and callback, for describe().
    std::string text() const;
    virtual const std::type_info& callback_type() const noexcept { return callback_.target_type(); }

private:
    bool leave_pending(State next) noexcept;

    EventLoop* loop_;
    std::atomic<std::uint32_t> refs_{1};
    std::atomic<State> state_{State::pending};
    const bool shared_;  // may be touched by several threads
    ContextSlot context_;
    UniqueFunction<void()> callback_;
};

/// One that other threads may cancel, also while it is described: it knows the type of its callback by itself.
class ThreadsafeHandleState final : public HandleState {
public:
    ThreadsafeHandleState(EventLoop& loop, UniqueFunction<void()> callback, ContextSlot context) noexcept
        : HandleState(loop, std::move(callback), std::move(context), true), type_(HandleState::callback_type()) {}

private:
    const std::type_info& callback_type() const noexcept override { return type_; }
    const std::type_info& type_;
};

/// A callback with a deadline; the heap and the ready queue hold a reference while they know it.
class TimerState final : public HandleState {
public:
    TimerState(EventLoop& loop, TimePoint when, UniqueFunction<void()> callback, ContextSlot context) noexcept
        : HandleState(loop, std::move(callback), std::move(context), false), when_(when) {}
    TimePoint when() const noexcept { return when_; }

    bool in_heap = false;
    std::uint64_t sequence = 0;  // the order of scheduling, set by the heap

    std::string describe() const override;

private:
    void on_cancel() noexcept override;
    TimePoint when_;
};

}  // namespace detail

/// A callback that was scheduled (asyncio.Handle). Copies share it.
class Handle {
public:
    Handle() = default;
    explicit Handle(detail::Ref<detail::HandleState> state) noexcept : state_(std::move(state)) {}
    /// Keeps the callback from running and destroys it and what it captured; nothing happens if it ran already.
    void cancel() noexcept {
        if (state_) state_->cancel();
    }
    bool cancelled() const noexcept { return state_ && state_->cancelled(); }
    /// False for a default-constructed handle.
    explicit operator bool() const noexcept { return static_cast<bool>(state_); }
    /// As asyncio's repr: the type of the callback, or "cancelled".
    std::string repr() const { return state_ ? state_->describe() : "<Handle>"; }

protected:
    detail::Ref<detail::HandleState> state_;
};

/// A callback that was scheduled for a point in time (asyncio.TimerHandle).
class TimerHandle : public Handle {
public:
    TimerHandle() = default;
    explicit TimerHandle(detail::Ref<detail::TimerState> state) noexcept
        : Handle(detail::Ref<detail::HandleState>(std::move(state))) {}
    /// The loop's time at which it is due.
    TimePoint when() const noexcept { return static_cast<const detail::TimerState&>(*state_).when(); }
};

}  // namespace weft
