#pragma once
// try_finally: a clean-up that awaits (Python's `finally:` with an await in it).
//
//     int n = co_await try_finally(
//         [&]() -> Coro<int> { co_return co_await work(connection); },
//         [&]() -> Coro<> { co_await connection.close(); });
//
// C++ cannot await in a destructor or in a catch block; here the clean-up is awaited however the body ends, also when
// it was cancelled.

#include <weft/tasks/timeout.hpp>

#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace weft {

namespace detail {

template <class B, class C>
auto run_try_finally(B body, C cleanup) -> std::invoke_result_t<B&> {
    using T = await_result_t<std::invoke_result_t<B&>>;
    std::optional<stored_t<T>> value;
    std::exception_ptr error;
    try {
        if constexpr (std::is_void_v<T>)
            co_await body();
        else if constexpr (std::is_reference_v<T>)
            value.emplace(&co_await body());
        else
            value.emplace(co_await body());
    } catch (...) {
        error = std::current_exception();
    }
    co_await cleanup();
    if (error) std::rethrow_exception(error);
    if constexpr (std::is_reference_v<T>)
        co_return **value;
    else if constexpr (!std::is_void_v<T>)
        co_return std::move(*value);
}

}  // namespace detail

/// Awaits `body()` and then, whatever came of it, `cleanup()`; gives the body's value or throws its exception. What the
/// clean-up throws takes its place. A cancellation that arrives during the clean-up is raised there.
template <class B, class C>
    requires std::invocable<std::decay_t<B>&> && std::invocable<std::decay_t<C>&>
auto try_finally(B&& body, C&& cleanup) {
    WEFT_DETAIL_CHECK_BODY(B);
    WEFT_DETAIL_CHECK_BODY(C);
    return detail::run_try_finally<detail::body_t<B>, detail::body_t<C>>(std::forward<B>(body),
                                                                         std::forward<C>(cleanup));
}

}  // namespace weft
