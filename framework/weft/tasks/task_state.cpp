#include <weft/tasks/task_state.hpp>

#include <algorithm>
#include <cstdio>

namespace weft::detail {

constinit NotStarted not_started;

// TaskWaiter

void TaskWaiter::wake() noexcept {
    if (state_ != State::waiting) return;
    state_ = State::woken;
    task_->schedule();
}

bool TaskWaiter::cancel_wait(const std::string* message) {
    if (state_ != State::waiting) return false;
    state_ = State::cancelled;
    task_->note_cancel_message(message);
    on_cancel_wait();
    task_->schedule();
    return true;
}

void TaskWaiter::suspend(PromiseBase& promise) {
    task_ = &promise.task();
    state_ = State::waiting;
    task_->suspend(promise, this);
}

// PromiseBase

void PromiseBase::unhandled_exception() noexcept {
    exception_ = std::current_exception();
    task_->note_unwound(*this);
}

void PromiseBase::note_never_awaited() const noexcept {
    EventLoop* loop = running_loop;
    if (loop ? !loop->get_debug() : !debug_in_environment()) return;
    try {
        std::string text = std::string("coroutine '") + location_.function_name() + "' (" + location_.file_name() +
                           ":" + std::to_string(location_.line()) + ") was never awaited";
        if (!loop) {
            std::fprintf(stderr, "%s\n", text.c_str());
            return;
        }
        if (const auto* task = static_cast<TaskBase*>(loop->current_task()))
            text += "; it was dropped in " + task->describe();
        loop->log(text);
    } catch (...) {
        // No memory for a warning.
    }
}

// TaskBase

TaskBase::Extras::~Extras() = default;

inline void TaskBase::step() {
    EventLoop& loop = this->loop();
    Waiter* const waiter = std::exchange(waiter_, nullptr);
    if (must_cancel_) [[unlikely]] {
        must_cancel_ = false;
        // A wait that was cancelled raises its own error, with the message of that cancel().
        raise_cancelled_ = !(waiter && waiter->wait_was_cancelled());
        if (waiter == &not_started) {
            finish_before_start();
            return;
        }
    }
    loop.set_current_task(this);
    do {
        PromiseBase* leaf = std::exchange(leaf_, nullptr);
        continue_ = false;
        leaf->handle_.resume();
    } while (continue_);
    loop.set_current_task(nullptr);
    if (!leaf_) finish_root();
}

void TaskBase::run() {
    step();
}

void TaskBase::step_eagerly() {
    /// Also when an interrupt leaves the step.
    class Creator {
    public:
        explicit Creator(EventLoop& loop) noexcept
            : loop_(loop), task_(loop.current_task()), context_(std::exchange(context_override, nullptr)) {}
        Creator(const Creator&) = delete;
        Creator& operator=(const Creator&) = delete;
        ~Creator() {
            context_override = context_;
            loop_.set_current_task(task_);
        }

    private:
        EventLoop& loop_;
        TaskRecord* const task_;
        ContextSlot* const context_;
    };
    const Creator creator(loop());
    step();
}

/// Cancelled before its first step: the body never runs.
void TaskBase::finish_before_start() {
    leaf_ = nullptr;
    let_go_of_root();
    complete(State::cancelled);
    release();
}

inline void TaskBase::let_go_of_root() noexcept {
    root_->handle_.destroy();
    root_ = nullptr;
    raise_cancelled_ = false;
    leave_table();
}

void TaskBase::finish_root() {
    if (!root_->exception_ && !must_cancel_) [[likely]] {
        try {
            take_value();
        } catch (...) {
            root_->exception_ = std::current_exception();
        }
    }
    if (root_->exception_ || must_cancel_) [[unlikely]] {
        finish_failed();
        return;
    }
    if (extras_) [[unlikely]]
        extras_->raised = nullptr;
    let_go_of_root();
    complete(State::finished);
    release();
}

/// It ends by an exception, or was cancelled in its last step.
void TaskBase::finish_failed() {
    std::exception_ptr exception = std::move(root_->exception_);
    bool interrupt = false;
    bool cancelled = false;
    const std::exception_ptr raised = extras_ ? std::exchange(extras_->raised, nullptr) : nullptr;
    if (exception && exception == raised) {
        // To look at it is to throw it once more, which costs as much as all the rest.
        cancelled = true;
        set_cancel_message(nullptr);
    } else if (exception) {
        try {
            std::rethrow_exception(exception);
        } catch (const CancelledError& error) {
            cancelled = true;
            set_cancel_message(error.message().empty() ? nullptr : &error.message());
        } catch (const KeyboardInterrupt&) {
            interrupt = true;
        } catch (const SystemExit&) {
            interrupt = true;
        } catch (...) {}
    } else {
        must_cancel_ = false;
        cancelled = true;
    }
    let_go_of_root();
    if (!cancelled) store_exception(exception);
    complete(cancelled ? State::cancelled : State::finished);
    if (interrupt) mark_retrieved();  // it is on its way through the loop
    release();
    if (interrupt) std::rethrow_exception(exception);
}

Context TaskBase::context() {
    Extras& extras = this->extras();
    if (!extras.context) {
        extras.context = Ref<ContextState>::adopt(new ContextState(context_));
        extras.context->slot.moved_from = &context_;  // tokens made so far name that place
        share_context();
    }
    return Context(extras.context);
}

bool TaskBase::cancel(const std::string* message) {
    mark_retrieved();
    if (done()) return false;
    if (cancelling_now_) throw RuntimeError("Task.cancel: tasks wait for each other in a circle: " + repr({}));
    ++cancel_requests_;
    /// While it asks whom it waits for.
    class Asking {
    public:
        explicit Asking(TaskBase& task) noexcept : task_(task) { task_.cancelling_now_ = true; }
        Asking(const Asking&) = delete;
        Asking& operator=(const Asking&) = delete;
        ~Asking() { task_.cancelling_now_ = false; }

    private:
        TaskBase& task_;
    };
    if (waiter_) {
        const Ref<TaskBase> keep(this);
        const Asking asking(*this);
        if (waiter_->cancel_wait(message)) return true;
    }
    must_cancel_ = true;
    if (!waiter_ || !waiter_->wait_was_cancelled()) set_cancel_message(message);
    return true;
}

void TaskBase::deliver_cancel() {
    if (!waiter_) return;
    std::unique_ptr<std::string> message = exchange_cancel_message(nullptr);
    if (waiter_->cancel_wait(message.get()))
        must_cancel_ = false;
    else
        exchange_cancel_message(std::move(message));
}

void TaskBase::raise_cancelled() {
    raise_cancelled_ = false;
    const std::unique_ptr<std::string> message = exchange_cancel_message(nullptr);
    if (message) throw CancelledError(std::move(*message));
    const std::exception_ptr error = std::make_exception_ptr(CancelledError());
    try {
        extras().raised = error;
    } catch (const std::bad_alloc&) {
        // Its end is found out the long way then.
    }
    std::rethrow_exception(error);
}

void TaskBase::note_unwound(const PromiseBase& coroutine) noexcept {
    try {
        Extras& extras = this->extras();
        // An exception that comes from elsewhere than the last one's way out starts a new trace.
        if (extras.unwinds_into != &coroutine) extras.error_trace.clear();
        extras.unwinds_into = coroutine.parent();
        if (coroutine.awaits_at().line() != 0) extras.error_trace.push_back(coroutine.awaits_at());
    } catch (...) {
        // No memory for a trace: the exception itself matters more.
    }
}

ExceptionContext TaskBase::error_context(std::string message, std::exception_ptr exception) const {
    ExceptionContext context(std::move(message), std::move(exception), task_name());
    context.future = describe();
    context.created_at = spawned_at();
    return context;
}

void TaskBase::report_unretrieved() noexcept {
    mark_retrieved();
    try {
        const ContextScope scope(context_slot());
        loop().report_error(peek_exception(),
                            [&] { return error_context("Task exception was never retrieved", peek_exception()); });
    } catch (...) {
        // An interrupt cannot leave a destructor; the report was made.
    }
}

void TaskBase::report_pending() noexcept {
    try {
        const ContextScope scope(context_slot());
        loop().report_error(nullptr, [&] { return error_context("Task was destroyed but it is pending!", nullptr); });
    } catch (...) {
        // An interrupt cannot stop the loop from closing; the report was made.
    }
}

void TaskBase::destroy_pending() noexcept {
    if (!pending_is_known_) report_pending();
    leave_table();
    waiter_ = nullptr;
    if (root_) root_->handle_.destroy();
    root_ = leaf_ = nullptr;
    complete(State::cancelled);
    release();
}

// TaskRecord

std::string TaskBase::task_name() const {
    if (extras_ && extras_->name) return *extras_->name;
    return "Task-" + std::to_string(id());
}

std::string_view TaskBase::task_state() const noexcept {
    if (is_cancelled()) return "cancelled";
    if (done()) return "finished";
    return leaf_ ? "pending" : "running";
}

std::vector<std::source_location> TaskBase::await_stack() const {
    std::vector<std::source_location> stack;
    // While it runs it has no leaf, and only its outermost coroutine is known.
    for (const PromiseBase* at = leaf_ ? leaf_ : root_; at; at = at->parent())
        if (at->awaits_at().line() != 0) stack.push_back(at->awaits_at());
    std::reverse(stack.begin(), stack.end());
    return stack;
}

std::string_view TaskBase::waiting_for() const noexcept {
    if (waiter_) return waiter_->waiter_kind();
    return leaf_ ? "its next step" : "";
}

void TaskBase::visit_awaited(UniqueFunction<void(TaskRecord&)>& visit) {
    if (waiter_) waiter_->visit_awaited_tasks(visit);
}

std::string TaskBase::repr(const std::string& value) const {
    const bool cancelling = cancel_requests_ > 0 && !done();
    std::string text =
        "<Task " + (cancelling ? "cancelling" : std::string(task_state())) + " name='" + task_name() + "'";
    const PromiseBase* leaf = leaf_;
    if (leaf) {
        const PromiseBase* root = leaf;
        while (root->parent())
            root = root->parent();
        text += std::string(" coro=<") + root->awaits_at().function_name() + "> at " + leaf->awaits_at().file_name() +
                ":" + std::to_string(leaf->awaits_at().line());
    }
    if (waiter_ && waiter_ != &not_started) text += " wait_for=<" + std::string(waiter_->waiter_kind()) + ">";
    if (done() && !is_cancelled())
        text += has_exception() ? " exception=" + describe_exception(peek_exception())
                : value.empty() ? std::string()
                                : " result=" + value;
    return text + ">";
}

}  // namespace weft::detail
