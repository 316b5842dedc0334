#include <weft/loop/open_loops.hpp>

#include <weft/base/exceptions.hpp>
#include <weft/loop/event_loop.hpp>

#include <pthread.h>

#include <mutex>

namespace weft::detail {

class OpenLoops {
public:
    static void add(OpenLoop& entry) noexcept {
        const std::lock_guard lock(mutex);
        entry.next_ = first;
        if (first) first->previous_ = &entry;
        first = &entry;
    }
    static void remove(OpenLoop& entry) noexcept {
        const std::lock_guard lock(mutex);
        (entry.previous_ ? entry.previous_->next_ : first) = entry.next_;
        if (entry.next_) entry.next_->previous_ = entry.previous_;
    }
    /// Calls `fn` if the loop is listed, while it cannot leave.
    template <class F>
    static bool visit(const EventLoop* loop, F&& fn) {
        const std::lock_guard lock(mutex);
        for (const OpenLoop* at = first; at; at = at->next_) {
            if (at->loop_ != loop) continue;
            fn();
            return true;
        }
        return false;
    }

    static constinit inline std::mutex mutex;
    static constinit inline OpenLoop* first = nullptr;
};

namespace {

/// A child must not inherit the lock from a thread that it does not have.
void hold_lock_across_forks() {
    [[maybe_unused]] static const int registered = pthread_atfork(
        [] { OpenLoops::mutex.lock(); }, [] { OpenLoops::mutex.unlock(); }, [] { OpenLoops::mutex.unlock(); });
}

}  // namespace

OpenLoop::OpenLoop(EventLoop& loop) noexcept : loop_(&loop) {
    hold_lock_across_forks();
    OpenLoops::add(*this);
}

void OpenLoop::leave() noexcept {
    if (!loop_) return;
    OpenLoops::remove(*this);
    loop_ = nullptr;
}

bool is_open(const EventLoop* loop) noexcept {
    return OpenLoops::visit(loop, [] {});
}

void check_own_thread(const EventLoop* loop) {
    if (running_loop == loop) return;
    bool elsewhere = false;
    OpenLoops::visit(loop, [&] { elsewhere = loop->get_debug() && loop->is_running(); });
    if (elsewhere) throw_wrong_thread();
}

void throw_loop_closed() {
    throw RuntimeError("Event loop is closed");
}

void throw_wrong_thread() {
    throw RuntimeError("Non-thread-safe operation invoked on an event loop other than the current one");
}

}  // namespace weft::detail
