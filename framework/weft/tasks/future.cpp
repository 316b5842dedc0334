#include <weft/tasks/future.hpp>

namespace weft::detail {

void check_awaitable_here(FutureBase& state) {
    EventLoop& loop = get_running_loop();
    if (&state.loop() != &loop) throw RuntimeError("Task got Future attached to a different loop");
    TaskBase* task = state.as_task();
    if (task && static_cast<TaskRecord*>(task) == loop.current_task())
        throw RuntimeError("Task cannot await on itself: " + task->task_name());
}

}  // namespace weft::detail
