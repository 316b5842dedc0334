#include <weft/loop/slow_callback_timer.hpp>

#include <string>

namespace weft::detail {

void SlowCallbackTimer::finish() noexcept {
    try {
        loop_->log_if_slow("<" + std::string(what_) + ">", begin_);
    } catch (...) {
        // No memory for a warning.
    }
}

}  // namespace weft::detail
