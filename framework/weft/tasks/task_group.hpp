#pragma once
// task_group: structured concurrency (asyncio.TaskGroup, `async with` as a body).
//
//     co_await task_group([&](TaskGroup& group) -> Coro<> {
//         group.create_task(fetch(1));
//         group.create_task(fetch(2));
//         co_return;
//     });                                              // both have ended here
//
// When a child fails, its siblings and the body are cancelled; when all have ended, their errors are thrown as one
// ExceptionGroup. A child that is only cancelled does not count. The body's value is returned. With g++ 12 a body that
// owns its captures needs a name; see timeout().

#include <weft/tasks/timeout.hpp>

#include <exception>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace weft {

namespace detail {

class GroupState;
class GroupWait;

/// One child: told through the ready queue when it is done.
class GroupChild final : public ReadyNode, public Pooled {
public:
    void run() override;
    void discard() noexcept override;
    std::string describe() const override { return "<TaskGroup callback>"; }

private:
    friend class GroupState;
    void leave() noexcept;

    Ref<GroupState> group_;  // while it is not done
    Ref<TaskBase> task_;
    GroupChild* previous_ = nullptr;
    GroupChild* next_ = nullptr;
};

/// The state of a group, which its children's callbacks may outlive.
class GroupState final : public Pooled {
public:
    explicit GroupState(EventLoop& loop, Ref<TaskBase> parent) noexcept
        : loop_(&loop), parent_(std::move(parent)), entered_with_(parent_->cancelling()) {}

    void add_ref() noexcept { ++refs_; }
    void release() noexcept {
        if (--refs_ == 0) delete this;
    }

    /// RuntimeError if no task can be added any more.
    void check_open() const;
    /// `child` is made before its task, so that no task runs that the group does not know.
    void add(std::unique_ptr<GroupChild> child, Ref<TaskBase> task);
    void cancel();

    // At the end, which must not need memory while children run.

    /// The body ended with `error` or null.
    void body_ended(std::exception_ptr error);
    bool has_children() const noexcept { return first_ != nullptr; }
    /// The wait for the children was cancelled.
    void wait_cancelled(std::exception_ptr cancellation);
    /// All children have ended: throws what the group ends with.
    void finish();

    void visit_children(UniqueFunction<void(TaskRecord&)>& visit);
    std::string repr();

private:
    friend class GroupChild;
    friend class GroupWait;
    ~GroupState();
    /// True if the child had an error, which it is kept for.
    bool child_done(GroupChild& child);
    void abort();
    [[noreturn]] void throw_errors();

    EventLoop* loop_;
    Ref<TaskBase> parent_;
    const unsigned entered_with_;  // requests to cancel the parent that were there before
    std::uint32_t refs_ = 1;
    bool exiting_ = false;
    bool aborting_ = false;
    bool finished_ = false;
    bool parent_cancel_requested_ = false;
    GroupChild* first_ = nullptr;  // children that are not done
    GroupChild* last_ = nullptr;
    GroupChild* failed_ = nullptr;  // in the order in which they failed
    GroupChild* last_failed_ = nullptr;
    GroupWait* wait_ = nullptr;
    std::exception_ptr error_;  // the body's
    std::exception_ptr cancellation_;
    std::exception_ptr last_cancellation_;  // of the wait for the children, whoever asked for it
    std::exception_ptr interrupt_;
};

/// What the parent awaits while children run; a dump sees them through it.
class GroupWait final : public TaskWaiter, public LeafTag {
public:
    using value_type = void;

    explicit GroupWait(GroupState& group) noexcept : group_(group) {}
    ~GroupWait() { group_.wait_ = nullptr; }

    std::string_view waiter_kind() const noexcept override { return "TaskGroup"; }
    void visit_awaited_tasks(UniqueFunction<void(TaskRecord&)>& visit) override { group_.visit_children(visit); }
    bool await_ready() const noexcept { return !group_.has_children(); }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) {
        group_.wait_ = this;
        suspend(handle.promise());
    }
    void await_resume() { end_wait(); }

private:
    void on_cancel_wait() noexcept override {}
    GroupState& group_;
};

}  // namespace detail

/// Handed to the body of task_group(); copies mean the same group.
class TaskGroup {
public:
    explicit TaskGroup(detail::Ref<detail::GroupState> state) noexcept : state_(std::move(state)) {}

    /// Adds a task (asyncio.TaskGroup.create_task). RuntimeError, and the coroutine is destroyed unrun, if the group
    /// has ended or is shutting down.
    template <class T>
    Task<T> create_task(Coro<T> coro, TaskOptions options,
                        std::source_location location = std::source_location::current()) {
        state_->check_open();
        auto child = std::make_unique<detail::GroupChild>();
        return added(std::move(child), weft::create_task(std::move(coro), std::move(options), location));
    }
    template <class T>
    Task<T> create_task(Coro<T> coro, std::source_location location = std::source_location::current()) {
        state_->check_open();
        auto child = std::make_unique<detail::GroupChild>();
        return added(std::move(child), weft::create_task(std::move(coro), location));
    }
    /// The same for another awaitable: group.create_task(sleep(1s)).
    template <detail::OtherAwaitable A>
    auto create_task(A&& awaitable, std::source_location location = std::source_location::current()) {
        return create_task(detail::as_coroutine(std::forward<A>(awaitable)), location);
    }
    /// The same for `fn(args...)`, which is kept for as long as the task runs.
    template <class F, class... Args>
        requires(sizeof...(Args) > 1 && detail::CoroFunction<F, Args...>)
    auto create_task(F&& fn, Args&&... args) {
        state_->check_open();
        return create_task(detail::make_owned(std::forward<F>(fn), std::forward<Args>(args)...),
                           std::source_location());
    }
    template <class F>
        requires detail::CoroFunction<F>
    auto create_task(F&& fn, std::source_location location = std::source_location::current()) {
        state_->check_open();
        return create_task(detail::make_owned(std::forward<F>(fn)), location);
    }
    template <class F, class A>
        requires detail::CoroFunction<F, A>
    auto create_task(F&& fn, A&& a, std::source_location location = std::source_location::current()) {
        state_->check_open();
        return create_task(detail::make_owned(std::forward<F>(fn), std::forward<A>(a)), location);
    }
    /// Cancels the children and the body; task_group() then ends without an error of its own. Calling it again does
    /// nothing.
    void cancel() { state_->cancel(); }
    /// As asyncio's repr: "<TaskGroup tasks=2 errors=1 cancelling entered>".
    std::string repr() const { return state_->repr(); }

private:
    template <class T>
    Task<T> added(std::unique_ptr<detail::GroupChild> child, Task<T> task) {
        state_->add(std::move(child), detail::Ref<detail::TaskBase>(&task.task()));
        return task;
    }

    detail::Ref<detail::GroupState> state_;
};

namespace detail {

Ref<GroupState> enter_group();

template <class F>
Coro<body_result_t<F, TaskGroup>> run_task_group(F body) {
    using T = body_result_t<F, TaskGroup>;
    Ref<GroupState> state = enter_group();
    TaskGroup group(state);
    std::optional<stored_t<T>> value;
    std::exception_ptr error;
    try {
        if constexpr (std::is_void_v<T>)
            co_await invoke_body(body, group);
        else if constexpr (std::is_reference_v<T>)
            value.emplace(&co_await invoke_body(body, group));
        else
            value.emplace(co_await invoke_body(body, group));
    } catch (...) {
        error = std::current_exception();
    }
    state->body_ended(std::move(error));
    // In a loop: the parent may be cancelled again while the children end.
    while (state->has_children()) {
        try {
            co_await GroupWait(*state);
        } catch (const CancelledError&) {
            state->wait_cancelled(std::current_exception());
        }
    }
    state->finish();
    if constexpr (std::is_reference_v<T>)
        co_return **value;
    else if constexpr (!std::is_void_v<T>) {
        // cancel() may have ended the body before it had a value.
        if (!value) throw CancelledError("TaskGroup was cancelled before its body returned");
        co_return std::move(*value);
    }
}

}  // namespace detail

/// Runs `body` with a group and waits for every task in it.
template <class F>
auto task_group(F&& body) {
    WEFT_DETAIL_CHECK_BODY(F);
    return detail::run_task_group<detail::body_t<F>>(std::forward<F>(body));
}

}  // namespace weft
