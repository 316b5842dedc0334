#pragma once
// Task<T>: a coroutine that runs beside others (asyncio.Task), and create_task(), which makes one.
//
//     Task<int> task = create_task(fetch(url));
//     Task<> other = create_task([name]() -> Coro<> { ... co_return; });    // keeps the lambda alive
//     task.cancel();
//     int n = co_await task;                      // throws CancelledError if it was cancelled
//
// The loop owns a task until it is done; a handle may be dropped. Its first step runs in the next iteration.

#include <weft/tasks/future.hpp>

#include <concepts>
#include <functional>
#include <optional>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace weft {

/// How a task is made.
class TaskOptions {
public:
    TaskOptions() = default;
    /// Default `Task-N`, counted over the process.
    TaskOptions& name(std::string value) & {
        name_ = std::move(value);
        return *this;
    }
    TaskOptions&& name(std::string value) && { return std::move(name(std::move(value))); }
    /// Runs the first step inside create_task(), if the loop is running.
    TaskOptions& eager_start(bool value) & {
        eager_start_ = value;
        return *this;
    }
    TaskOptions&& eager_start(bool value) && { return std::move(eager_start(value)); }
    /// Runs in this context instead of a copy of the current one.
    TaskOptions& context(Context value) & {
        context_ = std::move(value);
        return *this;
    }
    TaskOptions&& context(Context value) && { return std::move(context(std::move(value))); }

    const std::optional<std::string>& name() const noexcept { return name_; }
    /// Empty if that was not said.
    std::optional<bool> eager_start() const noexcept { return eager_start_; }
    const std::optional<Context>& context() const noexcept { return context_; }

private:
    std::optional<std::string> name_;
    std::optional<bool> eager_start_;
    std::optional<Context> context_;
};

/// A task factory for loop.set_task_factory(): tasks run their first step inside create_task(), unless their options
/// say otherwise (asyncio.eager_task_factory).
TaskOptions eager_task_factory(EventLoop& loop, TaskOptions options);

namespace detail {

template <class T>
class TypedTask final : public WithValue<T, TaskBase> {
public:
    static Ref<TypedTask> start(EventLoop& loop, Coro<T>&& coro, std::source_location location);
    static Ref<TypedTask> start_with(EventLoop& loop, Coro<T>&& coro, const TaskOptions& options,
                                     std::source_location location);

private:
    TypedTask(EventLoop& loop, ContextSlot context) noexcept : WithValue<T, TaskBase>(loop, std::move(context)) {}
    void take_value() override { this->value_.emplace(static_cast<Promise<T>*>(this->root_)->take_stored()); }
};

}  // namespace detail

/// A shared handle to a task; also a Future of its result.
template <class T = void>
class Task : public Future<T> {
public:
    Task() noexcept = default;
    explicit Task(detail::Ref<detail::FutureBase> state) noexcept : Future<T>(std::move(state)) {}

    /// Asks the task to end: CancelledError is raised at its await, in the next iteration at the earliest. False if it
    /// is done. Each call counts; the task may refuse by catching the error.
    using Future<T>::cancel;
    /// Requests to cancel that were not taken back.
    unsigned cancelling() const { return task().cancelling(); }
    /// Takes one request back and returns how many are left; at 0 a request that was not delivered yet is dropped.
    unsigned uncancel() { return task().uncancel(); }

    std::string name() const { return task().task_name(); }
    std::string get_name() const { return name(); }
    void set_name(std::string name) { task().set_name(std::move(name)); }
    /// The context it runs in.
    Context get_context() const { return task().context(); }
    /// Where each coroutine of the task waits, outermost first; empty once it is done.
    std::vector<std::source_location> get_stack() const { return task().await_stack(); }
    /// Writes the await stack to standard error.
    void print_stack() const;

    /// As of a future; `fn` takes the task, the future, or nothing.
    template <class F>
    detail::DoneCallbackId add_done_callback(F&& fn) {
        return Future<T>::add_done_callback(with_task(std::forward<F>(fn)));
    }
    template <class F>
    detail::DoneCallbackId add_done_callback(const Context& context, F&& fn) {
        return Future<T>::add_done_callback(context, with_task(std::forward<F>(fn)));
    }

    /// A task's result is its coroutine's.
    template <class... U>
    void set_result(U&&...) = delete;
    template <class... U>
    void set_exception(U&&...) = delete;

    detail::TaskBase& task() const { return *this->require().as_task(); }

private:
    template <class F>
    static auto with_task(F&& fn) {
        if constexpr (std::is_invocable_v<std::decay_t<F>&, Task>)
            return
                [fn = std::decay_t<F>(std::forward<F>(fn))](const Future<T>& done) mutable { fn(Task(done.state())); };
        else
            return std::decay_t<F>(std::forward<F>(fn));
    }
};

namespace detail {

std::string format_stack(const TaskRecord& task);
void write_stderr(const std::string& text);

[[noreturn]] void throw_consumed_coroutine();

template <class T>
Ref<TypedTask<T>> TypedTask<T>::start(EventLoop& loop, Coro<T>&& coro, std::source_location location) {
    if (loop.is_special() || !coro) [[unlikely]]
        return start_with(loop, std::move(coro), TaskOptions(), location);
    auto task = Ref<TypedTask>::adopt(new TypedTask(loop, ContextSlot::copy_of_current()));
    task->TaskBase::start(std::exchange(coro.handle_, nullptr).promise(), location);
    return task;
}

template <class T>
Ref<TypedTask<T>> TypedTask<T>::start_with(EventLoop& loop, Coro<T>&& coro, const TaskOptions& given,
                                           std::source_location location) {
    loop.check_usable();
    if (!coro) throw_consumed_coroutine();
    std::optional<TaskOptions> decided;
    if (const TaskFactory& factory = loop.get_task_factory()) decided = factory(loop, given);
    const TaskOptions& options = decided ? *decided : given;
    auto task = Ref<TypedTask>::adopt(new TypedTask(loop, ContextSlot::copy_of_current()));
    if (options.name()) task->set_name(*options.name());
    if (options.context()) task->set_context(*options.context());
    PromiseBase& root = std::exchange(coro.handle_, nullptr).promise();
    if (options.eager_start().value_or(false) && running_loop == &loop)
        task->start_eagerly(root, location);
    else
        task->TaskBase::start(root, location);
    return task;
}

/// Keeps a callable and its arguments in a coroutine's frame while the coroutine it makes runs.
template <class F, class... Args>
std::invoke_result_t<F&, Args...> run_owned(F fn, Args... args) {
    co_return co_await std::invoke(fn, std::move(args)...);
}

/// Any awaitable as a coroutine that owns it.
template <class A>
Coro<await_result_t<A>> as_coroutine(A awaitable) {
    co_return co_await std::move(awaitable);
}

template <class F, class... Args>
concept CoroFunction = std::invocable<std::decay_t<F>&, std::decay_t<Args>...>;

template <class F, class... Args>
auto make_owned(F&& fn, Args&&... args) {
    using Result = std::invoke_result_t<std::decay_t<F>&, std::decay_t<Args>...>;
    static_assert(CoroType<Result>, "create_task needs a coroutine: a function that returns a weft::Coro");
    if constexpr (sizeof...(Args) == 0 && std::is_empty_v<std::decay_t<F>>)
        return fn();  // nothing to keep
    else
        return run_owned<std::decay_t<F>, std::decay_t<Args>...>(std::forward<F>(fn), std::forward<Args>(args)...);
}

}  // namespace detail

/// Schedules `coro` on the running loop (asyncio.create_task). RuntimeError if there is none.
template <class T>
Task<T> create_task(Coro<T> coro, TaskOptions options,
                    std::source_location location = std::source_location::current()) {
    return Task<T>(detail::TypedTask<T>::start_with(get_running_loop(), std::move(coro), options, location));
}
template <class T>
Task<T> create_task(Coro<T> coro, std::source_location location = std::source_location::current()) {
    return Task<T>(detail::TypedTask<T>::start(get_running_loop(), std::move(coro), location));
}
/// Schedules `fn(args...)`, a coroutine; `fn` and `args` are moved into the task, so captures and arguments live as
/// long as it runs.
template <class F>
    requires detail::CoroFunction<F>
auto create_task(F&& fn, std::source_location location = std::source_location::current()) {
    return create_task(detail::make_owned(std::forward<F>(fn)), location);
}
template <class F, class A>
    requires detail::CoroFunction<F, A>
auto create_task(F&& fn, A&& a, std::source_location location = std::source_location::current()) {
    return create_task(detail::make_owned(std::forward<F>(fn), std::forward<A>(a)), location);
}
template <class F, class A, class B>
    requires detail::CoroFunction<F, A, B>
auto create_task(F&& fn, A&& a, B&& b, std::source_location location = std::source_location::current()) {
    return create_task(detail::make_owned(std::forward<F>(fn), std::forward<A>(a), std::forward<B>(b)), location);
}
template <class F, class A, class B, class C, class... More>
    requires detail::CoroFunction<F, A, B, C, More...>
auto create_task(F&& fn, A&& a, B&& b, C&& c, More&&... more) {
    return create_task(detail::make_owned(std::forward<F>(fn), std::forward<A>(a), std::forward<B>(b),
                                          std::forward<C>(c), std::forward<More>(more)...),
                       std::source_location());
}

/// The same for another awaitable: create_task(sleep(1s)).
template <detail::OtherAwaitable A>
auto create_task(A&& awaitable, std::source_location location = std::source_location::current()) {
    return create_task(detail::as_coroutine(std::forward<A>(awaitable)), location);
}
/// Compilers show this line to who calls create_task with something else.
template <class T>
    requires(!Awaitable<T> && !detail::CoroFunction<T>)
void create_task(T&&) = delete;  // create_task needs a coroutine: a Coro, or a function that returns one

/// A Future or Task as it is; anything else awaitable as a new task (asyncio.ensure_future).
template <Awaitable A>
auto ensure_future(A&& awaitable, std::source_location location = std::source_location::current()) {
    if constexpr (detail::FutureType<A>)
        return std::remove_cvref_t<A>(std::forward<A>(awaitable));
    else
        return create_task(std::forward<A>(awaitable), location);
}

namespace detail {

[[noreturn]] void throw_no_task();

}  // namespace detail

/// The task that runs now, without its result type; false if there is none.
class CurrentTask {
public:
    explicit CurrentTask(detail::TaskBase* task) noexcept : task_(task) {}
    explicit operator bool() const noexcept { return static_cast<bool>(task_); }
    bool cancel() { return request_cancel(nullptr); }
    bool cancel(const std::string& message) { return request_cancel(&message); }
    unsigned cancelling() const { return task().cancelling(); }
    unsigned uncancel() { return task().uncancel(); }
    bool done() const { return task().done(); }
    bool cancelled() const { return task().is_cancelled(); }
    std::string name() const { return task().task_name(); }
    std::string get_name() const { return name(); }
    void set_name(std::string name) { task().set_name(std::move(name)); }
    Context get_context() const { return task().context(); }
    std::vector<std::source_location> get_stack() const { return task().await_stack(); }
    void print_stack() const { detail::write_stderr(detail::format_stack(task())); }
    EventLoop& get_loop() const { return task().loop(); }
    /// As asyncio's repr: state, name and where it waits.
    std::string repr() const { return task_ ? task_->describe() : "<Task>"; }
    /// The same task.
    bool operator==(const CurrentTask& other) const noexcept { return task_ == other.task_; }
    template <class T>
    bool operator==(const Task<T>& other) const noexcept {
        return task_.get() == other.state().get();
    }
    /// RuntimeError if this is false.
    detail::TaskBase& task() const {
        if (!task_) [[unlikely]]
            detail::throw_no_task();
        return *task_;
    }

private:
    bool request_cancel(const std::string* message) {
        task().require_own_thread();
        return task_->cancel(message);
    }
    detail::Ref<detail::TaskBase> task_;
};
using AnyTask = CurrentTask;

/// The task that runs now; false in a plain callback. RuntimeError if no loop runs on this thread.
CurrentTask current_task();
/// The task that runs now on `loop`. On its thread, or while it does not run; unlike asyncio's, not from another
/// thread: ask the loop there, through call_soon_threadsafe() or run_coroutine_threadsafe(). In debug mode that is a
/// RuntimeError.
CurrentTask current_task(EventLoop& loop);
/// The tasks of the running loop that are not done, in the order they were made.
std::vector<AnyTask> all_tasks();
/// Those of `loop`; from where, see current_task(loop).
std::vector<AnyTask> all_tasks(EventLoop& loop);

template <class T>
void Task<T>::print_stack() const {
    detail::write_stderr(detail::format_stack(task()));
}

template <class T>
Task<T> EventLoop::create_task(Coro<T> coro, TaskOptions options, std::source_location location) {
    return Task<T>(detail::TypedTask<T>::start_with(*this, std::move(coro), options, location));
}
template <class T>
Task<T> EventLoop::create_task(Coro<T> coro, std::source_location location) {
    return Task<T>(detail::TypedTask<T>::start(*this, std::move(coro), location));
}

template <detail::FractionalDuration D>
Coro<void> EventLoop::shutdown_default_executor(D limit) {
    return shutdown_default_executor(std::optional<Duration>(detail::to_duration(limit)));
}

namespace detail {

/// Runs the loop until the future is done; throws if it was stopped first.
void run_until_done(EventLoop& loop, FutureBase& future);

template <class A>
auto ensure_future_on(EventLoop& loop, A&& awaitable) {
    if constexpr (FutureType<A>) {
        check_loop_of(awaitable.require(), loop);
        return Future<await_result_t<A>>(awaitable);
    } else if constexpr (CoroType<A>) {
        return Future<await_result_t<A>>(loop.create_task(std::move(awaitable)));
    } else {
        return Future<await_result_t<A>>(loop.create_task(as_coroutine(std::forward<A>(awaitable))));
    }
}

}  // namespace detail

template <class A>
decltype(auto) EventLoop::run_until_complete(A&& awaitable) {
    static_assert(Awaitable<A>, "run_until_complete needs a Coro, a Future, a Task or another awaitable");
    using T = await_result_t<A>;
    check_can_run();
    Future<T> future = detail::ensure_future_on(*this, std::forward<A>(awaitable));
    if constexpr (!detail::FutureType<A>) future.state()->as_task()->note_pending_is_known();  // by what this throws
    detail::run_until_done(*this, *future.state());
    future.state()->require_value();
    return detail::take_value_of<T>(*future.state(), !future.state()->is_shared());
}

}  // namespace weft

template <class T>
struct std::hash<weft::Task<T>> : std::hash<weft::Future<T>> {};
