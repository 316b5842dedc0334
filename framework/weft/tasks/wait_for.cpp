#include <weft/tasks/wait_for.hpp>

#include <weft/tasks/wait.hpp>

namespace weft::detail {

Coro<> cancel_and_wait(Ref<FutureBase> future) {
    check_awaitable_here(*future);  // before it is touched
    // Not awaited directly: that would pass a cancellation of ours on to it once more and hide it.
    const std::span<const Ref<FutureBase>> awaited(&future, 1);
    Future<> waiter(Ref<WaitFuture>::adopt(new WaitFuture(future->loop(), "wait_for", awaited)));
    auto* release = new DoneCallback(*future, [waiter]() mutable {
        if (!waiter.done()) waiter.set_result();
    });
    future->add_callback(*release);
    struct Remove {
        FutureBase& future;
        DoneCallback* release;
        ~Remove() {
            if (!future.done()) future.remove_callback(*release);
        }
    } remove{*future, release};
    future->cancel(nullptr);
    co_await waiter;
}

}  // namespace weft::detail
