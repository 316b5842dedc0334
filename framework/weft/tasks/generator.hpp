#pragma once
// AsyncGenerator<T>: a coroutine that gives values as they come (Python's async generator).
//
//     AsyncGenerator<int> ticks(int n) {
//         for (int i = 0; i < n; ++i) { co_await sleep(1s); co_yield i; }
//     }
//     auto gen = ticks(3);
//     while (auto tick = co_await gen.next()) use(*tick);
//     co_await gen.aclose();                        // if it was left early and has something to await at its end
//
// The body runs inside the awaiting task, from one co_yield to the next. aclose() raises GeneratorExit at the co_yield
// where it stands, so that the body can clean up and even await. A generator that is dropped in the middle is
// destroyed there: destructors run, nothing is awaited. shutdown_asyncgens() closes those that are left.

#include <weft/tasks/coro.hpp>

#include <coroutine>
#include <cstdint>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace weft {

/// Raised at the co_yield of a generator that is closed (Python's GeneratorExit). Let it pass.
class GeneratorExit {};

namespace detail {

///     created -> running <-> suspended -> finished
class GeneratorBase : public PromiseBase {
public:
    enum class State : std::uint8_t { created, running, suspended, finished };

    void add_ref() noexcept { ++refs_; }
    void release() noexcept {
        if (--refs_ == 0) destroy();
    }
    State state() const noexcept { return state_; }

    struct FinalAwaiter {
        bool await_ready() const noexcept { return false; }
        template <class P>
        void await_suspend(std::coroutine_handle<P> handle) const noexcept {
            handle.promise().stop(State::finished);
        }
        void await_resume() const noexcept {}
    };
    FinalAwaiter final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}

    /// Runs the body inside `parent`'s co_await until it gives a value or ends, raising `error` at its co_yield unless
    /// that is null; true if it suspended.
    bool advance_in(PromiseBase& parent, std::exception_ptr error);
    /// RuntimeError while it runs.
    void check_idle(const char* operation) const;
    /// Ends one that has not begun.
    void finish_unstarted() noexcept;
    /// Throws what left the body.
    void rethrow() { rethrow_if_failed(); }

    // For the loop's list of live generators.
    GeneratorBase* next_live() const noexcept { return next_live_; }
    static GeneratorBase* first_live(EventLoop& loop) noexcept;
    std::string describe() const;
    /// The loop forgets it.
    void leave_loop() noexcept;

protected:
    GeneratorBase(std::coroutine_handle<> handle, std::source_location body) noexcept : PromiseBase(handle, body) {}
    ~GeneratorBase() { leave_loop(); }

    /// At co_yield and at the end: the awaiting coroutine goes on.
    void stop(State state) noexcept;
    /// When the body goes on after a co_yield.
    void raise_pending() {
        if (pending_error_) [[unlikely]]
            std::rethrow_exception(std::exchange(pending_error_, nullptr));
    }

private:
    void enter_loop();
    void destroy() noexcept;

    std::exception_ptr pending_error_;
    EventLoop* loop_ = nullptr;
    GeneratorBase* previous_live_ = nullptr;
    GeneratorBase* next_live_ = nullptr;
    std::uint32_t refs_ = 1;
    State state_ = State::created;
};

template <class T>
class GeneratorPromise final : public GeneratorBase {
public:
    GeneratorPromise(std::source_location body = std::source_location::current()) noexcept
        : GeneratorBase(std::coroutine_handle<GeneratorPromise>::from_promise(*this), body) {}
    AsyncGenerator<T> get_return_object() noexcept;

    class YieldAwaiter {
    public:
        explicit YieldAwaiter(GeneratorPromise& promise) noexcept : promise_(promise) {}
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<>) const noexcept { promise_.stop(State::suspended); }
        void await_resume() const { promise_.raise_pending(); }

    private:
        GeneratorPromise& promise_;
    };
    template <class U>
        requires std::is_constructible_v<T, U&&>
    YieldAwaiter yield_value(U&& value) {
        value_.emplace(std::forward<U>(value));
        return YieldAwaiter(*this);
    }
    std::optional<T> take() { return std::exchange(value_, std::nullopt); }

private:
    std::optional<T> value_;
};

/// Awaits the next value; what AsyncGenerator::next() and athrow() give.
template <class T>
class NextAwaiter final : public LeafAwaitable<NextAwaiter<T>, std::optional<T>> {
public:
    NextAwaiter(Ref<GeneratorPromise<T>> generator, std::exception_ptr error) noexcept
        : generator_(std::move(generator)), error_(std::move(error)) {}

    bool await_ready() const {
        generator_->check_idle("anext");
        if (generator_->state() == GeneratorBase::State::created && error_) generator_->finish_unstarted();
        return generator_->state() == GeneratorBase::State::finished;
    }
    template <class P>
    bool await_suspend(std::coroutine_handle<P> parent) {
        return generator_->advance_in(parent.promise(), std::exchange(error_, nullptr));
    }
    std::optional<T> await_resume() {
        if (error_) std::rethrow_exception(error_);
        generator_->rethrow();
        return generator_->take();
    }

private:
    Ref<GeneratorPromise<T>> generator_;
    std::exception_ptr error_;
};

/// Closes a generator; what AsyncGenerator::aclose() gives.
class CloseAwaiter final : public LeafAwaitable<CloseAwaiter, void> {
public:
    explicit CloseAwaiter(Ref<GeneratorBase> generator) noexcept : generator_(std::move(generator)) {}

    bool await_ready() const {
        generator_->check_idle("aclose");
        if (generator_->state() == GeneratorBase::State::created) generator_->finish_unstarted();
        return generator_->state() == GeneratorBase::State::finished;
    }
    template <class P>
    bool await_suspend(std::coroutine_handle<P> parent) {
        return generator_->advance_in(parent.promise(), std::make_exception_ptr(GeneratorExit()));
    }
    void await_resume();

private:
    Ref<GeneratorBase> generator_;
};

}  // namespace detail

/// A lazy sequence of T, made by a coroutine that uses co_yield. Move-only; used by one task at a time.
template <class T>
class [[nodiscard]] AsyncGenerator {
    static_assert(std::is_object_v<T>, "an AsyncGenerator gives values, not references");

public:
    using promise_type = detail::GeneratorPromise<T>;
    using value_type = T;

    AsyncGenerator() noexcept = default;
    explicit AsyncGenerator(detail::Ref<promise_type> promise) noexcept : promise_(std::move(promise)) {}
    AsyncGenerator(AsyncGenerator&&) noexcept = default;
    AsyncGenerator& operator=(AsyncGenerator&&) noexcept = default;

    /// Runs the body to its next co_yield and gives the value; nothing once the body has ended (asyncio's anext, where
    /// that is StopAsyncIteration). What the body throws is thrown here, and ends it. Cancellation is raised at the
    /// await inside the body. RuntimeError while another coroutine awaits it.
    detail::NextAwaiter<T> next() { return detail::NextAwaiter<T>(promise_, nullptr); }
    /// The same, but the body finds `error` raised at its co_yield.
    template <class E>
    detail::NextAwaiter<T> athrow(E&& error);
    /// Raises GeneratorExit where the body stands and runs it to its end; nothing if it has ended or not begun.
    /// RuntimeError if it gives another value instead. What else it throws is thrown here.
    detail::CloseAwaiter aclose() { return detail::CloseAwaiter(promise_); }
    std::string repr() const { return promise_ ? promise_->describe() : "<async_generator>"; }

private:
    detail::Ref<promise_type> promise_;
};

namespace detail {

template <class T>
AsyncGenerator<T> GeneratorPromise<T>::get_return_object() noexcept {
    return AsyncGenerator<T>(Ref<GeneratorPromise>::adopt(this));
}

}  // namespace detail

template <class T>
template <class E>
detail::NextAwaiter<T> AsyncGenerator<T>::athrow(E&& error) {
    if constexpr (std::is_same_v<std::remove_cvref_t<E>, std::exception_ptr>)
        return detail::NextAwaiter<T>(promise_, std::forward<E>(error));
    else
        return detail::NextAwaiter<T>(promise_, std::make_exception_ptr(std::forward<E>(error)));
}

}  // namespace weft
