#pragma once
// Future<T>: a result that is not there yet (asyncio.Future). Copies share one state, bound to one loop and used on its
// thread only.
//
//     Future<int> answer = loop.create_future<int>();
//     loop.call_later(1s, [answer]() mutable { answer.set_result(42); });
//     int n = co_await answer;
//
// Awaiting a future that is done does not suspend. Cancelling a task that awaits a future cancels the future; await
// shield(future) where others wait for it too.

#include <weft/tasks/coro.hpp>

#include <cstddef>
#include <exception>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>

namespace weft {

namespace detail {

/// Names a done-callback for remove_done_callback().
class DoneCallbackId {
public:
    DoneCallbackId() = default;
    explicit DoneCallbackId(const DoneCallback& callback) noexcept : there_(&callback), serial_(callback.serial()) {}
    const ReadyNode* there() const noexcept { return there_; }
    std::uint64_t serial() const noexcept { return serial_; }

private:
    const ReadyNode* there_ = nullptr;
    std::uint64_t serial_ = 0;
};

[[noreturn]] void throw_empty_future();

/// An exception, or something to make one of, as an exception_ptr.
template <class E>
std::exception_ptr as_exception_ptr(E&& error) {
    if constexpr (std::is_same_v<std::remove_cvref_t<E>, std::exception_ptr>)
        return std::forward<E>(error);
    else
        return std::make_exception_ptr(std::forward<E>(error));
}

}  // namespace detail

/// A shared handle to a result of type T. A default-constructed one is empty, good for assigning to.
template <class T = void>
class [[nodiscard]] Future : public detail::FutureTag {
public:
    using value_type = T;

    Future() noexcept = default;
    explicit Future(detail::Ref<detail::FutureBase> state) noexcept : state_(std::move(state)) {}

    explicit operator bool() const noexcept { return static_cast<bool>(state_); }
    /// Same state.
    bool operator==(const Future& other) const noexcept { return state_ == other.state_; }

    // Of an empty one each of the following throws RuntimeError, except repr().

    bool done() const { return require().done(); }
    bool cancelled() const { return require().is_cancelled(); }
    EventLoop& get_loop() const { return require().loop(); }

    /// The value, by reference into the shared state. Throws the exception; CancelledError if cancelled;
    /// InvalidStateError if not done. Marks an exception as seen.
    decltype(auto) result() const {
        require().require_value();
        if constexpr (std::is_void_v<T>)
            return;
        else if constexpr (std::is_reference_v<T>)
            return static_cast<T>(*value());
        else
            return static_cast<T&>(value());
    }
    /// The exception, or null if there is a value. CancelledError and InvalidStateError as result().
    std::exception_ptr exception() const { return require().exception(); }

    // Of the following each throws RuntimeError if there is something to schedule and the loop has closed (this is done
    // then, too, and what was to be scheduled is dropped), or, in debug mode, if the loop runs on another thread.

    /// Makes this done; what waits is scheduled in the order it came. InvalidStateError if it is done, RuntimeError if
    /// it is a task's.
    template <class... U>
        requires(sizeof...(U) == (std::is_void_v<T> ? 0 : 1))
    void set_result(U&&... value) {
        static_assert((std::is_constructible_v<detail::stored_t<T>, U&&> && ...) || std::is_reference_v<T>,
                      "set_result: the value does not convert to the future's type");
        require().require_own_thread();
        state_->require_settable("set_result");
        if constexpr (std::is_reference_v<T>)
            (storage().emplace(&value), ...);
        else if constexpr (std::is_void_v<T>)
            storage().emplace();
        else
            storage().emplace(std::forward<U>(value)...);
        state_->set_finished();
    }
    /// `error` is an exception object or an exception_ptr. InvalidStateError if it is done, RuntimeError if it is a
    /// task's, ValueError if the pointer is null.
    template <class E>
    void set_exception(E&& error) {
        require().require_own_thread();
        state_->set_exception(detail::as_exception_ptr(std::forward<E>(error)));
    }
    /// False if it is done; else what waits is scheduled and sees CancelledError.
    bool cancel() { return request_cancel(nullptr); }
    bool cancel(const std::string& message) { return request_cancel(&message); }

    /// Runs `fn` through the loop when this is done, in the order of registration; scheduled at once if it is done.
    /// `fn` takes the future or nothing.
    template <class F>
    detail::DoneCallbackId add_done_callback(F&& fn) {
        return register_callback(bind_done_callback(std::forward<F>(fn)));
    }
    /// The same in `context` instead of a copy of the current one.
    template <class F>
    detail::DoneCallbackId add_done_callback(const Context& context, F&& fn) {
        return register_callback(detail::bind_context(get_loop(), context, bind_done_callback(std::forward<F>(fn))));
    }
    /// How many were removed: 0 once the future is done, or if it was removed already. (Lambdas do not compare, so the
    /// registration names it.)
    std::size_t remove_done_callback(detail::DoneCallbackId id) {
        detail::FutureBase& state = require();
        return id.there() && state.remove_callback(id.there(), id.serial()) ? 1 : 0;
    }

    /// As asyncio's repr: state, and result or exception; of a task also its name and where it waits.
    std::string repr() const {
        if (!state_) return "<Future>";
        std::string value;
        if (done() && storage()) value = detail::value_text(*storage());
        return state_->repr(value);
    }

    /// For the framework: the state, null of an empty one.
    const detail::Ref<detail::FutureBase>& state() const noexcept { return state_; }
    /// For the framework: the state; RuntimeError if there is none.
    detail::FutureBase& require() const {
        if (!state_) [[unlikely]]
            detail::throw_empty_future();
        return *state_;
    }

protected:
    template <class F>
    auto bind_done_callback(F&& fn) const {
        static_assert(std::is_invocable_v<F&, Future> || std::is_invocable_v<F&>,
                      "add_done_callback: the callback takes the future (of a task: the Task) or nothing");
        if constexpr (std::is_invocable_v<F&, Future>)
            return [state = state_.get(), fn = std::forward<F>(fn)]() mutable {
                fn(Future(detail::Ref<detail::FutureBase>(state)));
            };
        else
            return std::decay_t<F>(std::forward<F>(fn));
    }
    detail::DoneCallbackId register_callback(UniqueFunction<void()> fn) {
        require().require_own_thread();
        auto* callback = new detail::DoneCallback(*state_, std::move(fn));
        state_->add_callback(*callback);
        return detail::DoneCallbackId(*callback);
    }
    bool request_cancel(const std::string* message) {
        require().require_own_thread();
        return state_->cancel(message);
    }
    std::optional<detail::stored_t<T>>& storage() const noexcept {
        return *static_cast<std::optional<detail::stored_t<T>>*>(state_->value_address());
    }
    detail::stored_t<T>& value() const noexcept { return *storage(); }

    detail::Ref<detail::FutureBase> state_;
};

namespace detail {

/// Takes the value out of a future that has one: moved if nobody else can see it or it cannot be copied.
template <class T>
T take_value_of(FutureBase& state, bool sole_owner) {
    if constexpr (std::is_void_v<T>) {
        return;
    } else {
        auto& value = **static_cast<std::optional<stored_t<T>>*>(state.value_address());
        if constexpr (std::is_reference_v<T>)
            return *value;
        else if constexpr (std::is_copy_constructible_v<T>)
            return sole_owner ? T(std::move(value)) : T(value);
        else
            return std::move(value);
    }
}

/// Throws what asyncio throws for an await that can never end or belongs to another loop.
[[noreturn]] void throw_not_awaitable_here(FutureBase& state);
inline void check_awaitable_here(FutureBase& state) {
    EventLoop* loop = running_loop;
    if (&state.loop() != loop || static_cast<TaskBase*>(loop->current_task()) == &state) [[unlikely]]
        throw_not_awaitable_here(state);
}

/// ValueError unless the future is one of `loop`: another loop's must not be touched from here.
[[noreturn]] void throw_other_loop();
inline void check_loop_of(FutureBase& state, EventLoop& loop) {
    if (&state.loop() != &loop) [[unlikely]]
        throw_other_loop();
}

/// Undoes a wait whose coroutine is destroyed while suspended.
template <class T>
class FutureAwaiter {
public:
    explicit FutureAwaiter(const Future<T>& future) : state_(&future.require()) {}
    FutureAwaiter(const FutureAwaiter&) = delete;
    FutureAwaiter& operator=(const FutureAwaiter&) = delete;
    ~FutureAwaiter() {
        if (task_ && !state_->done()) state_->remove_waiter(*task_);
    }

    bool await_ready() const {
        if (state_->done()) return true;
        check_awaitable_here(*state_);
        return false;
    }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) {
        task_ = &handle.promise().task();
        state_->add_waiter(*task_);
        task_->suspend(handle.promise(), state_.get());
    }
    T await_resume() {
        if (task_) std::exchange(task_, nullptr)->check_cancelled(false);
        state_->require_value();
        return take_value_of<T>(*state_, !state_->is_shared());
    }

private:
    Ref<FutureBase> state_;
    TaskBase* task_ = nullptr;
};

}  // namespace detail

template <class T>
Future<T> EventLoop::create_future() {
    return Future<T>(detail::Ref<detail::FutureBase>::adopt(new detail::FutureState<T>(*this)));
}

}  // namespace weft

template <class T>
struct std::hash<weft::Future<T>> {
    std::size_t operator()(const weft::Future<T>& future) const noexcept {
        return std::hash<const void*>()(future.state().get());
    }
};
