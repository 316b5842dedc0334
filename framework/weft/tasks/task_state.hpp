#pragma once
// TaskBase: a future that drives a coroutine, and PromiseBase: what every coroutine of a task has.
//
// A task resumes its innermost suspended coroutine (its leaf). A coroutine that finishes while the one awaiting it is
// still inside its co_await just returns; one that finishes later hands over to its parent through the task's loop, so
// neither needs a tail call and no chain of awaits grows the stack.

#include <weft/base/exceptions.hpp>
#include <weft/loop/context.hpp>
#include <weft/tasks/future_state.hpp>

#include <coroutine>
#include <cstdint>
#include <exception>
#include <memory>
#include <source_location>
#include <string>
#include <vector>

namespace weft::detail {

class TaskBase;

/// The untyped part of a coroutine's promise.
class PromiseBase {
public:
    static void* operator new(std::size_t size) { return pool_allocate(size); }
    static void operator delete(void* block, std::size_t size) noexcept { pool_free(block, size); }

    std::suspend_always initial_suspend() const noexcept { return {}; }

    struct FinalAwaiter {
        bool await_ready() const noexcept { return false; }
        template <class P>
        void await_suspend(std::coroutine_handle<P> handle) const noexcept {
            handle.promise().finish();
        }
        void await_resume() const noexcept {}
    };
    FinalAwaiter final_suspend() const noexcept { return {}; }
    void unhandled_exception() noexcept;

    /// Records where the coroutine waits and turns `awaited` into an awaiter; see await.hpp.
    template <class A>
    decltype(auto) await_transform(A&& awaited, std::source_location location = std::source_location::current());

    /// Starts this coroutine inside its parent's co_await; true if it suspended.
    bool start_in(PromiseBase& parent) {
        parent_ = &parent;
        task_ = parent.task_;
        synchronous_ = true;
        handle_.resume();
        if (handle_.done()) return false;
        synchronous_ = false;
        return true;
    }
    inline void finish() noexcept;

    TaskBase& task() const noexcept { return *task_; }
    PromiseBase* parent() const noexcept { return parent_; }
    const std::source_location& awaits_at() const noexcept { return location_; }
    void rethrow_if_failed() {
        if (exception_) [[unlikely]]
            std::rethrow_exception(std::move(exception_));
    }
    /// False while nothing has awaited it.
    bool was_started() const noexcept { return task_ != nullptr; }
    /// A coroutine is dropped that nothing has awaited: in debug mode the loop's log says so, or, where no loop runs
    /// and the environment asks for debug mode, standard error.
    void note_never_awaited() const noexcept;

protected:
    PromiseBase(std::coroutine_handle<> handle, std::source_location body) noexcept
        : handle_(handle), location_(body) {}
    ~PromiseBase() = default;

    const std::coroutine_handle<> handle_;
    PromiseBase* parent_ = nullptr;
    TaskBase* task_ = nullptr;

private:
    friend class TaskBase;

    std::source_location location_;  // of its body, then of its last await
    std::exception_ptr exception_;

protected:
    bool synchronous_ = false;  // its parent is still inside the co_await that started it
};

/// What a task waits for before its first step.
class NotStarted final : public Waiter {
public:
    bool cancel_wait(const std::string*) override { return false; }
    bool wait_was_cancelled() const noexcept override { return false; }
    std::string_view waiter_kind() const noexcept override { return "its first step"; }
};
extern NotStarted not_started;

/// The untyped part of a task's state.
class TaskBase : public ReadyNode, public FutureBase, public TaskRecord {
public:
    /// Takes the root coroutine and schedules the first step.
    void start(PromiseBase& root, std::source_location location) {
        attach(root, location);
        loop().schedule(*this);
    }
    /// Takes the root coroutine and runs the first step now.
    void start_eagerly(PromiseBase& root, std::source_location location) {
        attach(root, location);
        step_eagerly();
    }

    // ReadyNode
    void run() final;
    void discard() noexcept final {}  // the table destroys pending tasks
    std::string describe() const final { return repr({}); }

    // Future
    std::string repr(const std::string& value) const final;
    bool cancel(const std::string* message) final;
    TaskBase* as_task() noexcept final { return this; }
    std::string_view waiter_kind() const noexcept final { return "Task"; }
    void visit_awaited_tasks(UniqueFunction<void(TaskRecord&)>& visit) final { visit(*this); }

    // Task
    unsigned cancelling() const noexcept { return cancel_requests_; }
    unsigned uncancel() noexcept {
        if (cancel_requests_ > 0 && --cancel_requests_ == 0) must_cancel_ = false;
        return cancel_requests_;
    }
    void set_name(std::string name) { extras().name = std::move(name); }
    /// The context that the task runs in, to share.
    Context context();
    /// Before the first step: runs in `context` instead of a copy of the creator's.
    void set_context(const Context& context) {
        extras().context = context.state();
        share_context();
    }
    /// Somebody was told already that it did not end: the loop does not report it when it closes.
    void note_pending_is_known() noexcept { pending_is_known_ = true; }
    /// Where the exception that ended the task passed, innermost first.
    const std::vector<std::source_location>* error_trace() const noexcept {
        return extras_ ? &extras_->error_trace : nullptr;
    }

    /// What the exception handler is told about this task.
    ExceptionContext error_context(std::string message, std::exception_ptr exception) const;

    // TaskRecord
    std::string task_name() const final;
    std::string_view task_state() const noexcept final;
    std::vector<std::source_location> await_stack() const final;
    std::string_view waiting_for() const noexcept final;
    void visit_awaited(UniqueFunction<void(TaskRecord&)>& visit) final;
    SharedContextSlot& shared_context_slot() noexcept final { return extras_->context->slot; }
    void destroy_pending() noexcept final;

    // For awaiters

    /// The coroutine stops here until run() is called again; `waiter` is whom to ask to cancel the wait.
    void suspend(PromiseBase& leaf, Waiter* waiter) {
        leaf_ = &leaf;
        waiter_ = waiter;
        if (must_cancel_) [[unlikely]]
            deliver_cancel();
    }
    /// The coroutine stops here until the next iteration. A cancellation that is asked for is raised then.
    void yield(PromiseBase& leaf) noexcept {
        leaf_ = &leaf;
        schedule();
    }
    /// Puts the task into the ready queue; it must be suspended and not be there.
    void schedule() noexcept { loop().schedule(*static_cast<ReadyNode*>(this)); }
    /// True once if this step was asked to raise CancelledError.
    void check_cancelled(bool wait_cancelled) {
        if (raise_cancelled_ || wait_cancelled) [[unlikely]]
            raise_cancelled();
    }
    /// True if the next step will raise CancelledError.
    bool must_cancel() const noexcept { return must_cancel_; }
    void note_cancel_message(const std::string* message) { set_cancel_message(message); }

    // For coroutines
    void leaf_finished(PromiseBase* parent) noexcept {
        leaf_ = parent;
        continue_ = parent != nullptr;
    }
    void note_unwound(const PromiseBase& coroutine) noexcept;

protected:
    TaskBase(EventLoop& loop, ContextSlot context) noexcept : FutureBase(loop, true), TaskRecord(std::move(context)) {}
    ~TaskBase() override { report_if_unretrieved(); }

    /// The root has finished without an exception: take its value.
    virtual void take_value() = 0;
    void report_unretrieved() noexcept final;

private:
    /// What few tasks have.
    struct Extras {
        Extras() = default;
        ~Extras();
        std::optional<std::string> name;
        Ref<ContextState> context;  // in place of context_
        std::exception_ptr raised;  // the CancelledError that was raised last, if it has no message
        std::vector<std::source_location> error_trace;
        const PromiseBase* unwinds_into = nullptr;  // the coroutine that the last entry's exception reached
    };
    Extras& extras() {
        if (!extras_) extras_ = std::make_unique<Extras>();
        return *extras_;
    }

    void attach(PromiseBase& root, std::source_location location) {
        root.task_ = this;
        root_ = leaf_ = &root;
        waiter_ = &not_started;
        loop().task_table().add(*this, location);
        add_ref();  // the table's, until the task is done
    }
    inline void step();
    void step_eagerly();
    void finish_root();
    void finish_failed();
    void finish_before_start();
    void report_pending() noexcept;
    /// Before complete(): the coroutine goes, and the loop does not hold this any more, except by its reference.
    inline void let_go_of_root() noexcept;
    void leave_table() noexcept { loop().task_table().remove(*this); }
    void deliver_cancel();
    [[noreturn]] void raise_cancelled();

protected:
    PromiseBase* root_ = nullptr;

private:
    PromiseBase* leaf_ = nullptr;  // whom to resume; null while it runs
    Waiter* waiter_ = nullptr;     // not_started before the first step
    std::unique_ptr<Extras> extras_;
    std::uint32_t cancel_requests_ = 0;
    bool continue_ = false;             // leaf_ is the parent of a coroutine that just finished
    bool cancelling_now_ : 1 = false;   // in cancel()
    bool must_cancel_ : 1 = false;      // raise CancelledError at the next step
    bool raise_cancelled_ : 1 = false;  // raise it in this step
    bool pending_is_known_ : 1 = false;
};

inline void PromiseBase::finish() noexcept {
    if (!synchronous_) task_->leaf_finished(parent_);
}

inline void TaskWaiter::yield(PromiseBase& promise) {
    task_ = &promise.task();
    task_->yield(promise);
}

inline void TaskWaiter::end_wait() {
    if (task_) task_->check_cancelled(state_ == State::cancelled);
}

}  // namespace weft::detail
