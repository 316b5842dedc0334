#include <weft/sync/semaphore.hpp>

namespace weft::detail {

SemaphoreState::SemaphoreState(std::ptrdiff_t value, std::ptrdiff_t bound) : value_(value), bound_(bound) {
    if (value < 0) throw ValueError("Semaphore initial value must be >= 0");
}

bool SemaphoreState::wake_next() noexcept {
    ListWaiter* waiter = waiters_.first_waiting();
    if (!waiter) return false;
    --value_;
    waiter->wake();
    return true;
}

void SemaphoreState::wait(ListWaiter& waiter, PromiseBase& promise) {
    if (!binding_.accepts(promise.task().loop())) throw_bound_elsewhere(repr());
    waiter.wait_in(waiters_, promise);
}

void SemaphoreState::finish_wait(ListWaiter& waiter) {
    const bool has_permit = waiter.was_woken();
    waiter.unlink();
    try {
        waiter.end_wait();
    } catch (...) {
        if (has_permit) ++value_;
        wake_all_possible();
        throw;
    }
    // Others may have come while there were permits, and queued because this one came first.
    wake_all_possible();
}

void SemaphoreState::abandon_wait(ListWaiter& waiter) noexcept {
    if (waiter.was_woken()) ++value_;
    waiter.unlink();
    wake_all_possible();
}

void SemaphoreState::throw_released_too_often() {
    throw ValueError("BoundedSemaphore released too many times");
}

std::string SemaphoreState::repr() const {
    return primitive_text(bound_ == unbounded ? "Semaphore" : "BoundedSemaphore",
                          locked() ? "locked" : "unlocked, value:" + std::to_string(value_), waiters_.size());
}

}  // namespace weft::detail
