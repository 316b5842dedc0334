#include <weft/tasks/timeout.hpp>

#include <cstdio>

namespace weft {

const char* Timeout::name_of(State state) noexcept {
    switch (state) {
    case State::created: return "created";
    case State::active: return "active";
    case State::expiring: return "expiring";
    case State::expired: return "expired";
    case State::finished: return "finished";
    }
    return "";
}

std::string Timeout::repr() const {
    std::string text = "<Timeout [" + std::string(name_of(state_)) + "]";
    if (state_ == State::active && when_) {
        char seconds[32];
        std::snprintf(seconds, sizeof seconds, "%.3f",
                      std::chrono::duration<double>(when_->time_since_epoch()).count());
        text += " when=" + std::string(seconds);
    }
    return text + ">";
}

void Timeout::enter() {
    if (state_ != State::created) throw RuntimeError("Timeout has already been entered");
    CurrentTask task = current_task();
    if (!task) throw RuntimeError("Timeout should be used inside a task");
    state_ = State::active;
    task_ = detail::Ref<detail::TaskBase>(&task.task());
    cancelling_ = task_->cancelling();
    reschedule(when_);
}

void Timeout::reschedule(std::optional<TimePoint> when) {
    if (state_ == State::created) throw RuntimeError("Timeout has not been entered");
    if (state_ != State::active)
        throw RuntimeError("Cannot change state of " + std::string(name_of(state_)) + " Timeout");
    EventLoop& loop = task_->loop();
    Handle timer;
    if (when && *when <= loop.time())
        timer = loop.call_soon([this] { strike(); });
    else if (when)
        timer = loop.call_at(*when, [this] { strike(); });
    timer_.cancel();
    timer_ = std::move(timer);
    when_ = when;
}

void Timeout::strike() {
    task_->cancel(nullptr);
    state_ = State::expiring;
}

void Timeout::exit(const std::exception_ptr& error) {
    timer_.cancel();
    if (state_ == State::expiring) {
        state_ = State::expired;
        // No cancellation but ours is outstanding: it was the deadline that ended the body.
        if (task_->uncancel() <= cancelling_ && error && detail::holds<CancelledError>(error))
            throw TimeoutError("timeout expired");
    } else {
        state_ = State::finished;
    }
    if (error) std::rethrow_exception(error);
}

}  // namespace weft
