#pragma once
// QueueCore: all of a queue but its items. Who waits to put or get, the count of unfinished tasks, shutdown.
//
// A getter that is woken has a claim on nothing: the item stays in the queue until the getter runs and takes it. If
// somebody else was faster, it waits again, behind those who came meanwhile. Its task need not run for that: what the
// loop runs is the wait itself, which goes on to the task only when there is something to go on with.

#include <weft/sync/event.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace weft::detail {

class QueueCore;

/// The wait of a put or get that cannot go on at once; made when it suspends.
///
///     waiting -> woken | cancelled        woken -> waiting, if somebody else was faster
class QueueWait final : public ReadyNode, public Waiter, public WaiterLink<QueueWait> {
public:
    enum class Side : std::uint8_t { getter, putter };

    /// Suspends the task; `core` must live until it has resumed. RuntimeError if it belongs to another loop.
    QueueWait(QueueCore& core, Side side, PromiseBase& promise);
    ~QueueWait() { unlink(); }

    bool is_waiting() const noexcept { return state_ == State::waiting; }
    void wake() noexcept {
        state_ = State::woken;
        task_.loop().schedule(*static_cast<ReadyNode*>(this));
    }
    /// First thing after resuming: throws CancelledError and, if this was woken, wakes the next one instead.
    void finish();

    // ReadyNode
    void run() override;
    void discard() noexcept override {}
    std::string describe() const override { return task_.describe(); }

    // Waiter
    bool cancel_wait(const std::string* message) override;
    bool wait_was_cancelled() const noexcept override { return state_ == State::cancelled; }
    std::string_view waiter_kind() const noexcept override { return side_ == Side::getter ? "Queue.get" : "Queue.put"; }

private:
    enum class State : std::uint8_t { waiting, woken, cancelled };

    WaiterList<QueueWait>& list() const noexcept;
    /// There is an item to get, or room to put one.
    bool has_chance() const noexcept;

    QueueCore& core_;
    TaskBase& task_;
    const Side side_;
    State state_ = State::waiting;
};

class QueueCore : public Pooled {
public:
    explicit QueueCore(std::ptrdiff_t maxsize) noexcept : maxsize_(maxsize) {}
    QueueCore(const QueueCore&) = delete;
    QueueCore& operator=(const QueueCore&) = delete;

    void add_ref() noexcept { ++references_; }
    void release() noexcept {
        if (--references_ == 0) delete this;
    }

    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    bool full() const noexcept { return maxsize_ > 0 && size_ >= static_cast<std::size_t>(maxsize_); }
    std::ptrdiff_t maxsize() const noexcept { return maxsize_; }
    bool is_shut_down() const noexcept { return shut_down_; }
    std::ptrdiff_t unfinished() const noexcept { return unfinished_; }
    EventFlag& finished() noexcept { return finished_; }
    virtual std::string repr() const = 0;

    /// QueueShutDown or QueueFull unless an item can be put.
    void check_put() const {
        if (shut_down_ || full()) [[unlikely]]
            throw_no_put();
    }
    /// An item was put.
    void note_put() noexcept {
        ++size_;
        ++unfinished_;
        finished_.clear();
        if (!getters_.empty()) wake_next(getters_);
    }
    /// QueueShutDown or QueueEmpty unless there is an item.
    void check_get() const {
        if (empty()) [[unlikely]]
            throw_no_get();
    }
    /// An item was taken.
    void note_get() noexcept {
        --size_;
        if (!putters_.empty()) wake_next(putters_);
    }
    void task_done();
    /// RuntimeError unless the queue belongs to `loop` or to none yet.
    void bind(EventLoop& loop) {
        if (!binding_.accepts(loop)) [[unlikely]]
            throw_bound_elsewhere(repr());
    }

protected:
    virtual ~QueueCore() = default;
    /// Takes and gives nothing any more; `dropped` items were just removed.
    void shut_down(std::size_t dropped) noexcept;
    /// `<Queue maxsize=2 _getters[1]>`, with `items` as the text of the queue's items.
    std::string text(const char* type, const std::string& items) const;

private:
    friend class QueueWait;
    static void wake_next(WaiterList<QueueWait>& waits) noexcept;
    static void wake_each(WaiterList<QueueWait>& waits) noexcept;
    [[noreturn]] void throw_no_put() const;
    [[noreturn]] void throw_no_get() const;

    std::uint32_t references_ = 1;
    bool shut_down_ = false;
    const std::ptrdiff_t maxsize_;
    std::size_t size_ = 0;
    std::ptrdiff_t unfinished_ = 0;
    WaiterList<QueueWait> getters_;
    WaiterList<QueueWait> putters_;
    EventFlag finished_{true};
    LoopBinding binding_;
};

/// What join() gives.
class QueueJoin final : public ListWaiter, public LeafAwaitable<QueueJoin, void> {
public:
    explicit QueueJoin(Ref<QueueCore> core) noexcept : core_(std::move(core)) {}
    QueueJoin(QueueJoin&&) noexcept = default;
    ~QueueJoin() { unlink(); }

    std::string_view waiter_kind() const noexcept override { return "Queue.join"; }
    bool await_ready() const noexcept { return core_->unfinished() <= 0; }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) {
        core_->finished().wait(*this, handle.promise());
    }
    void await_resume() {
        unlink();
        end_wait();
    }

private:
    Ref<QueueCore> core_;
};

// Implementation

inline WaiterList<QueueWait>& QueueWait::list() const noexcept {
    return side_ == Side::getter ? core_.getters_ : core_.putters_;
}
inline bool QueueWait::has_chance() const noexcept {
    return side_ == Side::getter ? !core_.empty() : !core_.full();
}
inline QueueWait::QueueWait(QueueCore& core, Side side, PromiseBase& promise)
    : core_(core), task_(promise.task()), side_(side) {
    core.bind(task_.loop());
    list().append(*this);
    task_.suspend(promise, this);
}
inline void QueueWait::finish() {
    unlink();
    try {
        task_.check_cancelled(state_ == State::cancelled);
    } catch (...) {
        if (state_ == State::woken && has_chance()) QueueCore::wake_next(list());
        throw;
    }
}

inline void QueueCore::wake_next(WaiterList<QueueWait>& waits) noexcept {
    while (QueueWait* wait = waits.first()) {
        waits.remove(*wait);
        if (!wait->is_waiting()) continue;  // cancelled, and its task did not run yet
        wait->wake();
        return;
    }
}

}  // namespace weft::detail
