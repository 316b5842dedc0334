#include <weft/tasks/future_state.hpp>

#include <new>

namespace weft::detail {

FutureBase::~FutureBase() {
    while (!done() && !waiters_.empty())
        waiters_.pop().discard();
    report_if_unretrieved();
}

void FutureBase::report_unretrieved() noexcept {
    mark_retrieved();
    try {
        loop_->report_error(exception_, [&] {
            ExceptionContext context("Future exception was never retrieved", exception_);
            context.future = FutureBase::repr({});
            return context;
        });
    } catch (...) {
        // An interrupt cannot leave a destructor; the report was made.
    }
}

void FutureBase::copy_cancel_message(const std::string& message) noexcept {
    try {
        cancel_message_ = std::make_unique<std::string>(message);
    } catch (...) {
        cancel_message_.reset();
    }
}

bool FutureBase::cancel(const std::string* message) {
    return cancel_now(message);
}

bool FutureBase::cancel_now(const std::string* message) {
    mark_retrieved();
    if (done()) return false;
    set_cancel_message(message);
    settle(State::cancelled);
    return true;
}

void FutureBase::settle_without_loop(State state) {
    const Ref<FutureBase> keep(this);
    ReadyQueue waiting;
    waiting.splice(waiters_);
    const bool dropped = !waiting.empty();
    refs_ += callbacks_;  // as if they were scheduled: each lets go of one
    state_ = state;
    while (!waiting.empty())
        waiting.pop().discard();
    if (dropped) throw_loop_closed();
}

void FutureBase::note_unretrieved() noexcept {
    UnretrievedFutures& all = loop_->unretrieved();
    ::new (&unretrieved_among_) Neighbours{all.last, nullptr};
    (all.last ? all.last->unretrieved_among_.next : all.first) = this;
    all.last = this;
    all.report = [](FutureBase& future) { future.report_unretrieved(); };
    unretrieved_ = true;
}

void FutureBase::forget_unretrieved() noexcept {
    UnretrievedFutures& all = loop_->unretrieved();
    const auto [previous, next] = unretrieved_among_;
    (previous ? previous->unretrieved_among_.next : all.first) = next;
    (next ? next->unretrieved_among_.previous : all.last) = previous;
    unretrieved_ = false;
}

void FutureBase::set_exception(std::exception_ptr exception) {
    require_settable("set_exception");
    if (!exception) throw ValueError("set_exception: the exception is a null pointer");
    store_exception(std::move(exception));
    settle(State::finished);
}

std::exception_ptr FutureBase::make_cancelled_error() const noexcept {
    try {
        if (cancel_message_) throw CancelledError(*cancel_message_);
    } catch (const CancelledError&) {
        return std::current_exception();
    } catch (...) {
        // No memory for the message.
    }
    return std::make_exception_ptr(CancelledError());
}

std::string FutureBase::repr(const std::string& value) const {
    switch (state_) {
    case State::pending: return "<" + std::string(waiter_kind()) + " pending>";
    case State::cancelled: return "<" + std::string(waiter_kind()) + " cancelled>";
    case State::finished: break;
    }
    return "<" + std::string(waiter_kind()) + " finished " +
           (exception_ ? "exception=" + describe_exception(exception_) : "result=" + value) + ">";
}

std::exception_ptr FutureBase::exception() {
    if (state_ == State::pending) throw InvalidStateError("Exception is not set.");
    if (state_ == State::cancelled) std::rethrow_exception(make_cancelled_error());
    mark_retrieved();
    return exception_;
}

std::exception_ptr FutureBase::take_error() {
    if (state_ == State::cancelled) return make_cancelled_error();
    mark_retrieved();
    return exception_;
}

void FutureBase::throw_outcome() {
    if (state_ == State::pending) throw InvalidStateError("Result is not ready.");
    if (state_ == State::cancelled) std::rethrow_exception(make_cancelled_error());
    mark_retrieved();
    std::rethrow_exception(exception_);
}

void FutureBase::throw_invalid_state() const {
    throw InvalidStateError("invalid state: the future is already done");
}

void FutureBase::throw_not_settable(const char* operation) const {
    if (is_task_) throw RuntimeError(std::string("Task does not support ") + operation + " operation");
    throw_invalid_state();
}

void FutureBase::add_callback(DoneCallback& callback) {
    if (done()) {
        if (running_loop != loop_ && !is_open(loop_)) [[unlikely]] {
            delete &callback;
            throw_loop_closed();
        }
        add_ref();
        loop_->schedule(callback);
    } else {
        ++callbacks_;
        waiters_.push(callback);
    }
}

bool FutureBase::remove_callback(DoneCallback& callback) noexcept {
    if (done() || !waiters_.remove(callback)) return false;
    --callbacks_;
    callback.discard();
    return true;
}

bool FutureBase::remove_callback(const ReadyNode* there, std::uint64_t serial) noexcept {
    if (done()) return false;
    ReadyNode* node = waiters_.front();
    while (node && node != there)
        node = node->next_node;
    auto* callback = dynamic_cast<DoneCallback*>(node);
    return callback && callback->serial() == serial && remove_callback(*callback);
}

void DoneCallback::run() {
    struct Finish {
        DoneCallback* self;
        ~Finish() { self->discard(); }
    } finish{this};
    const ContextScope scope(context_);
    run_guarded([this] { callback_(); },
                [this](const std::exception_ptr& error) {
                    report_callback_error(future_->loop(), error, callback_.target_type());
                });
}

void DoneCallback::discard() noexcept {
    // Unscheduled it is dropped by its future, pending; scheduled it holds a reference to its future, which is done.
    FutureBase* future = future_->done() ? future_ : nullptr;
    delete this;
    if (future) future->release();
}

}  // namespace weft::detail
