#include <weft/loop/inbox.hpp>

#include <weft/loop/backend.hpp>
#include <weft/loop/event_loop.hpp>

#include <thread>

namespace weft::detail {

bool Inbox::post(ReadyNode& node) {
    Backend* backend = nullptr;
    {
        const std::lock_guard lock(mutex_);
        if (!backend_) return false;
        queue_.push(node);
        has_mail_->store(true);
        // A loop that is busy looks by itself, and one wake-up serves a whole burst. Either this sees that it is
        // asleep, or it sees what is pending before it is.
        if (!asleep_.load() || !asleep_.exchange(false)) return true;
        backend = backend_;
        waking_.fetch_add(1, std::memory_order_relaxed);
    }
    // Without the lock, which the loop takes first thing when it is awake.
    backend->wake();
    waking_.fetch_sub(1, std::memory_order_release);
    return true;
}

void Inbox::take(ReadyQueue& queue) {
    std::lock_guard lock(mutex_);
    has_mail_->store(false, std::memory_order_relaxed);
    queue.splice(queue_);
}

bool Inbox::begin_sleep() noexcept {
    asleep_.store(true);
    if (!has_mail_->load()) return true;
    end_sleep();
    return false;
}

void Inbox::close(ReadyQueue& queue) {
    {
        const std::lock_guard lock(mutex_);
        backend_ = nullptr;
        queue.splice(queue_);
    }
    // The backend goes next: who has begun to wake it must have ended.
    while (waking_.load(std::memory_order_acquire) != 0)
        std::this_thread::yield();
}

RemoteNode::RemoteNode(EventLoop& loop) : inbox_(loop.inbox()) {
    loop.remote_nodes().add(*this);
}

/// Ends the loop's part: its reference goes.
void RemoteNode::leave() noexcept {
    if (!list_) return;
    (previous_ ? previous_->next_ : list_->first_) = next_;
    if (next_) next_->previous_ = previous_;
    list_ = nullptr;
    let_go();
    release();
}

void RemoteNode::run() {
    const Ref<RemoteNode> posted = Ref<RemoteNode>::adopt(this);
    if (list_) deliver();
    leave();
}

void RemoteNode::discard() noexcept {
    const Ref<RemoteNode> posted = Ref<RemoteNode>::adopt(this);
    leave();
}

void RemoteNodes::add(RemoteNode& node) noexcept {
    node.list_ = this;
    node.next_ = first_;
    if (first_) first_->previous_ = &node;
    first_ = &node;
}

void RemoteNodes::close() noexcept {
    while (first_)
        first_->leave();
}

}  // namespace weft::detail
