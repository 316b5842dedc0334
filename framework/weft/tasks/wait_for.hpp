#pragma once
// wait_for: awaits something for a limited time (asyncio.wait_for).
//
//     Bytes line = co_await wait_for(reader.readline(), 5s);     // TimeoutError
//
// A coroutine runs in the calling task. At the deadline it is cancelled and its end is awaited, so this may take longer
// than the limit; if it refuses and returns a value, the value is given. A limit that is not positive gives the result
// of a future that is done already, and else never starts the coroutine.

#include <weft/tasks/timeout.hpp>

#include <chrono>
#include <optional>

namespace weft {

namespace detail {

/// Cancels the future and waits until it is done; a cancellation of the caller ends only the wait.
Coro<> cancel_and_wait(Ref<FutureBase> future);

template <class A>
Coro<await_result_t<A>> run_wait_for(A awaitable, std::optional<Duration> limit) {
    using T = await_result_t<A>;
    if (!limit) co_return co_await std::move(awaitable);
    if (*limit <= Duration::zero()) {
        Future<T> future = ensure_future(std::move(awaitable));
        if (!future.done()) {
            co_await cancel_and_wait(future.state());
            // A gather that was cancelled is finished with CancelledError.
            if (future.state()->wait_was_cancelled()) {
                future.state()->mark_retrieved();
                throw TimeoutError("timeout expired");
            }
        }
        co_return co_await std::move(future);
    }
    Timeout timeout(get_running_loop().after(*limit));
    timeout.enter();
    std::optional<stored_t<T>> value;
    std::exception_ptr error;
    try {
        if constexpr (std::is_void_v<T>)
            co_await std::move(awaitable);
        else if constexpr (std::is_reference_v<T>)
            value.emplace(&co_await std::move(awaitable));
        else
            value.emplace(co_await std::move(awaitable));
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

/// The result of `awaitable`, or TimeoutError after `limit`.
template <Awaitable A, class Rep, class Period>
Coro<await_result_t<A>> wait_for(A&& awaitable, std::chrono::duration<Rep, Period> limit) {
    return detail::run_wait_for<std::remove_cvref_t<A>>(std::forward<A>(awaitable), detail::to_duration(limit));
}
/// Without a limit.
template <Awaitable A>
Coro<await_result_t<A>> wait_for(A&& awaitable, std::nullopt_t) {
    return detail::run_wait_for<std::remove_cvref_t<A>>(std::forward<A>(awaitable), std::nullopt);
}

}  // namespace weft
