#include <weft/tasks/task_group.hpp>

namespace weft::detail {

/// One child that is not done: told through the ready queue when it is.
class GroupState::Child final : public ReadyNode, public Pooled {
public:
    Child(GroupState& group, Ref<TaskBase> task) noexcept : group(&group), task(std::move(task)) {}
    void run() override { finish(true); }
    void discard() noexcept override { finish(false); }
    std::string describe() const override { return "<TaskGroup callback>"; }

    Ref<GroupState> group;
    Ref<TaskBase> task;
    Child* previous = nullptr;
    Child* next = nullptr;

private:
    void finish(bool report) {
        Ref<GroupState> keep = group;
        (previous ? previous->next : keep->first_) = next;
        (next ? next->previous : keep->last_) = previous;
        if (report) keep->child_done(*this);
        delete this;
    }
};

namespace {

/// What the parent awaits while children run; a dump sees them through it.
class AllDone final : public WithValue<void, FutureBase> {
public:
    AllDone(EventLoop& loop, GroupState& group) noexcept : WithValue<void, FutureBase>(loop), group_(group) {}
    std::string_view waiter_kind() const noexcept override { return "TaskGroup"; }
    void visit_awaited_tasks(UniqueFunction<void(TaskRecord&)>& visit) override { group_.visit_children(visit); }

private:
    GroupState& group_;
};

}  // namespace

GroupState::~GroupState() = default;

Ref<GroupState> enter_group() {
    CurrentTask parent = current_task();
    if (!parent) throw RuntimeError("TaskGroup cannot determine the parent task");
    return Ref<GroupState>::adopt(new GroupState(parent.get_loop(), Ref<TaskBase>(&parent.task())));
}

void GroupState::check_open() const {
    if (finished_ || (exiting_ && !first_)) throw RuntimeError("TaskGroup is finished");
    if (aborting_) throw RuntimeError("TaskGroup is shutting down");
}

void GroupState::add(Ref<TaskBase> task) {
    auto* child = new Child(*this, std::move(task));
    child->previous = last_;
    (last_ ? last_->next : first_) = child;
    last_ = child;
    child->task->add_waiter(*child);
}

bool GroupState::is_interrupt(const std::exception_ptr& error) const {
    return holds<KeyboardInterrupt>(error) || holds<SystemExit>(error);
}

void GroupState::child_done(Child& child) {
    if (!first_ && all_done_ && !all_done_.done()) all_done_.set_result();
    TaskBase& task = *child.task;
    if (task.is_cancelled()) return;
    const std::exception_ptr error = task.exception();
    if (!error) return;
    errors_.push_back(error);
    if (!interrupt_ && is_interrupt(error)) interrupt_ = error;
    if (parent_->done()) {
        loop_->call_exception_handler(ExceptionContext("Task '" + task.task_name() +
                                                           "' has errored out but its parent task '" +
                                                           parent_->task_name() + "' is already completed",
                                                       error, task.task_name()));
        return;
    }
    if (!aborting_ && !parent_cancel_requested_) {
        abort();
        parent_cancel_requested_ = true;
        parent_->cancel(nullptr);
    }
}

void GroupState::abort() {
    aborting_ = true;
    std::vector<Ref<TaskBase>> tasks;
    for (Child* child = first_; child; child = child->next)
        tasks.push_back(child->task);
    for (const auto& task : tasks)
        if (!task->done()) task->cancel(nullptr);
}

void GroupState::cancel() {
    if (finished_ || aborting_) return;
    abort();
    if (!parent_cancel_requested_ && !parent_->done()) {
        parent_cancel_requested_ = true;
        parent_->cancel(nullptr);
    }
}

Coro<> GroupState::exit(std::exception_ptr error) {
    exiting_ = true;
    const bool cancelled = error && holds<CancelledError>(error);
    if (error && is_interrupt(error) && !interrupt_) interrupt_ = error;
    std::exception_ptr cancellation = cancelled ? error : nullptr;
    if (error && !aborting_) abort();
    // In a loop: the parent may be cancelled again while the children end.
    while (first_) {
        if (!all_done_) all_done_ = Future<>(Ref<FutureBase>::adopt(new AllDone(*loop_, *this)));
        try {
            co_await all_done_;
        } catch (const CancelledError&) {
            if (!aborting_) {
                cancellation = std::current_exception();
                abort();
            }
        }
        all_done_ = Future<>();
    }
    finished_ = true;
    if (interrupt_) std::rethrow_exception(interrupt_);
    if (parent_cancel_requested_ && parent_->uncancel() == 0) cancellation = nullptr;
    if (cancellation && errors_.empty()) std::rethrow_exception(cancellation);
    if (error && !cancelled) errors_.push_back(error);
    if (errors_.empty()) co_return;
    // A cancellation from outside stays due, its count unchanged.
    if (parent_->cancelling() > 0) {
        parent_->uncancel();
        parent_->cancel(nullptr);
    }
    throw ExceptionGroup("unhandled errors in a TaskGroup", std::move(errors_));
}

std::string GroupState::repr() {
    std::size_t tasks = 0;
    UniqueFunction<void(TaskRecord&)> count = [&tasks](TaskRecord&) { ++tasks; };
    visit_children(count);
    std::string text = "<TaskGroup";
    if (tasks > 0) text += " tasks=" + std::to_string(tasks);
    if (!errors_.empty()) text += " errors=" + std::to_string(errors_.size());
    if (aborting_)
        text += " cancelling";
    else if (!finished_)
        text += " entered";
    return text + ">";
}

void GroupState::visit_children(UniqueFunction<void(TaskRecord&)>& visit) {
    for (Child* child = first_; child; child = child->next)
        visit(*child->task);
}

}  // namespace weft::detail
