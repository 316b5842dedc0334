#include <weft/tasks/task_group.hpp>

#include <new>

namespace weft::detail {

namespace {

bool is_interrupt(const std::exception_ptr& error) {
    return holds<KeyboardInterrupt>(error) || holds<SystemExit>(error);
}

}  // namespace

void GroupChild::leave() noexcept {
    (previous_ ? previous_->next_ : group_->first_) = next_;
    (next_ ? next_->previous_ : group_->last_) = previous_;
}

void GroupChild::run() {
    leave();
    const Ref<GroupState> group = std::move(group_);
    std::unique_ptr<GroupChild> self(this);
    if (group->child_done(*this)) self.release();
}

void GroupChild::discard() noexcept {
    leave();
    delete this;
}

GroupState::~GroupState() {
    while (GroupChild* child = failed_) {
        failed_ = child->next_;
        delete child;
    }
}

Ref<GroupState> enter_group() {
    CurrentTask parent = current_task();
    if (!parent) throw RuntimeError("TaskGroup cannot determine the parent task");
    return Ref<GroupState>::adopt(new GroupState(parent.get_loop(), Ref<TaskBase>(&parent.task())));
}

void GroupState::check_open() const {
    if (finished_ || (exiting_ && !first_)) throw RuntimeError("TaskGroup is finished");
    if (aborting_) throw RuntimeError("TaskGroup is shutting down");
}

void GroupState::add(std::unique_ptr<GroupChild> added, Ref<TaskBase> task) {
    if (task->done()) {
        // An eager one that did not have to wait.
        added->task_ = std::move(task);
        if (child_done(*added)) added.release();
        return;
    }
    GroupChild* child = added.release();
    child->group_ = Ref<GroupState>(this);
    child->task_ = std::move(task);
    child->previous_ = last_;
    (last_ ? last_->next_ : first_) = child;
    last_ = child;
    child->task_->add_waiter(*child);
    // An eager one may have cancelled the group in its first step, before it was in the list.
    if (aborting_) child->task_->cancel(nullptr);
}

bool GroupState::child_done(GroupChild& child) {
    if (!first_ && wait_) wait_->wake();
    TaskBase& task = *child.task_;
    if (task.is_cancelled()) return false;
    const std::exception_ptr error = task.exception();
    if (!error) return false;
    if (!interrupt_ && is_interrupt(error)) interrupt_ = error;
    if (parent_->done()) {
        loop_->report_error(error, [&] {
            return ExceptionContext("Task '" + task.task_name() + "' has errored out but its parent task '" +
                                        parent_->task_name() + "' is already completed",
                                    error, task.task_name());
        });
        return false;
    }
    child.next_ = nullptr;
    (last_failed_ ? last_failed_->next_ : failed_) = &child;
    last_failed_ = &child;
    if (!aborting_ && !parent_cancel_requested_) {
        abort();
        parent_cancel_requested_ = true;
        parent_->cancel(nullptr);
    }
    return true;
}

void GroupState::abort() {
    aborting_ = true;
    for (GroupChild* child = first_; child; child = child->next_)  // which only change when the loop tells of one
        if (!child->task_->done()) child->task_->cancel(nullptr);
}

void GroupState::cancel() {
    if (finished_ || aborting_) return;
    abort();
    if (!parent_cancel_requested_ && !parent_->done()) {
        parent_cancel_requested_ = true;
        parent_->cancel(nullptr);
    }
}

void GroupState::body_ended(std::exception_ptr error) {
    exiting_ = true;
    if (!error) return;
    if (holds<CancelledError>(error)) {
        cancellation_ = std::move(error);
    } else {
        if (!interrupt_ && is_interrupt(error)) interrupt_ = error;
        error_ = std::move(error);
    }
    if (!aborting_) abort();
}

void GroupState::wait_cancelled(std::exception_ptr cancellation) {
    last_cancellation_ = std::move(cancellation);
    if (aborting_) return;
    cancellation_ = last_cancellation_;
    abort();
}

void GroupState::finish() {
    finished_ = true;
    if (interrupt_) std::rethrow_exception(interrupt_);
    if (parent_cancel_requested_) {
        const unsigned left = parent_->uncancel();
        if (left == 0)
            cancellation_ = nullptr;
        else if (left > entered_with_ && !cancellation_ && !error_)
            cancellation_ = std::move(last_cancellation_);  // what is left is not the group's own
    }
    if (cancellation_ && !failed_) std::rethrow_exception(cancellation_);
    if (!failed_ && !error_) return;
    // A cancellation from outside stays due, its count unchanged.
    if (parent_->cancelling() > 0) {
        parent_->uncancel();
        parent_->cancel(nullptr);
    }
    throw_errors();
}

void GroupState::throw_errors() {
    try {
        std::vector<std::exception_ptr> errors;
        for (const GroupChild* child = failed_; child; child = child->next_)
            errors.push_back(child->task_->peek_exception());
        if (error_) errors.push_back(error_);
        throw ExceptionGroup("unhandled errors in a TaskGroup", std::move(errors));
    } catch (const std::bad_alloc&) {
        // No memory for the group: each error is told of in another way.
        for (const GroupChild* child = failed_; child; child = child->next_) {
            const std::exception_ptr& error = child->task_->peek_exception();
            loop_->report_error(error, [&] {
                return ExceptionContext("unhandled error in a TaskGroup", error, child->task_->task_name());
            });
        }
        if (error_)
            loop_->report_error(error_, [&] {
                return ExceptionContext("unhandled error in a TaskGroup", error_, parent_->task_name());
            });
        throw;
    }
}

std::string GroupState::repr() {
    std::size_t tasks = 0;
    UniqueFunction<void(TaskRecord&)> count = [&tasks](TaskRecord&) { ++tasks; };
    visit_children(count);
    std::size_t errors = 0;
    for (const GroupChild* child = finished_ ? nullptr : failed_; child; child = child->next_)
        ++errors;
    std::string text = "<TaskGroup";
    if (tasks > 0) text += " tasks=" + std::to_string(tasks);
    if (errors > 0) text += " errors=" + std::to_string(errors);
    if (aborting_)
        text += " cancelling";
    else if (!finished_)
        text += " entered";
    return text + ">";
}

void GroupState::visit_children(UniqueFunction<void(TaskRecord&)>& visit) {
    for (GroupChild* child = first_; child; child = child->next_)
        visit(*child->task_);
}

}  // namespace weft::detail
