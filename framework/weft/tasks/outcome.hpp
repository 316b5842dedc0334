#pragma once
// Outcome<T>: how something ended: with a value, an exception or a cancellation; what gather(return_exceptions, ...)
// gives for each argument.
//
//     for (auto& outcome : co_await gather(return_exceptions, std::move(fetches)))
//         if (outcome.has_value()) use(outcome.value()); else log(describe_exception(outcome.exception()));

#include <weft/tasks/future.hpp>

#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace weft {

template <class T>
class Outcome {
public:
    /// The outcome of a future that is done; its exception counts as seen.
    explicit Outcome(detail::FutureBase& state, bool sole_owner = false)
        : cancelled_(state.is_cancelled()), exception_(state.take_error()) {
        if (exception_) return;
        if constexpr (std::is_void_v<T>)
            value_.emplace();
        else if constexpr (std::is_reference_v<T>)
            value_.emplace(&detail::take_value_of<T>(state, sole_owner));
        else
            value_.emplace(detail::take_value_of<T>(state, sole_owner));
    }

    bool has_value() const noexcept { return value_.has_value(); }
    explicit operator bool() const noexcept { return has_value(); }
    bool cancelled() const noexcept { return cancelled_; }
    /// Null if there is a value; of a cancelled one it holds a CancelledError.
    const std::exception_ptr& exception() const noexcept { return exception_; }

    /// The value; throws the exception if there is none.
    decltype(auto) value() {
        if (exception_) std::rethrow_exception(exception_);
        if constexpr (std::is_void_v<T>)
            return;
        else if constexpr (std::is_reference_v<T>)
            return static_cast<T>(**value_);
        else
            return static_cast<T&>(*value_);
    }
    decltype(auto) operator*() { return value(); }

private:
    bool cancelled_;
    std::exception_ptr exception_;
    std::optional<detail::stored_t<T>> value_;
};

}  // namespace weft
