#include <weft/loop/handle.hpp>

#include <weft/loop/event_loop.hpp>

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
                [this](std::exception_ptr error) {
                    loop_->call_exception_handler(
                        ExceptionContext("Exception in callback " + demangle(callback_.target_type().name()), std::move(error)));
                });
    callback_ = nullptr;
    State expected = State::running;
    if (shared_)
        state_.compare_exchange_strong(expected, State::finished, std::memory_order_relaxed);
    else if (state_.load(std::memory_order_relaxed) == expected)
        state_.store(State::finished, std::memory_order_relaxed);
}

void HandleState::discard() noexcept {
    callback_ = nullptr;
    release();
}

std::string HandleState::describe() const {
    switch (state_.load(std::memory_order_relaxed)) {
    case State::cancelled: return "<Handle cancelled>";
    case State::finished: return "<Handle finished>";
    default: return "<Handle " + demangle(callback_.target_type().name()) + ">";
    }
}

void TimerState::on_cancel() noexcept {
    if (in_heap) loop().note_timer_cancelled();
}

}  // namespace weft::detail
