#pragma once
// Inbox: how other threads reach a loop. It outlives the loop, so a thread that is late finds it closed.

#include <weft/loop/ready_queue.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

namespace weft {

class Backend;
class EventLoop;

namespace detail {

class Inbox {
public:
    /// `has_mail` is the loop's: true while there is something to take.
    Inbox(Backend& backend, std::atomic<bool>& has_mail) noexcept : backend_(&backend), has_mail_(&has_mail) {}

    /// Any thread: puts a node at the end of the loop's ready queue. False if the loop is closed.
    bool post(ReadyNode& node);

    // On the loop's thread.

    void take(ReadyQueue& queue);
    /// Before the loop waits: from here to end_sleep() a node that comes wakes it up. False if there is mail, and the
    /// loop must not wait.
    bool begin_sleep() noexcept;
    void end_sleep() noexcept { asleep_.store(false, std::memory_order_relaxed); }
    /// The same for the last time.
    void close(ReadyQueue& queue);

private:
    std::mutex mutex_;
    ReadyQueue queue_;
    Backend* backend_;                 // null once closed
    std::atomic<bool>* has_mail_;      // once that is null only the loop touches it
    std::atomic<bool> asleep_{false};  // the loop waits, and nobody has woken it up yet
    std::atomic<int> waking_{0};       // threads that are about to wake the backend
};

class RemoteNodes;

/// A node that a loop waits for and one other thread posts. Both hold references; what belongs to the loop is let go on
/// the loop's thread, at the latest when it closes.
class RemoteNode : public ReadyNode {
public:
    void add_ref() noexcept { refs_.fetch_add(1, std::memory_order_relaxed); }
    void release() noexcept {
        if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
    }
    /// The other thread, at most once: runs deliver() on the loop, unless that is closed.
    void post() {
        add_ref();
        if (!inbox_->post(*this)) release();
    }
    /// On the loop's thread: nothing is waited for any more.
    void retire() noexcept { leave(); }

    // ReadyNode
    void run() final;
    void discard() noexcept final;

protected:
    /// On the loop's thread. The maker owns one reference, the loop another.
    explicit RemoteNode(EventLoop& loop);
    virtual ~RemoteNode() = default;
    /// On the loop's thread: the other thread has posted this; not called after let_go().
    virtual void deliver() = 0;
    /// On the loop's thread, once, after deliver() or in its place: lets go of what is the loop's.
    virtual void let_go() noexcept = 0;

private:
    friend RemoteNodes;
    void leave() noexcept;

    std::atomic<std::uint32_t> refs_{2};
    const std::shared_ptr<Inbox> inbox_;
    RemoteNode* previous_ = nullptr;
    RemoteNode* next_ = nullptr;
    RemoteNodes* list_ = nullptr;  // null once let go
};

/// The nodes that a loop waits for.
class RemoteNodes {
public:
    void add(RemoteNode& node) noexcept;
    /// The loop closes: lets go of all.
    void close() noexcept;

private:
    friend class RemoteNode;
    RemoteNode* first_ = nullptr;
};

}  // namespace detail
}  // namespace weft
