#include <weft/sync/queue_core.hpp>

#include <algorithm>

namespace weft::detail {

// QueueWait

bool QueueWait::cancel_wait(const std::string* message) {
    if (state_ != State::waiting) return false;
    state_ = State::cancelled;
    task_.note_cancel_message(message);
    task_.loop().schedule(*static_cast<ReadyNode*>(this));
    return true;
}

void QueueWait::run() {
    if (state_ == State::woken && !has_chance() && !core_.is_shut_down() && !task_.must_cancel()) {
        state_ = State::waiting;
        list().append(*this);
        return;
    }
    task_.run();
}

// QueueCore

void QueueCore::wake_each(WaiterList<QueueWait>& waits) noexcept {
    while (!waits.empty())
        wake_next(waits);
}

void QueueCore::throw_no_put() const {
    if (shut_down_) throw QueueShutDown();
    throw QueueFull();
}

void QueueCore::throw_no_get() const {
    if (shut_down_) throw QueueShutDown();
    throw QueueEmpty();
}

void QueueCore::task_done() {
    if (unfinished_ <= 0) throw ValueError("task_done() called too many times");
    if (--unfinished_ == 0) finished_.set();
}

void QueueCore::shut_down(std::size_t dropped) noexcept {
    shut_down_ = true;
    size_ -= dropped;
    if (dropped > 0) {
        unfinished_ = std::max<std::ptrdiff_t>(unfinished_ - static_cast<std::ptrdiff_t>(dropped), 0);
        if (unfinished_ == 0) finished_.set();
    }
    wake_each(getters_);
    wake_each(putters_);
}

std::string QueueCore::text(const char* type, const std::string& items) const {
    std::string text = "<" + std::string(type) + " maxsize=" + std::to_string(maxsize_);
    if (!empty()) text += " " + items;
    if (!getters_.empty()) text += " _getters[" + std::to_string(getters_.size()) + "]";
    if (!putters_.empty()) text += " _putters[" + std::to_string(putters_.size()) + "]";
    if (unfinished_ > 0) text += " tasks=" + std::to_string(unfinished_);
    if (shut_down_) text += " shutdown";
    return text + ">";
}

}  // namespace weft::detail
