#pragma once
// What can be awaited, and what awaiting it gives.
//
//     template <weft::Awaitable A> ... weft::await_result_t<A> ...
//
// In a coroutine of Weft one awaits a Coro, a Future or Task, one of the library's own awaitables (sleep, a stream's
// read, ...), or a type with `operator co_await` that gives one of these.

#include <weft/tasks/task_state.hpp>

#include <concepts>
#include <type_traits>
#include <utility>

namespace weft {

template <class T>
class Coro;
template <class T>
class Future;
template <class T>
class AsyncGenerator;

namespace detail {

template <class T>
struct IsCoro : std::false_type {};
template <class T>
struct IsCoro<Coro<T>> : std::true_type {};
template <class A>
concept CoroType = IsCoro<std::remove_cvref_t<A>>::value;

/// Marks Future and what derives from it.
struct FutureTag {};
template <class A>
concept FutureType = std::is_base_of_v<FutureTag, std::remove_cvref_t<A>>;

/// Marks awaiters that know Weft's promises.
struct LeafTag {};
template <class A>
concept LeafType = std::is_base_of_v<LeafTag, std::remove_cvref_t<A>>;

template <class A>
concept HasCoAwait = requires(A&& awaited) { std::forward<A>(awaited).operator co_await(); } ||
                     requires(A&& awaited) { operator co_await(std::forward<A>(awaited)); };

template <class A>
decltype(auto) call_co_await(A&& awaited) {
    if constexpr (requires { std::forward<A>(awaited).operator co_await(); })
        return std::forward<A>(awaited).operator co_await();
    else
        return operator co_await(std::forward<A>(awaited));
}

template <class A>
constexpr bool is_awaitable() {
    if constexpr (CoroType<A> || FutureType<A> || LeafType<A>)
        return true;
    else if constexpr (HasCoAwait<A>)
        return is_awaitable<decltype(call_co_await(std::declval<A>()))>();
    else
        return false;
}

template <class A>
struct AwaitResult {
    using type = typename AwaitResult<decltype(call_co_await(std::declval<A>()))>::type;
};
template <class A>
    requires(CoroType<A> || FutureType<A> || LeafType<A>)
struct AwaitResult<A> {
    using type = typename std::remove_cvref_t<A>::value_type;
};

}  // namespace detail

template <class A>
concept Awaitable = detail::is_awaitable<A>();

namespace detail {

/// One of the library's own awaitables, or what gives one: sleep(), a stream's read, ...
template <class A>
concept OtherAwaitable = Awaitable<A> && !CoroType<A> && !FutureType<A>;

}  // namespace detail

/// The type of `co_await a`.
template <Awaitable A>
using await_result_t = typename detail::AwaitResult<std::remove_cvref_t<A>>::type;

namespace detail {

template <class T>
class CoroAwaiter;
template <class T>
class FutureAwaiter;
template <class T>
class TypedTask;

/// Awaits a leaf where it is: g++ would copy the leaf itself into the coroutine's frame once more.
template <class A>
class LeafAwaiter {
public:
    explicit LeafAwaiter(A& leaf) noexcept : leaf_(leaf) {}
    decltype(auto) await_ready() const { return leaf_.await_ready(); }
    template <class P>
    decltype(auto) await_suspend(std::coroutine_handle<P> handle) {
        return leaf_.await_suspend(handle);
    }
    decltype(auto) await_resume() { return leaf_.await_resume(); }

private:
    A& leaf_;
};

template <class A>
decltype(auto) make_awaiter(A&& awaited) {
    if constexpr (CoroType<A>) {
        static_assert(!std::is_lvalue_reference_v<A>,
                      "a Coro is awaited once and consumed by it: write `co_await std::move(coro)`");
        return CoroAwaiter<await_result_t<A>>(std::move(awaited));
    } else if constexpr (FutureType<A>) {
        return FutureAwaiter<await_result_t<A>>(std::forward<A>(awaited));
    } else if constexpr (LeafType<A>) {
        return LeafAwaiter<std::remove_reference_t<A>>(awaited);
    } else if constexpr (Awaitable<A>) {
        using Inner = decltype(call_co_await(std::forward<A>(awaited)));
        if constexpr (LeafType<Inner> && !std::is_reference_v<Inner>)
            return call_co_await(std::forward<A>(awaited));
        else
            return make_awaiter(call_co_await(std::forward<A>(awaited)));
    } else {
        static_assert(Awaitable<A>,
                      "co_await needs a Coro, a Future, a Task or another awaitable of Weft; to wait for a callback, "
                      "make a future with loop.create_future<T>() and set its result there");
    }
}

/// asyncio's RuntimeError for a coroutine, or what stands for one here, that is awaited a second time.
[[noreturn]] void throw_already_awaited();

/// An awaiter that a user may also hand to create_task, gather, wait_for: it becomes a coroutine then.
template <class Self, class T>
class LeafAwaitable : public LeafTag {
public:
    using value_type = T;
    operator Coro<T>() && { return as_coro(static_cast<Self&&>(*this)); }

private:
    static Coro<T> as_coro(Self self) { co_return co_await std::move(self); }
};

}  // namespace detail
}  // namespace weft
