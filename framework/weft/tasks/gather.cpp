#include <weft/tasks/gather.hpp>

#include <algorithm>
#include <unordered_set>

namespace weft::detail {

/// Told, through the ready queue, that one child is done.
class GatherBase::ChildNode final : public ReadyNode {
public:
    void run() override {
        // The gather's reference for this child ends here; it may be the last one.
        const Ref<GatherBase> keep = std::exchange(holds_gather, false) ? Ref<GatherBase>::adopt(gather) : Ref(gather);
        keep->child_done(*std::exchange(child, nullptr));
    }
    void discard() noexcept override {
        child = nullptr;
        if (std::exchange(holds_gather, false)) gather->release();
    }
    std::string describe() const override { return "<gather callback>"; }

    GatherBase* gather = nullptr;
    FutureBase* child = nullptr;  // null once it has told
    bool holds_gather = false;
};

GatherBase::GatherBase(EventLoop& loop, bool return_exceptions) noexcept
    : FutureBase(loop), return_exceptions_(return_exceptions) {}

GatherBase::~GatherBase() {
    for (std::size_t i = 0; i < node_count_; ++i) {
        FutureBase* child = nodes_[i].child;
        if (!child || child->remove_waiter(nodes_[i])) continue;
        loop().unschedule(nodes_[i]);
        if (done()) child->mark_retrieved();  // as when it is told
    }
}

void GatherBase::start(std::vector<Ref<FutureBase>> children, bool may_repeat) {
    children_ = std::move(children);
    std::vector<FutureBase*> distinct;
    distinct.reserve(children_.size());
    std::unordered_set<FutureBase*> seen;
    for (const auto& child : children_)
        if (!may_repeat || seen.insert(child.get()).second) distinct.push_back(child.get());
    pending_ = distinct.size();
    if (distinct.empty()) {
        finish();
        return;
    }
    nodes_ = std::make_unique<ChildNode[]>(distinct.size());
    node_count_ = distinct.size();
    for (std::size_t i = 0; i < distinct.size(); ++i) {
        if (distinct[i]->done()) continue;
        nodes_[i].gather = this;
        nodes_[i].child = distinct[i];
        // A task ends for certain, so it may hold this. A plain future may never be done: it must not.
        nodes_[i].holds_gather = distinct[i]->as_task() != nullptr;
        if (nodes_[i].holds_gather) add_ref();
        distinct[i]->add_waiter(nodes_[i]);
    }
    for (FutureBase* child : distinct)
        if (child->done()) child_done(*child);
}

void GatherBase::child_done(FutureBase& child) {
    --pending_;
    if (done()) {
        child.mark_retrieved();
        return;
    }
    if (!return_exceptions_ && (child.is_cancelled() || child.has_exception())) {
        set_exception(child.take_error());
        return;
    }
    if (pending_ == 0) finish();
}

void GatherBase::finish() {
    if (cancel_requested_) {
        // Children may have refused; the request counts all the same.
        for (const auto& child : children_)
            child->mark_retrieved();
        const FutureBase& last = *children_.back();
        set_exception(last.is_cancelled() ? last.make_cancelled_error() : std::make_exception_ptr(CancelledError()));
        return;
    }
    try {
        store_results();
    } catch (...) {
        set_exception(std::current_exception());
        return;
    }
    children_.clear();
    set_finished();
}

bool GatherBase::cancel(const std::string* message) {
    if (done()) {
        mark_retrieved();
        return false;
    }
    bool accepted = false;
    for (const auto& child : children_)  // which only change when the loop tells that one is done
        accepted |= child->cancel(message);
    if (accepted) cancel_requested_ = true;
    return accepted;
}

void GatherBase::visit_awaited_tasks(UniqueFunction<void(TaskRecord&)>& visit) {
    for (const auto& child : children_)
        if (!child->done()) child->visit_awaited_tasks(visit);
}

}  // namespace weft::detail
