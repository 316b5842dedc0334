#pragma once
// The children that the twins of task groups share.

#include "twin.hpp"

#include <string>

namespace weft::conformance {

/// Ends after some iterations.
inline Coro<std::string> child(std::string name, int count = 1) {
    try {
        co_await turns(count);
    } catch (const CancelledError&) {
        trace(name + " cancelled");
        throw;
    }
    trace(name + " ends");
    co_return name;
}

inline Coro<> failing(std::string message, int count = 1) {
    co_await turns(count);
    throw ValueError(message);
}

inline Coro<> failing_in_cleanup(std::string message) {
    co_await error_of(sleep_ms(1000));
    throw ValueError(message);
}

/// "cancelling: N" of the task that runs.
inline std::string cancelling() {
    return "cancelling: " + std::to_string(current_task().cancelling());
}

}  // namespace weft::conformance
