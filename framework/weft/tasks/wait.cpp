#include <weft/tasks/wait.hpp>

namespace weft::detail {

namespace {

/// Counts futures down and finishes the waiter when enough are done.
class Countdown {
public:
    Countdown(Future<> waiter, ReturnWhen when) : waiter_(std::move(waiter)), when_(when) {}
    ~Countdown() {
        timer_.cancel();
        for (auto& [future, callback] : callbacks_)
            if (callback && !future->done()) future->remove_callback(*callback);
    }
    void watch(Ref<FutureBase> future) {
        FutureBase* raw = future.get();
        DoneCallback*& callback = callbacks_.emplace_back(std::move(future), nullptr).second;
        callback = new DoneCallback(*raw, [this, raw, alive = std::weak_ptr<int>(alive_)] {
            if (!alive.expired()) one_done(*raw);
        });
        ++left_;
        raw->add_callback(*callback);
    }
    const Future<>& waiter() const noexcept { return waiter_; }
    void limit(Duration limit) {
        EventLoop& loop = waiter_.get_loop();
        timer_ = loop.call_at(loop.after(limit), [this] { release(); });
    }

private:
    void one_done(FutureBase& future) {
        --left_;
        if (left_ == 0 || when_ == ReturnWhen::first_completed) {
            release();
        } else if (when_ == ReturnWhen::first_exception && !future.is_cancelled() && future.has_exception()) {
            future.mark_retrieved();  // it was looked at
            release();
        }
    }
    void release() {
        if (!waiter_.done()) waiter_.set_result();
    }

    Future<> waiter_;
    ReturnWhen when_;
    std::size_t left_ = 0;
    TimerHandle timer_;
    std::vector<std::pair<Ref<FutureBase>, DoneCallback*>> callbacks_;
    std::shared_ptr<int> alive_ = std::make_shared<int>(0);  // scheduled callbacks may outlive the wait
};

}  // namespace

Coro<> wait_until(std::vector<Ref<FutureBase>> futures, WaitOptions options) {
    for (const auto& future : futures)
        check_awaitable_here(*future);
    EventLoop& loop = get_running_loop();
    auto waiter = Ref<WaitFuture>::adopt(new WaitFuture(loop, "wait", futures));
    Countdown countdown(Future<>(std::move(waiter)), options.return_when());
    // One that is done counts through the loop too, as in asyncio: what ends
    // in the same iteration is then seen.
    for (const auto& future : futures)
        countdown.watch(future);
    if (options.timeout()) countdown.limit(*options.timeout());
    co_await countdown.waiter();
}

}  // namespace weft::detail
