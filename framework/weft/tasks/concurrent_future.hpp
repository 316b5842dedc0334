#pragma once
// ConcurrentFuture<T>: a result that threads share (concurrent.futures.Future), and the bridges between it and a loop.
//
//     ConcurrentFuture<int> work;
//     std::thread([work]() mutable { work.set_result(compute()); }).detach();
//     int n = co_await wrap_future(work);                               // in a coroutine
//
//     ConcurrentFuture<int> answer = run_coroutine_threadsafe(ask(), loop);   // on another thread than the loop's
//     int m = answer.result(5s);
//
// A coroutine awaits a ConcurrentFuture through wrap_future(); threads wait for it with result().

#include <weft/loop/inbox.hpp>
#include <weft/tasks/task.hpp>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace weft {

namespace detail {

///     pending -> running -> finished        pending -> cancelled        pending -> finished
class ConcurrentBase {
public:
    enum class State : std::uint8_t { pending, running, cancelled, finished };

    void add_ref() noexcept { refs_.fetch_add(1, std::memory_order_relaxed); }
    void release() noexcept {
        if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
    }
    State state() const;
    std::string repr() const;
    bool done() const;
    bool cancel();
    bool set_running_or_notify_cancel();
    void set_exception(std::exception_ptr error);
    /// Waits; throws TimeoutError, CancelledError or the exception.
    void require_value(std::optional<Duration> limit) const;
    /// Null if there is a value; waits as require_value().
    std::exception_ptr exception(std::optional<Duration> limit) const;
    /// At once if it is done, else on the thread that completes it.
    void add_callback(UniqueFunction<void()> callback);

protected:
    ConcurrentBase() = default;
    virtual ~ConcurrentBase() = default;
    /// Stores by `store` and completes; InvalidStateError if it is done.
    template <class F>
    void finish(F&& store) {
        std::unique_lock lock(mutex_);
        require_unfinished();
        store();
        complete(State::finished, std::move(lock));
    }

private:
    void require_unfinished() const;
    void complete(State state, std::unique_lock<std::mutex> lock);
    void wait(std::unique_lock<std::mutex>& lock, std::optional<Duration> limit) const;

    std::atomic<std::uint32_t> refs_{1};
    mutable std::mutex mutex_;
    mutable std::condition_variable completed_;
    State state_ = State::pending;
    std::exception_ptr exception_;
    std::vector<UniqueFunction<void()>> callbacks_;
};

template <class T>
class ConcurrentState final : public ConcurrentBase {
public:
    template <class... U>
    void set_result(U&&... value) {
        finish([&] { value_.emplace(std::forward<U>(value)...); });
    }
    /// The value once it is there: copied, or moved if it cannot be.
    T take() {
        if constexpr (std::is_void_v<T>)
            return;
        else if constexpr (std::is_copy_constructible_v<T>)
            return *value_;
        else
            return std::move(*value_);
    }

private:
    std::optional<stored_t<T>> value_;
};

}  // namespace detail

/// A shared handle to a result that any thread may set, wait for or cancel.
template <class T = void>
class ConcurrentFuture {
    static_assert(!std::is_reference_v<T>, "a ConcurrentFuture holds a value, not a reference");

public:
    using value_type = T;

    ConcurrentFuture() : state_(detail::Ref<State>::adopt(new State())) {}
    /// For the framework.
    explicit ConcurrentFuture(detail::Ref<detail::ConcurrentState<T>> state) noexcept : state_(std::move(state)) {}

    bool done() const { return state_->done(); }
    bool running() const { return state_->state() == detail::ConcurrentBase::State::running; }
    bool cancelled() const { return state_->state() == detail::ConcurrentBase::State::cancelled; }
    /// False once it runs or is finished; else who waits sees CancelledError.
    bool cancel() { return state_->cancel(); }
    /// For who does the work, before it begins: false if it was cancelled and must not begin.
    bool set_running_or_notify_cancel() { return state_->set_running_or_notify_cancel(); }
    /// InvalidStateError if it is done.
    template <class... U>
        requires(sizeof...(U) == (std::is_void_v<T> ? 0 : 1))
    void set_result(U&&... value) {
        state_->set_result(std::forward<U>(value)...);
    }
    /// InvalidStateError if it is done, ValueError for a null exception_ptr.
    template <class E>
    void set_exception(E&& error) {
        state_->set_exception(detail::as_exception_ptr(std::forward<E>(error)));
    }
    /// Blocks the thread until it is done, at most `limit`: the value, or throws the exception, CancelledError or
    /// TimeoutError. Not for a loop's thread.
    T result(std::optional<Duration> limit = std::nullopt) const {
        state_->require_value(limit);
        return state_->take();
    }
    template <detail::FractionalDuration D>
    T result(D limit) const {
        return result(std::optional<Duration>(detail::to_duration(limit)));
    }
    /// The exception or null; waits as result().
    std::exception_ptr exception(std::optional<Duration> limit = std::nullopt) const {
        return state_->exception(limit);
    }
    template <detail::FractionalDuration D>
    std::exception_ptr exception(D limit) const {
        return exception(std::optional<Duration>(detail::to_duration(limit)));
    }
    /// Calls `fn` once when it is done: on the thread that completes it, or at once. It must not throw.
    void add_done_callback(UniqueFunction<void()> fn) const { state_->add_callback(std::move(fn)); }
    /// The same; `fn` gets this future, which it must not hold itself, or neither would ever go.
    template <class F>
        requires std::is_invocable_v<F&, ConcurrentFuture>
    void add_done_callback(F fn) const {
        state_->add_callback(
            [state = state_.get(), fn = std::move(fn)]() mutable { fn(ConcurrentFuture(detail::Ref<State>(state))); });
    }
    std::string repr() const { return state_->repr(); }
    /// Same state.
    bool operator==(const ConcurrentFuture& other) const noexcept { return state_ == other.state_; }

private:
    using State = detail::ConcurrentState<T>;
    detail::Ref<State> state_;
};

namespace detail {

/// Brings the result of a ConcurrentFuture to a loop's future.
template <class T>
class WrapNode final : public RemoteNode {
public:
    WrapNode(EventLoop& loop, Future<T> target) : RemoteNode(loop), target_(std::move(target)) {}
    /// The thread that completed `source`.
    void post_result(ConcurrentFuture<T> source) {
        source_.emplace(std::move(source));
        post();
    }
    std::string describe() const override { return "<wrap_future callback>"; }

private:
    void deliver() override {
        if (target_.done()) return;
        try {
            if constexpr (std::is_void_v<T>) {
                source_->result();
                target_.set_result();
            } else {
                target_.set_result(source_->result());
            }
        } catch (const CancelledError&) {
            target_.cancel();
        } catch (...) {
            target_.set_exception(std::current_exception());
        }
    }
    void let_go() noexcept override { target_ = Future<T>(); }

    Future<T> target_;
    std::optional<ConcurrentFuture<T>> source_;
};

/// Cancels a loop's future on behalf of another thread.
class CancelNode final : public RemoteNode {
public:
    CancelNode(EventLoop& loop, Ref<FutureBase> target) : RemoteNode(loop), target_(std::move(target)) {}
    std::string describe() const override { return "<run_coroutine_threadsafe callback>"; }

private:
    void deliver() override { target_->cancel(nullptr); }
    void let_go() noexcept override { target_ = nullptr; }
    Ref<FutureBase> target_;
};

/// Cancels what nobody can complete any more.
template <class T>
class CompletionGuard {
public:
    explicit CompletionGuard(ConcurrentFuture<T> future) : future_(std::move(future)) {}
    CompletionGuard(CompletionGuard&& other) noexcept : future_(std::exchange(other.future_, std::nullopt)) {}
    CompletionGuard& operator=(CompletionGuard&&) = delete;
    ~CompletionGuard() {
        if (future_) future_->cancel();
    }
    ConcurrentFuture<T> take() { return *std::exchange(future_, std::nullopt); }

private:
    std::optional<ConcurrentFuture<T>> future_;
};

/// Passes on how `task` ends, and cancels it if `answer` is cancelled.
template <class T>
void chain_to_thread(Task<T> task, ConcurrentFuture<T> answer) {
    const auto canceller = Ref<CancelNode>::adopt(new CancelNode(task.get_loop(), task.state()));
    answer.add_done_callback([canceller](const ConcurrentFuture<T>& done) {
        if (done.cancelled()) canceller->post();
    });
    task.add_done_callback([canceller, guard = CompletionGuard<T>(answer)](const Future<T>& task) mutable {
        canceller->retire();
        ConcurrentFuture<T> target = guard.take();
        if (task.cancelled()) {
            target.cancel();
            return;
        }
        if (!target.set_running_or_notify_cancel()) return;
        if (const std::exception_ptr error = task.exception()) {
            target.set_exception(error);
        } else if constexpr (std::is_void_v<T>) {
            target.set_result();
        } else {
            target.set_result(take_value_of<T>(*task.state(), false));
        }
    });
}

}  // namespace detail

/// A future of `loop` that follows `source` (asyncio.wrap_future). Cancelling either cancels the other; a result that
/// comes after the loop has closed is dropped.
template <class T>
Future<T> wrap_future(ConcurrentFuture<T> source, EventLoop& loop) {
    Future<T> target = loop.create_future<T>();
    const auto node = detail::Ref<detail::WrapNode<T>>::adopt(new detail::WrapNode<T>(loop, target));
    try {
        target.add_done_callback([source](const Future<T>& done) mutable {
            if (done.cancelled()) source.cancel();
        });
        source.add_done_callback([node](const ConcurrentFuture<T>& done) { node->post_result(done); });
    } catch (...) {
        node->retire();
        throw;
    }
    return target;
}
/// The same for the running loop.
template <class T>
Future<T> wrap_future(ConcurrentFuture<T> source) {
    return wrap_future(std::move(source), get_running_loop());
}

/// From another thread: runs `coro` as a task of `loop` (asyncio.run_coroutine_threadsafe). Cancelling the answer
/// cancels the task. RuntimeError if the loop is closed; if it closes before the task is done, the answer is cancelled.
template <class T>
ConcurrentFuture<T> run_coroutine_threadsafe(Coro<T> coro, EventLoop& loop) {
    ConcurrentFuture<T> answer;
    loop.call_soon_threadsafe([&loop, coro = std::move(coro), guard = detail::CompletionGuard<T>(answer)]() mutable {
        ConcurrentFuture<T> target = guard.take();
        if (target.cancelled()) return;
        try {
            detail::chain_to_thread(loop.create_task(std::move(coro)), target);
        } catch (...) {
            if (target.set_running_or_notify_cancel()) target.set_exception(std::current_exception());
            throw;  // the loop is told, too
        }
    });
    return answer;
}

}  // namespace weft
