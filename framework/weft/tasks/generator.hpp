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
// destroyed there: destructors run, nothing is awaited; so is one whose awaiting task is destroyed inside its body, as
// a loop that closes does. shutdown_asyncgens() closes those that are left.

#include <weft/tasks/coro.hpp>

#include <coroutine>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace weft {

/// Raised at the co_yield of a generator that is closed (Python's GeneratorExit). Let it pass.
class GeneratorExit {};

namespace detail {

class GeneratorShare;

///     created -> running <-> suspended -> finished
class GeneratorBase : public PromiseBase {
public:
    enum class State : std::uint8_t { created, running, suspended, finished };

    State state() const noexcept { return state_; }
    /// Null until it is used.
    GeneratorShare* share() const noexcept { return share_; }
    void set_share(GeneratorShare& share) noexcept { share_ = &share; }
    /// Destroys the coroutine where it stands.
    void destroy() noexcept { handle_.destroy(); }

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

    GeneratorShare* share_ = nullptr;
    std::exception_ptr pending_error_;
    EventLoop* loop_ = nullptr;
    GeneratorBase* previous_live_ = nullptr;
    GeneratorBase* next_live_ = nullptr;
    State state_ = State::created;
};

/// What the handle of a generator and the awaits of it share, from the first await on. It outlives the body, which goes
/// with the last of them, or with a task that is destroyed inside it.
class GeneratorShare final : public Pooled {
public:
    /// Of no generator if `body` is null.
    explicit GeneratorShare(GeneratorBase* body) noexcept : body_(body) {
        if (body_) body_->set_share(*this);
    }
    GeneratorShare(const GeneratorShare&) = delete;
    GeneratorShare& operator=(const GeneratorShare&) = delete;

    void add_ref() noexcept { ++refs_; }
    void release() noexcept {
        if (--refs_ > 0) return;
        end_body();
        delete this;
    }
    /// Null once it was destroyed.
    GeneratorBase* body() const noexcept { return body_; }
    void end_body() noexcept {
        if (GeneratorBase* body = std::exchange(body_, nullptr)) body->destroy();
    }
    std::string describe() const { return body_ ? body_->describe() : "<async_generator>"; }

private:
    GeneratorBase* body_;
    std::uint32_t refs_ = 1;
};

/// An await of a generator.
class GeneratorStep {
public:
    GeneratorStep(const GeneratorStep&) = delete;
    GeneratorStep& operator=(const GeneratorStep&) = delete;

protected:
    explicit GeneratorStep(Ref<GeneratorShare> generator) noexcept : generator_(std::move(generator)) {}
    /// Only before it waits.
    GeneratorStep(GeneratorStep&& other) noexcept : generator_(std::move(other.generator_)) {}
    ~GeneratorStep() {
        // The task is destroyed while the body waits in its name, also when somebody else holds the generator: nothing
        // may be left that would wake the task.
        if (inside_) [[unlikely]]
            generator_->end_body();
    }
    GeneratorBase* body() const noexcept { return generator_->body(); }
    bool step_in(PromiseBase& parent, std::exception_ptr error) {
        inside_ = body()->advance_in(parent, std::move(error));
        return inside_;
    }
    void stepped_out() noexcept { inside_ = false; }

private:
    Ref<GeneratorShare> generator_;
    bool inside_ = false;
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
class NextAwaiter final : public GeneratorStep, public LeafAwaitable<NextAwaiter<T>, std::optional<T>> {
public:
    NextAwaiter(Ref<GeneratorShare> generator, std::exception_ptr error) noexcept
        : GeneratorStep(std::move(generator)), error_(std::move(error)) {}

    bool await_ready() const {
        if (!body()) return true;
        body()->check_idle("anext");
        if (body()->state() == GeneratorBase::State::created && error_) body()->finish_unstarted();
        return body()->state() == GeneratorBase::State::finished;
    }
    template <class P>
    bool await_suspend(std::coroutine_handle<P> parent) {
        return step_in(parent.promise(), std::exchange(error_, nullptr));
    }
    std::optional<T> await_resume() {
        stepped_out();
        if (error_) std::rethrow_exception(error_);
        if (!body()) return std::nullopt;
        body()->rethrow();
        return static_cast<GeneratorPromise<T>*>(body())->take();
    }

private:
    std::exception_ptr error_;
};

/// Closes a generator; what AsyncGenerator::aclose() gives.
class CloseAwaiter final : public GeneratorStep, public LeafAwaitable<CloseAwaiter, void> {
public:
    explicit CloseAwaiter(Ref<GeneratorShare> generator) noexcept : GeneratorStep(std::move(generator)) {}

    bool await_ready() const {
        if (!body()) return true;
        body()->check_idle("aclose");
        if (body()->state() == GeneratorBase::State::created) body()->finish_unstarted();
        return body()->state() == GeneratorBase::State::finished;
    }
    template <class P>
    bool await_suspend(std::coroutine_handle<P> parent) {
        return step_in(parent.promise(), std::make_exception_ptr(GeneratorExit()));
    }
    void await_resume();
};

}  // namespace detail

/// A lazy sequence of T, made by a coroutine that uses co_yield. Move-only; used by one task at a time.
template <class T>
class [[nodiscard]] AsyncGenerator {
    static_assert(std::is_object_v<T>, "an AsyncGenerator gives values, not references");

public:
    using promise_type = detail::GeneratorPromise<T>;
    using value_type = T;
    using starts_when_awaited = void;  // as a callback it would never run

    AsyncGenerator() noexcept = default;
    explicit AsyncGenerator(promise_type& promise) noexcept : unused_(&promise) {}
    AsyncGenerator(AsyncGenerator&& other) noexcept
        : unused_(std::exchange(other.unused_, nullptr)), share_(std::move(other.share_)) {}
    AsyncGenerator& operator=(AsyncGenerator&& other) noexcept {
        AsyncGenerator taken(std::move(other));
        std::swap(unused_, taken.unused_);
        std::swap(share_, taken.share_);
        return *this;
    }
    ~AsyncGenerator() {
        if (unused_) unused_->destroy();
    }

    /// Runs the body to its next co_yield and gives the value; nothing once the body has ended (asyncio's anext, where
    /// that is StopAsyncIteration). What the body throws is thrown here, and ends it. Cancellation is raised at the
    /// await inside the body. RuntimeError while another coroutine awaits it.
    detail::NextAwaiter<T> next() { return detail::NextAwaiter<T>(share(), nullptr); }
    /// The same, but the body finds `error` raised at its co_yield.
    template <class E>
    detail::NextAwaiter<T> athrow(E&& error);
    /// Raises GeneratorExit where the body stands and runs it to its end; nothing if it has ended or not begun.
    /// RuntimeError if it gives another value instead. What else it throws is thrown here.
    detail::CloseAwaiter aclose() { return detail::CloseAwaiter(share()); }
    std::string repr() const {
        if (unused_) return unused_->describe();
        return share_ ? share_->describe() : "<async_generator>";
    }

private:
    /// Made here and not with the coroutine, which would be leaked if there were no memory for it.
    const detail::Ref<detail::GeneratorShare>& share() {
        if (!share_) {
            share_ = detail::Ref<detail::GeneratorShare>::adopt(new detail::GeneratorShare(unused_));
            unused_ = nullptr;
        }
        return share_;
    }

    promise_type* unused_ = nullptr;  // owned, until share_ owns it
    detail::Ref<detail::GeneratorShare> share_;
};

namespace detail {

template <class T>
AsyncGenerator<T> GeneratorPromise<T>::get_return_object() noexcept {
    return AsyncGenerator<T>(*this);
}

}  // namespace detail

template <class T>
template <class E>
detail::NextAwaiter<T> AsyncGenerator<T>::athrow(E&& error) {
    if constexpr (std::is_same_v<std::remove_cvref_t<E>, std::exception_ptr>)
        return detail::NextAwaiter<T>(share(), std::forward<E>(error));
    else
        return detail::NextAwaiter<T>(share(), std::make_exception_ptr(std::forward<E>(error)));
}

}  // namespace weft
