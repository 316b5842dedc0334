#include <weft/tasks/concurrent_future.hpp>

namespace weft::detail {

ConcurrentBase::State ConcurrentBase::state() const {
    const std::lock_guard lock(mutex_);
    return state_;
}

std::string ConcurrentBase::repr() const {
    switch (state()) {
    case State::pending: return "<ConcurrentFuture pending>";
    case State::running: return "<ConcurrentFuture running>";
    case State::cancelled: return "<ConcurrentFuture cancelled>";
    case State::finished: break;
    }
    return exception_ ? "<ConcurrentFuture finished exception=" + describe_exception(exception_) + ">"
                      : "<ConcurrentFuture finished>";
}

bool ConcurrentBase::done() const {
    const State now = state();
    return now == State::cancelled || now == State::finished;
}

void ConcurrentBase::require_unfinished() const {
    if (state_ == State::finished || state_ == State::cancelled)
        throw InvalidStateError("invalid state: the concurrent future is already done");
}

void ConcurrentBase::complete(State state, std::unique_lock<std::mutex> lock) {
    state_ = state;
    std::vector<UniqueFunction<void()>> callbacks;
    callbacks.swap(callbacks_);
    completed_.notify_all();
    lock.unlock();
    for (auto& callback : callbacks)
        callback();
}

bool ConcurrentBase::cancel() {
    std::unique_lock lock(mutex_);
    if (state_ == State::cancelled) return true;
    if (state_ != State::pending) return false;
    complete(State::cancelled, std::move(lock));
    return true;
}

bool ConcurrentBase::set_running_or_notify_cancel() {
    const std::lock_guard lock(mutex_);
    if (state_ == State::cancelled) return false;
    if (state_ != State::pending) throw InvalidStateError("invalid state: the concurrent future runs or is done");
    state_ = State::running;
    return true;
}

void ConcurrentBase::set_exception(std::exception_ptr error) {
    finish([&] {
        if (!error) throw ValueError("set_exception: the exception is a null pointer");
        exception_ = std::move(error);
    });
}

void ConcurrentBase::wait(std::unique_lock<std::mutex>& lock, std::optional<Duration> limit) const {
    const auto is_done = [this] { return state_ == State::finished || state_ == State::cancelled; };
    if (!limit)
        completed_.wait(lock, is_done);
    else if (!completed_.wait_for(lock, *limit, is_done))
        throw TimeoutError("the concurrent future is not done in time");
    if (state_ == State::cancelled) throw CancelledError();
}

void ConcurrentBase::require_value(std::optional<Duration> limit) const {
    std::unique_lock lock(mutex_);
    wait(lock, limit);
    if (exception_) std::rethrow_exception(exception_);
}

std::exception_ptr ConcurrentBase::exception(std::optional<Duration> limit) const {
    std::unique_lock lock(mutex_);
    wait(lock, limit);
    return exception_;
}

void ConcurrentBase::add_callback(UniqueFunction<void()> callback) {
    std::unique_lock lock(mutex_);
    if (state_ == State::pending || state_ == State::running) {
        callbacks_.push_back(std::move(callback));
        return;
    }
    lock.unlock();
    callback();
}

}  // namespace weft::detail
