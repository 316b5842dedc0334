#include <weft/tasks/as_completed.hpp>

namespace weft::detail {

CompletionQueue::~CompletionQueue() {
    timer_.cancel();
    for (std::size_t i = 0; i < callbacks_.size(); ++i)
        if (callbacks_[i] && !futures_[i]->done()) futures_[i]->remove_callback(*callbacks_[i]);
}

void CompletionQueue::watch(std::vector<Ref<FutureBase>> futures, std::optional<Duration> limit) {
    futures_ = std::move(futures);
    callbacks_.resize(futures_.size());
    ended_.reserve(futures_.size());
    left_ = pending_ = futures_.size();
    for (std::size_t i = 0; i < futures_.size(); ++i) {
        // A callback that is scheduled may outlive the queue.
        callbacks_[i] = new DoneCallback(*futures_[i], [queue = weak_from_this(), i] {
            if (const auto alive = queue.lock()) alive->ended(i);
        });
        futures_[i]->add_callback(*callbacks_[i]);
    }
    if (limit && pending_ > 0) timer_ = loop_.call_at(loop_.after(*limit), [this] { time_up(); });
}

void CompletionQueue::ended(std::size_t index) {
    if (time_is_up_) return;
    callbacks_[index] = nullptr;
    if (--pending_ == 0) timer_.cancel();
    ended_.push_back(index);
    wake_one();
}

void CompletionQueue::wake_one() {
    bool woken = false;
    while (!woken && !waiters_.empty()) {
        Future<> waiter = std::move(waiters_.front());
        waiters_.pop_front();
        if (waiter.done()) continue;
        waiter.set_result();
        woken = true;
    }
}

void CompletionQueue::time_up() {
    time_is_up_ = true;
    wake_all();
}

void CompletionQueue::wake_all() {
    while (!waiters_.empty())
        wake_one();
}

Coro<std::optional<std::size_t>> CompletionQueue::next() {
    const auto keep = shared_from_this();
    for (;;) {
        std::optional<std::size_t> index;
        if (left_ == 0) co_return index;
        if (given_ < ended_.size() || time_is_up_) {
            if (given_ < ended_.size()) index = ended_[given_++];
            // The last one was given: whoever still waits for one waits in vain.
            if (--left_ == 0) wake_all();
            if (!index) throw TimeoutError("as_completed: the time is up");
            co_return index;
        }
        Future<> waiter(Ref<WaitFuture>::adopt(new WaitFuture(loop_, "as_completed", futures_)));
        waiters_.push_back(waiter);
        std::exception_ptr cancelled;
        try {
            co_await waiter;
        } catch (const CancelledError&) {
            cancelled = std::current_exception();
        }
        if (!cancelled) continue;
        // Woken and cancelled at once: the wake-up is the next waiter's.
        if (!waiter.cancelled() && given_ < ended_.size()) wake_one();
        std::rethrow_exception(cancelled);
    }
}

}  // namespace weft::detail
