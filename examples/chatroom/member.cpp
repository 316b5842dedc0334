#include "member.hpp"

#include <utility>

namespace chat {

bool Member::tell(EventRef event) {
    if (closed_) return true;
    if (queue_.size() >= queue_limit) return false;
    queue_.push_back(std::move(event));
    wake();
    return true;
}

weft::Coro<EventRef> Member::next() {
    while (queue_.empty()) {
        if (closed_) co_return nullptr;
        arrived_ = loop_.create_future<void>();
        co_await arrived_;
    }
    EventRef event = std::move(queue_.front());
    queue_.pop_front();
    co_return event;
}

void Member::close() {
    closed_ = true;
    wake();
}

void Member::wake() {
    if (arrived_ && !arrived_.done()) arrived_.set_result();
}

}  // namespace chat
