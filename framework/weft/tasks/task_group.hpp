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
#include <optional>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace weft {

namespace detail {

/// The state of a group, which its children's callbacks may outlive.
class GroupState final : public Pooled {
public:
    explicit GroupState(EventLoop& loop, Ref<TaskBase> parent) noexcept : loop_(&loop), parent_(std::move(parent)) {}

    void add_ref() noexcept { ++refs_; }
    void release() noexcept {
        if (--refs_ == 0) delete this;
    }

    /// RuntimeError if no task can be added any more.
    void check_open() const;
    void add(Ref<TaskBase> task);
    void cancel();
    /// The body ended with `error` or null: waits for the children and throws what the group ends with.
    Coro<> exit(std::exception_ptr error);

    void visit_children(UniqueFunction<void(TaskRecord&)>& visit);
    std::string repr();

private:
    class Child;
    ~GroupState();
    void child_done(Child& child);
    void abort();
    bool is_interrupt(const std::exception_ptr& error) const;

    EventLoop* loop_;
    Ref<TaskBase> parent_;
    std::uint32_t refs_ = 1;
    bool exiting_ = false;
    bool aborting_ = false;
    bool finished_ = false;
    bool parent_cancel_requested_ = false;
    Child* first_ = nullptr;  // children that are not done
    Child* last_ = nullptr;
    Future<> all_done_;
    std::vector<std::exception_ptr> errors_;
    std::exception_ptr interrupt_;
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
        return added(weft::create_task(std::move(coro), std::move(options), location));
    }
    template <class T>
    Task<T> create_task(Coro<T> coro, std::source_location location = std::source_location::current()) {
        state_->check_open();
        return added(weft::create_task(std::move(coro), location));
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
    Task<T> added(Task<T> task) {
        state_->add(detail::Ref<detail::TaskBase>(&task.task()));
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
    co_await state->exit(std::move(error));
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
