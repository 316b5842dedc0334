#include <weft/tasks/shield.hpp>

namespace weft::detail {

void ShieldBase::follow(Ref<FutureBase> inner) {
    inner_ = std::move(inner);
    node_.outer = this;
    add_ref();  // the node's
    inner_->add_waiter(node_);
}

bool ShieldBase::cancel(const std::string* message) {
    if (!cancel_now(message)) return false;
    // Detached: what the inner future ends with is nobody's concern here any more, unless it has ended already.
    if (inner_ && inner_->remove_waiter(node_)) {
        inner_ = nullptr;
        release();
    }
    return true;
}

void ShieldBase::Node::run() {
    Ref<ShieldBase> keep = Ref<ShieldBase>::adopt(outer);
    keep->inner_done();
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
