#include <weft/loop/inbox.hpp>

#include <weft/loop/backend.hpp>
#include <weft/loop/event_loop.hpp>

namespace weft::detail {

bool Inbox::post(ReadyNode& node) {
    std::lock_guard lock(mutex_);
    if (!backend_) return false;
    queue_.push(node);
    // Under the lock, so that the loop cannot close its backend meanwhile; one wake-up serves a whole burst.
    if (!pending_.exchange(true, std::memory_order_acq_rel)) backend_->wake();
    return true;
}

void Inbox::take(ReadyQueue& queue) {
    std::lock_guard lock(mutex_);
    pending_.store(false, std::memory_order_relaxed);
    queue.splice(queue_);
}

void Inbox::close(ReadyQueue& queue) {
    std::lock_guard lock(mutex_);
    backend_ = nullptr;
    queue.splice(queue_);
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
