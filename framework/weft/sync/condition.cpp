#include <weft/sync/condition.hpp>

#include <exception>

namespace weft::detail {

namespace {

/// The part of Condition::wait() that waits for the notification.
class NotificationWait final : public ListWaiter, public LeafAwaitable<NotificationWait, void> {
public:
    explicit NotificationWait(Ref<ConditionState> state) noexcept : state_(std::move(state)) {}
    NotificationWait(NotificationWait&&) noexcept = default;
    ~NotificationWait() { unlink(); }

    std::string_view waiter_kind() const noexcept override { return "Condition.wait"; }
    bool await_ready() const noexcept { return false; }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) {
        wait_in(state_->waiters(), handle.promise());
    }
    void await_resume() {
        unlink();
        end_wait();
    }

private:
    Ref<ConditionState> state_;
};

}  // namespace

void ConditionState::begin_wait(EventLoop& loop) {
    if (!lock_->locked()) throw RuntimeError("cannot wait on un-acquired lock");
    if (!binding_.accepts(loop)) throw_bound_elsewhere(repr());
    lock_->unlock();
}

void ConditionState::wake(std::ptrdiff_t count) noexcept {
    for (; count > 0; --count) {
        ListWaiter* waiter = waiters_.first_waiting();
        if (!waiter) return;
        waiter->wake();
    }
}

void ConditionState::notify(std::ptrdiff_t count) {
    if (!lock_->locked()) throw RuntimeError("cannot notify on un-acquired lock");
    wake(count);
}

void ConditionState::notify_all() {
    if (!lock_->locked()) throw RuntimeError("cannot notify on un-acquired lock");
    wake_every_waiter();
}

std::string ConditionState::repr() const {
    return primitive_text("Condition", lock_->locked() ? "locked" : "unlocked", waiters_.size());
}

Coro<bool> condition_wait(Ref<ConditionState> condition) {
    condition->begin_wait(get_running_loop());
    std::exception_ptr error;
    try {
        co_await NotificationWait(condition);
    } catch (...) {
        error = std::current_exception();
    }
    bool locked = false;
    while (!locked) {
        try {
            co_await LockAcquire(condition->lock());
            locked = true;
        } catch (const CancelledError&) {
            error = std::current_exception();
        } catch (...) {
            condition->wake(1);
            throw;
        }
    }
    if (error) {
        // This one may have been notified; what it was told concerns another waiter now.
        condition->wake(1);
        std::rethrow_exception(error);
    }
    co_return true;
}

}  // namespace weft::detail
