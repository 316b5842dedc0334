#pragma once
// Which loops of the process are open: for what may outlive its loop, as a future does, and then has only its address.
//
// A loop that runs on this thread is there for certain, so who asks compares with running_loop first and comes here
// only when that is another one or none.

namespace weft {

class EventLoop;

namespace detail {

/// A loop's entry in the list, from its construction until it has closed.
class OpenLoop {
public:
    explicit OpenLoop(EventLoop& loop) noexcept;
    OpenLoop(const OpenLoop&) = delete;
    OpenLoop& operator=(const OpenLoop&) = delete;
    ~OpenLoop() { leave(); }
    /// The loop has closed.
    void leave() noexcept;

private:
    friend class OpenLoops;
    EventLoop* loop_;  // null once it has left
    OpenLoop* previous_ = nullptr;
    OpenLoop* next_ = nullptr;
};

/// False if the loop has closed or is gone. Any thread. (Another loop may have come to the same address.)
bool is_open(const EventLoop* loop) noexcept;
/// RuntimeError if the loop is open, in debug mode, and runs on another thread than this one.
void check_own_thread(const EventLoop* loop);

[[noreturn]] void throw_loop_closed();
[[noreturn]] void throw_wrong_thread();

}  // namespace detail
}  // namespace weft
