#include <weft/loop/handle.hpp>

#include <weft/base/exceptions.hpp>
#include <weft/loop/event_loop.hpp>

#include <cstdio>

namespace weft::detail {

bool HandleState::leave_pending(State next) noexcept {
    if (shared_) {
        State expected = State::pending;
        return state_.compare_exchange_strong(expected, next, std::memory_order_acq_rel);
    }
    if (state_.load(std::memory_order_relaxed) != State::pending) return false;
    state_.store(next, std::memory_order_relaxed);
    return true;
}

void HandleState::cancel() noexcept {
    if (!leave_pending(State::cancelled)) {
        // Too late to keep it from running, yet cancelled() says that this was asked for.
        state_.store(State::cancelled, std::memory_order_relaxed);
        return;
    }
    callback_ = nullptr;
    on_cancel();
}

void HandleState::run() {
    const Ref<HandleState> self = Ref<HandleState>::adopt(this);  // the queue's
    if (!leave_pending(State::running)) return;
    const ContextScope scope(context_);
    run_guarded([this] { callback_(); },
                [this](const std::exception_ptr& error) {
                    report_callback_error(*loop_, error, callback_.target_type(), this);
                });
    callback_ = nullptr;
    State expected = State::running;
    if (shared_)
        state_.compare_exchange_strong(expected, State::finished, std::memory_order_relaxed);
    else if (state_.load(std::memory_order_relaxed) == expected)
        state_.store(State::finished, std::memory_order_relaxed);
}

void HandleState::discard() noexcept {
    // Unless another thread is just cancelling it, which destroys the callback itself.
    if (leave_pending(State::finished)) callback_ = nullptr;
    release();
}

std::string HandleState::describe() const {
    return "<Handle " + text() + ">";
}

std::string HandleState::text() const {
    switch (state_.load(std::memory_order_relaxed)) {
    case State::cancelled: return "cancelled";
    case State::finished: return "finished";
    default: return demangle(callback_type().name());
    }
}

std::string TimerState::describe() const {
    char seconds[32];
    std::snprintf(seconds, sizeof seconds, "%.6f", std::chrono::duration<double>(when_.time_since_epoch()).count());
    return "<TimerHandle when=" + std::string(seconds) + " " + text() + ">";
}

void TimerState::on_cancel() noexcept {
    if (in_heap) loop().note_timer_cancelled();
}

}  // namespace weft::detail
