#include <weft/tasks/shield.hpp>

namespace weft::detail {

void ShieldBase::follow(Ref<FutureBase> inner) {
    inner_ = std::move(inner);
    node_.outer = this;
    // A task ends for certain, so it may hold this. A plain future may never be done: it must not, or both would leak.
    node_.holds_outer = inner_->as_task() != nullptr;
    if (node_.holds_outer) add_ref();
    inner_->add_waiter(node_);
}

ShieldBase::~ShieldBase() {
    if (!inner_ || inner_->remove_waiter(node_)) return;
    loop().unschedule(node_);
    if (done()) inner_->mark_retrieved();  // as when it is told
}

bool ShieldBase::cancel(const std::string* message) {
    if (!cancel_now(message)) return false;
    // Detached: what the inner future ends with is nobody's concern here any more, unless it has ended already.
    if (inner_ && inner_->remove_waiter(node_)) {
        inner_ = nullptr;
        node_.discard();
    }
    return true;
}

void ShieldBase::Node::run() {
    const Ref<ShieldBase> keep = std::exchange(holds_outer, false) ? Ref<ShieldBase>::adopt(outer) : Ref(outer);
    keep->inner_done();
}

void ShieldBase::Node::discard() noexcept {
    // Out of every queue: nothing is there to take back, neither from the inner future nor from the loop.
    const Ref<FutureBase> inner = std::move(outer->inner_);
    if (inner && outer->done()) inner->mark_retrieved();  // as when it is told
    if (std::exchange(holds_outer, false)) outer->release();
}

void ShieldBase::inner_done() {
    Ref<FutureBase> inner = std::move(inner_);
    if (!inner) return;
    if (done()) {
        inner->mark_retrieved();
        return;
    }
    if (inner->is_cancelled()) {
        cancel_now(nullptr);
    } else if (inner->has_exception()) {
        set_exception(inner->take_error());
    } else {
        try {
            copy_value(*inner);
        } catch (...) {
            set_exception(std::current_exception());
            return;
        }
        set_finished();
    }
}

void ShieldBase::visit_awaited_tasks(UniqueFunction<void(TaskRecord&)>& visit) {
    if (inner_) inner_->visit_awaited_tasks(visit);
}

}  // namespace weft::detail
