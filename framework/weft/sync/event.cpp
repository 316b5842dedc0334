#include <weft/sync/event.hpp>

namespace weft::detail {

void EventFlag::wait(ListWaiter& waiter, PromiseBase& promise) {
    if (!binding_.accepts(promise.task().loop())) throw_bound_elsewhere(repr());
    waiter.wait_in(waiters_, promise);
}

std::string EventFlag::repr() const {
    return primitive_text("Event", value_ ? "set" : "unset", waiters_.size());
}

}  // namespace weft::detail
