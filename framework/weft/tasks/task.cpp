#include <weft/tasks/task.hpp>

#include <cstdio>

namespace weft {

namespace detail {

std::string format_stack(const TaskRecord& task) {
    std::string text = "Stack for Task '" + task.task_name() + "' (most recent call last):\n";
    for (const std::source_location& at : task.await_stack())
        text += "  File \"" + std::string(at.file_name()) + "\", line " + std::to_string(at.line()) + ", in " +
                at.function_name() + "\n";
    return text;
}

void throw_consumed_coroutine() {
    throw RuntimeError("create_task: the coroutine was awaited or moved from already");
}

void write_stderr(const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stderr);
}

void run_until_done(EventLoop& loop, FutureBase& future) {
    // Stops the loop when the future is done; taken back if the run ends in another way.
    auto* stopper = new DoneCallback(future, [&loop, &future] {
        const std::exception_ptr error = future.is_cancelled() ? nullptr : future.take_error();
        // An interrupt has left the loop already: do not stop its next run.
        if (!error || !(holds<KeyboardInterrupt>(error) || holds<SystemExit>(error))) loop.stop();
    });
    struct Remove {
        FutureBase& future;
        DoneCallback* stopper;
        ~Remove() {
            if (!future.done()) future.remove_callback(*stopper);
        }
    } remove{future, stopper};
    future.add_callback(*stopper);
    loop.run_forever();
    if (!future.done()) throw RuntimeError("Event loop stopped before Future completed.");
}

}  // namespace detail

void detail::throw_no_task() {
    throw RuntimeError("no task runs: this stands for none");
}

TaskOptions eager_task_factory(EventLoop&, TaskOptions options) {
    if (!options.eager_start()) options.eager_start(true);
    return options;
}

CurrentTask current_task() {
    return current_task(get_running_loop());
}

namespace {

/// What a loop runs is known on its thread only.
void check_readable_here(EventLoop& loop) {
    if (detail::running_loop != &loop) [[unlikely]]
        detail::check_own_thread(&loop);
}

}  // namespace

CurrentTask current_task(EventLoop& loop) {
    check_readable_here(loop);
    return CurrentTask(static_cast<detail::TaskBase*>(loop.current_task()));
}

std::vector<AnyTask> all_tasks() {
    return all_tasks(get_running_loop());
}

std::vector<AnyTask> all_tasks(EventLoop& loop) {
    check_readable_here(loop);
    std::vector<AnyTask> tasks;
    detail::TaskTable& table = loop.task_table();
    tasks.reserve(table.size());
    for (detail::TaskRecord* task = table.first(); task; task = detail::TaskTable::after(*task))
        tasks.emplace_back(static_cast<detail::TaskBase*>(task));
    return tasks;
}

}  // namespace weft
