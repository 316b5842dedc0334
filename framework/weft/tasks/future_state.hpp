#pragma once
// FutureBase: the shared state behind Future and Task, without its value. Its done-callbacks and the tasks that await
// it are nodes of the ready queue, so completing it moves one list.
//
// It may outlive its loop. Once that has closed, completing it drops the callbacks that would be scheduled and throws
// RuntimeError if there were any, as asyncio does; an exception set then is reported by nobody.

#include <weft/base/exceptions.hpp>
#include <weft/base/frame_pool.hpp>
#include <weft/base/ref.hpp>
#include <weft/loop/event_loop.hpp>
#include <weft/tasks/waiter.hpp>

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeinfo>
#include <utility>

namespace weft {

/// The value of something that has none, where a value is needed: an element of gather()'s tuple for a Coro<void>.
struct None {
    bool operator==(const None&) const = default;
};

}  // namespace weft

namespace weft::detail {

class DoneCallback;

///     pending -> finished (value or exception) | cancelled
class FutureBase : public Waiter, public Pooled {
public:
    enum class State : std::uint8_t { pending, finished, cancelled };

    explicit FutureBase(EventLoop& loop, bool is_task = false) noexcept : loop_(&loop), is_task_(is_task) {}
    FutureBase(const FutureBase&) = delete;
    FutureBase& operator=(const FutureBase&) = delete;

    void add_ref() noexcept { ++refs_; }
    void release() noexcept {
        if (--refs_ == 0) delete this;
    }
    bool is_shared() const noexcept { return refs_ > 1; }

    EventLoop& loop() const noexcept { return *loop_; }
    bool done() const noexcept { return state_ != State::pending; }
    bool is_cancelled() const noexcept { return state_ == State::cancelled; }
    bool has_exception() const noexcept { return static_cast<bool>(exception_); }
    /// Without marking it as seen.
    const std::exception_ptr& peek_exception() const noexcept { return exception_; }

    /// Future::cancel; overridden by tasks and by futures that stand for others.
    virtual bool cancel(const std::string* message);
    bool cancel_wait(const std::string* message) final { return cancel(message); }
    std::string_view waiter_kind() const noexcept override { return "Future"; }
    /// As asyncio's repr; `value` is what a finished future shows as its result.
    virtual std::string repr(const std::string& value) const;
    /// Where the value is, for the typed handles.
    virtual void* value_address() noexcept = 0;
    /// The task this is the state of, or null.
    virtual TaskBase* as_task() noexcept { return nullptr; }
    bool wait_was_cancelled() const noexcept final {
        return is_cancelled() || (exception_ && holds<CancelledError>(exception_));
    }

    /// Runs `node` through the ready queue once this is done; at once if it is.
    void add_waiter(ReadyNode& node) noexcept {
        if (done())
            loop_->schedule(node);
        else
            waiters_.push(node);
    }
    bool remove_waiter(ReadyNode& node) noexcept { return !done() && waiters_.remove(node); }
    /// The same for a callback of the application's, which this owns until it has run.
    /// RuntimeError, and the callback is gone, if it would be scheduled on a loop that has closed.
    void add_callback(DoneCallback& callback);
    bool remove_callback(DoneCallback& callback) noexcept;
    /// The one of this number that is there, if it is there still.
    bool remove_callback(const ReadyNode* there, std::uint64_t serial) noexcept;

    /// The value was stored; InvalidStateError if this is done.
    void set_finished() {
        require_pending();
        settle(State::finished);
    }
    void set_exception(std::exception_ptr exception);
    /// Throws what result() throws, unless there is a value. Marks the exception as seen.
    void require_value() {
        if (state_ == State::finished && !exception_) [[likely]]
            return;
        throw_outcome();
    }
    /// Future::exception(): null if there is a value; throws if pending or cancelled.
    std::exception_ptr exception();
    /// The stored exception or, of a cancelled future, a CancelledError; null if there is a value. Marks it as seen.
    std::exception_ptr take_error();
    std::exception_ptr make_cancelled_error() const noexcept;
    /// The exception will be delivered by other means; do not report it as never retrieved.
    void mark_retrieved() noexcept {
        if (unretrieved_) [[unlikely]]
            forget_unretrieved();
    }
    void require_pending() const {
        if (done()) throw_invalid_state();
    }
    /// Before something from outside completes this: a task's result is its coroutine's (RuntimeError).
    void require_settable(const char* operation) const {
        if (done() || is_task_) [[unlikely]]
            throw_not_settable(operation);
    }
    /// In debug mode RuntimeError if the loop runs on another thread.
    void require_own_thread() const {
        if (running_loop != loop_) [[unlikely]]
            check_own_thread(loop_);
    }

protected:
    virtual ~FutureBase();
    /// While the loop runs or closes.
    void complete(State state) noexcept {
        // Each scheduled callback keeps this alive until it has run. Counted before state_ is written, which shares its
        // word: read after it, the processor waits for the write.
        refs_ += callbacks_;
        state_ = state;
        loop_->schedule(waiters_);
        if (exception_) [[unlikely]]
            note_unretrieved();
    }
    /// The same for who may come when the loop is gone.
    void settle(State state) {
        if (running_loop == loop_ || is_open(loop_)) [[likely]]
            complete(state);
        else
            settle_without_loop(state);
    }
    bool cancel_now(const std::string* message);
    /// Keeps a copy, unless there is no memory for it: the cancellation matters more than its message.
    void set_cancel_message(const std::string* message) noexcept {
        if (message) [[unlikely]]
            copy_cancel_message(*message);
        else
            cancel_message_.reset();
    }
    const std::string* cancel_message() const noexcept { return cancel_message_.get(); }
    std::unique_ptr<std::string> exchange_cancel_message(std::unique_ptr<std::string> message) noexcept {
        return std::exchange(cancel_message_, std::move(message));
    }
    /// What this is about to end with.
    void store_exception(std::exception_ptr exception) noexcept { exception_ = std::move(exception); }
    virtual void report_unretrieved() noexcept;
    /// For the destructor of each class that overrides report_unretrieved(): the base's is too late.
    void report_if_unretrieved() noexcept {
        if (unretrieved_) [[unlikely]]
            report_unretrieved();
    }

private:
    void settle_without_loop(State state);
    void note_unretrieved() noexcept;
    void copy_cancel_message(const std::string& message) noexcept;
    void forget_unretrieved() noexcept;
    [[noreturn]] void throw_outcome();
    [[noreturn]] void throw_invalid_state() const;
    [[noreturn]] void throw_not_settable(const char* operation) const;

    EventLoop* loop_;
    std::uint32_t refs_ = 1;
    std::uint32_t callbacks_ : 28 = 0;
    State state_ : 2 = State::pending;
    bool unretrieved_ : 1 = false;
    const bool is_task_ : 1;
    class Neighbours {
    public:
        FutureBase* previous;
        FutureBase* next;
    };
    union {
        ReadyQueue waiters_{};          // while it is pending
        Neighbours unretrieved_among_;  // in the loop's list, while unretrieved_
    };
    std::exception_ptr exception_;
    std::unique_ptr<std::string> cancel_message_;
};

/// A value as text, if it is of a kind that has an obvious one; else the name of its type.
template <class T>
std::string value_text(const T& value) {
    if constexpr (std::is_same_v<T, None>)
        return "None";
    else if constexpr (std::is_same_v<T, bool>)
        return value ? "true" : "false";
    else if constexpr (std::is_arithmetic_v<T>)
        return std::to_string(value);
    else if constexpr (std::is_convertible_v<const T&, std::string_view>)
        return "'" + std::string(std::string_view(value)) + "'";
    else
        return "<" + demangle(typeid(T).name()) + ">";
}

/// How a value of type T is kept: references as pointers, void as nothing.
template <class T>
struct Stored {
    using type = T;
};
template <class T>
struct Stored<T&> {
    using type = T*;
};
template <>
struct Stored<void> {
    using type = None;
};
template <class T>
using stored_t = typename Stored<T>::type;

/// A FutureBase or TaskBase with room for a value.
template <class T, class Base>
class WithValue : public Base {
public:
    using Base::Base;
    void* value_address() noexcept final { return &value_; }

    std::optional<stored_t<T>> value_;

protected:
    ~WithValue() override = default;
};

template <class T>
class FutureState : public WithValue<T, FutureBase> {
public:
    using WithValue<T, FutureBase>::WithValue;
};

/// A done-callback of the application's.
class DoneCallback final : public ReadyNode, public Pooled {
public:
    DoneCallback(FutureBase& future, UniqueFunction<void()> callback) noexcept
        : future_(&future),
          context_(ContextSlot::copy_of_current()),
          callback_(std::move(callback)),
          serial_(++last_serial) {}
    /// No other of the thread has this number: an address may come again.
    std::uint64_t serial() const noexcept { return serial_; }
    void run() override;
    void discard() noexcept override;
    std::string describe() const override { return "<done callback " + demangle(callback_.target_type().name()) + ">"; }

private:
    FutureBase* future_;
    static inline thread_local constinit std::uint64_t last_serial = 0;
    ContextSlot context_;
    UniqueFunction<void()> callback_;
    const std::uint64_t serial_;
};

}  // namespace weft::detail
