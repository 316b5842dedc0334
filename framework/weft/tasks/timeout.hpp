#pragma once
// timeout: bounds how long a block of code may take (asyncio.timeout, `async with` as a body).
//
//     int n = co_await timeout(2s, [&]() -> Coro<int> { co_return co_await fetch(); });
//     co_await timeout(2s, [&](Timeout& t) -> Coro<> { ...; t.reschedule(get_running_loop().time() + 5s); ... });
//
// At the deadline the current task is cancelled; that cancellation, and only that one, becomes TimeoutError. One that
// comes from outside stays CancelledError. With g++ 12 a lambda that owns something must have a name and be handed
// over by it (`auto body = [s]() -> Coro<> {...}; co_await timeout(2s, body);`).

#include <weft/tasks/sleep.hpp>

#include <exception>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

namespace weft {

namespace detail {

template <class F>
consteval bool survives_co_await() {
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
    return std::is_lvalue_reference_v<F> || std::is_trivially_destructible_v<std::remove_reference_t<F>>;
#else
    return true;
#endif
}

/// How a body is kept: by value; a named one that cannot be copied by reference.
template <class F>
using body_t =
    std::conditional_t<std::is_lvalue_reference_v<F> && !std::is_copy_constructible_v<std::remove_reference_t<F>>, F,
                       std::decay_t<F>>;

#define WEFT_DETAIL_CHECK_BODY(F)                                                                                      \
    static_assert(::weft::detail::survives_co_await<F>(),                                                              \
                  "g++ 12 destroys the captures of this temporary lambda twice (GCC bug 99576): give it a name "       \
                  "first, `auto body = [...]() -> Coro<> {...};`, and pass `body`; or capture by reference")

/// Runs `fn` with `argument` if it takes it, else without.
template <class F, class A>
auto invoke_body(F& fn, A& argument) {
    if constexpr (std::is_invocable_v<F&, A&>)
        return std::invoke(fn, argument);
    else
        return std::invoke(fn);
}
template <class F, class A>
using body_result_t = typename decltype(invoke_body(std::declval<F&>(), std::declval<A&>()))::value_type;

}  // namespace detail

/// A deadline that is watched while a body runs. Made by timeout() and timeout_at(); the body may take it.
///
///     created -> active -> expiring -> expired        active -> finished
class Timeout {
public:
    explicit Timeout(std::optional<TimePoint> when) noexcept : when_(when) {}
    Timeout(const Timeout&) = delete;
    Timeout& operator=(const Timeout&) = delete;
    ~Timeout() { timer_.cancel(); }

    /// The deadline on the loop's clock, or nothing for never.
    std::optional<TimePoint> when() const noexcept { return when_; }
    /// Moves the deadline; one that has passed fires in the next iteration; nothing disarms it. RuntimeError unless
    /// the body is running and the deadline has not struck.
    void reschedule(std::optional<TimePoint> when);
    /// As asyncio's repr: "<Timeout [active] when=12.5>".
    std::string repr() const;
    /// True once the deadline has struck.
    bool expired() const noexcept { return state_ == State::expiring || state_ == State::expired; }

    // For timeout() itself.
    void enter();
    /// Ends the watch. `error` is what left the body or null; throws TimeoutError in place of this deadline's own
    /// CancelledError, else rethrows `error`.
    void exit(const std::exception_ptr& error);

private:
    enum class State : std::uint8_t { created, active, expiring, expired, finished };
    static const char* name_of(State state) noexcept;
    void strike();

    std::optional<TimePoint> when_;
    State state_ = State::created;
    unsigned cancelling_ = 0;
    detail::Ref<detail::TaskBase> task_;
    Handle timer_;
};

namespace detail {

template <class F>
Coro<body_result_t<F, Timeout>> run_with_timeout(std::optional<TimePoint> when, std::optional<Duration> delay, F body) {
    using T = body_result_t<F, Timeout>;
    if (delay) when = get_running_loop().after(*delay);
    Timeout timeout(when);
    timeout.enter();
    std::optional<stored_t<T>> value;
    std::exception_ptr error;
    try {
        if constexpr (std::is_void_v<T>)
            co_await invoke_body(body, timeout);
        else if constexpr (std::is_reference_v<T>)
            value.emplace(&co_await invoke_body(body, timeout));
        else
            value.emplace(co_await invoke_body(body, timeout));
    } catch (...) {
        error = std::current_exception();
    }
    timeout.exit(error);
    if constexpr (std::is_reference_v<T>)
        co_return **value;
    else if constexpr (!std::is_void_v<T>)
        co_return std::move(*value);
}

}  // namespace detail

/// Runs `body` and gives its value; TimeoutError if that takes longer than `delay`, counted from the await. Must be
/// awaited in a task. The deadline strikes at an await of the body: one that never waits is not interrupted.
template <class Rep, class Period, class F>
auto timeout(std::chrono::duration<Rep, Period> delay, F&& body) {
    WEFT_DETAIL_CHECK_BODY(F);
    return detail::run_with_timeout<detail::body_t<F>>(std::nullopt, detail::to_duration(delay), std::forward<F>(body));
}
/// No limit: the body may set one with reschedule().
template <class F>
auto timeout(std::nullopt_t, F&& body) {
    WEFT_DETAIL_CHECK_BODY(F);
    return detail::run_with_timeout<detail::body_t<F>>(std::nullopt, std::nullopt, std::forward<F>(body));
}
/// The same with a deadline on the loop's clock (asyncio.timeout_at).
template <class F>
auto timeout_at(std::optional<TimePoint> when, F&& body) {
    WEFT_DETAIL_CHECK_BODY(F);
    return detail::run_with_timeout<detail::body_t<F>>(when, std::nullopt, std::forward<F>(body));
}

}  // namespace weft
