#include <weft/tasks/future.hpp>

namespace weft::detail {

void throw_not_awaitable_here(FutureBase& state) {
    if (&state.loop() != &get_running_loop()) throw RuntimeError("Task got Future attached to a different loop");
    throw RuntimeError("Task cannot await on itself: " + state.as_task()->task_name());
}

void throw_empty_future() {
    throw RuntimeError("the Future is empty: none was assigned to it");
}

void throw_already_awaited() {
    throw RuntimeError("cannot reuse already awaited coroutine");
}

void throw_other_loop() {
    throw ValueError("The future belongs to a different loop than the one specified as the loop argument");
}

}  // namespace weft::detail
