#include <weft/sync/lock.hpp>

namespace weft::detail {

void LockState::wait(ListWaiter& waiter, PromiseBase& promise) {
    if (!binding_.accepts(promise.task().loop())) throw_bound_elsewhere(repr());
    waiter.wait_in(waiters_, promise);
}

void LockState::finish_wait(ListWaiter& waiter) {
    waiter.unlink();
    try {
        waiter.end_wait();
    } catch (...) {
        if (!locked_) wake_first();
        throw;
    }
    locked_ = true;
}

void LockState::throw_not_acquired() {
    throw RuntimeError("Lock is not acquired.");
}

std::string LockState::repr() const {
    return primitive_text("Lock", locked_ ? "locked" : "unlocked", waiters_.size());
}

}  // namespace weft::detail
