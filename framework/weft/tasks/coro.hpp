#pragma once
// Coro<T>: a coroutine of Weft, what Python writes `async def`.
//
//     Coro<int> answer() { co_await sleep(1s); co_return 42; }
//     Coro<> amain() { int n = co_await answer(); }
//
// It is lazy: nothing runs until it is awaited, and then it runs inside the awaiting task, as in asyncio. It is awaited
// once. A Coro that is dropped unawaited destroys its arguments and never runs. To run one beside the current task, see
// create_task().

#include <weft/tasks/await.hpp>

#include <coroutine>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

namespace weft {

namespace detail {

template <class T>
class Promise final : public PromiseBase {
public:
    /// The location is that of the coroutine's body.
    Promise(std::source_location body = std::source_location::current()) noexcept
        : PromiseBase(std::coroutine_handle<Promise>::from_promise(*this), body) {}
    Coro<T> get_return_object() noexcept;

    template <class U>
        requires std::is_constructible_v<T, U&&>
    void return_value(U&& value) {
        if constexpr (std::is_reference_v<T>)
            value_.emplace(&static_cast<std::remove_reference_t<T>&>(value));
        else
            value_.emplace(std::forward<U>(value));
    }
    /// The value, moved out; throws if the coroutine did.
    T take() {
        rethrow_if_failed();
        if constexpr (std::is_reference_v<T>)
            return **value_;
        else
            return std::move(*value_);
    }
    stored_t<T> take_stored() { return std::move(*value_); }

private:
    std::optional<stored_t<T>> value_;
};

template <>
class Promise<void> final : public PromiseBase {
public:
    Promise(std::source_location body = std::source_location::current()) noexcept
        : PromiseBase(std::coroutine_handle<Promise>::from_promise(*this), body) {}
    Coro<void> get_return_object() noexcept;
    void return_void() const noexcept {}
    void take() { rethrow_if_failed(); }
    None take_stored() { return {}; }
};

}  // namespace detail

/// A lazy coroutine that gives a T: move-only, awaited once.
template <class T = void>
class [[nodiscard("a Coro does nothing until it is awaited: co_await it, or give it to create_task")]] Coro {
public:
    using promise_type = detail::Promise<T>;
    using value_type = T;
    using starts_when_awaited = void;  // as a callback it would never run

    Coro() noexcept = default;
    Coro(Coro&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Coro& operator=(Coro&& other) noexcept {
        if (this != &other) {
            if (handle_) drop();
            handle_ = std::exchange(other.handle_, nullptr);
        }
        return *this;
    }
    ~Coro() {
        if (handle_) drop();
    }

    /// False once it was awaited, moved from or closed.
    explicit operator bool() const noexcept { return static_cast<bool>(handle_); }
    /// Destroys the coroutine and its arguments without running it.
    void close() noexcept {
        if (handle_) std::exchange(handle_, nullptr).destroy();
    }

private:
    friend promise_type;
    friend class detail::CoroAwaiter<T>;
    template <class U>
    friend class detail::TypedTask;

    explicit Coro(std::coroutine_handle<promise_type> handle) noexcept : handle_(handle) {}
    void drop() noexcept {
        if (!handle_.promise().was_started()) [[unlikely]]
            handle_.promise().note_never_awaited();
        handle_.destroy();
    }

    std::coroutine_handle<promise_type> handle_;
};

namespace detail {

template <class T>
Coro<T> Promise<T>::get_return_object() noexcept {
    return Coro<T>(std::coroutine_handle<Promise>::from_promise(*this));
}
inline Coro<void> Promise<void>::get_return_object() noexcept {
    return Coro<void>(std::coroutine_handle<Promise>::from_promise(*this));
}

template <class T>
class CoroAwaiter {
public:
    explicit CoroAwaiter(Coro<T>&& child) : child_(std::move(child)) {
        if (!child_) throw_already_awaited();
    }
    bool await_ready() const noexcept { return false; }
    template <class P>
    bool await_suspend(std::coroutine_handle<P> parent) {
        return child_.handle_.promise().start_in(parent.promise());
    }
    T await_resume() {
        Coro<T> child = std::move(child_);  // its frame goes before the awaiting coroutine goes on
        return child.handle_.promise().take();
    }

private:
    Coro<T> child_;
};

template <class A>
decltype(auto) PromiseBase::await_transform(A&& awaited, std::source_location location) {
    location_ = location;
    return make_awaiter(std::forward<A>(awaited));
}

}  // namespace detail
}  // namespace weft
