#pragma once
// The loop's clock, and how a time span of any kind becomes one of its.

#include <weft/base/exceptions.hpp>

#include <chrono>
#include <cmath>
#include <concepts>
#include <ratio>
#include <type_traits>

namespace weft {

/// The clock of every loop; a simulated loop gives it values of its own.
using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Duration = Clock::duration;

namespace detail {

/// Any duration as the loop's; ValueError for NaN; what is out of range becomes the longest there is.
template <class Rep, class Period>
Duration to_duration(std::chrono::duration<Rep, Period> delay) {
    using Ratio = std::ratio_divide<Period, Duration::period>;
    if constexpr (std::is_integral_v<Rep> && Ratio::den == 1) {
        Duration::rep ticks = 0;
        if (!__builtin_mul_overflow(+delay.count(), Ratio::num, &ticks)) return Duration(ticks);
        return delay.count() > 0 ? Duration::max() : Duration::min();
    } else {
        if constexpr (std::is_floating_point_v<Rep>) {
            if (std::isnan(delay.count())) throw ValueError("Invalid delay: NaN (not a number)");
        }
        using Wide = std::chrono::duration<double>;
        if (std::chrono::duration_cast<Wide>(delay) >= Wide(Duration::max())) return Duration::max();
        if (std::chrono::duration_cast<Wide>(delay) <= Wide(Duration::min())) return Duration::min();
        return std::chrono::duration_cast<Duration>(delay);
    }
}

/// A duration that does not become the loop's by itself, as 0.5s: where a Duration is taken, this is taken too.
template <class D>
concept FractionalDuration = requires(const D& delay) {
    { to_duration(delay) } -> std::same_as<Duration>;
} && !std::convertible_to<D, Duration>;

}  // namespace detail
}  // namespace weft
