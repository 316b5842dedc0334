#include <weft/sync/barrier.hpp>

namespace weft::detail {

/// A task's place inside; given up however the wait ends.
class BarrierState::Place {
public:
    explicit Place(BarrierState& barrier) noexcept : barrier_(barrier), index_(barrier.count_++) {}
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place() { barrier_.leave(); }
    int index() const noexcept { return index_; }

private:
    BarrierState& barrier_;
    const int index_;
};

BarrierState::BarrierState(int parties) : parties_(parties) {
    if (parties < 1) throw ValueError("parties must be > 0");
}

std::string BarrierState::repr() const {
    static constexpr const char* names[] = {"filling", "draining", "resetting", "broken"};
    std::string text = std::string("<Barrier [") + names[static_cast<int>(phase_)];
    if (!broken()) text += ", waiters:" + std::to_string(n_waiting()) + "/" + std::to_string(parties_);
    return text + "]>";
}

/// The last one out opens the barrier for those who wait outside.
void BarrierState::leave() noexcept {
    if (--count_ > 0) return;
    if (is_closed()) phase_ = Phase::filling;
    condition_.state()->wake_every_waiter();
}

Coro<int> BarrierState::wait(Ref<BarrierState> barrier) {
    BarrierState& self = *barrier;
    const LockGuard guard = co_await self.condition_.scoped();
    co_await self.condition_.wait_for([&self] { return !self.is_closed(); });
    if (self.broken()) throw BrokenBarrierError("Barrier aborted");
    const Place place(self);
    if (place.index() + 1 == self.parties_) {
        self.phase_ = Phase::draining;
        self.condition_.notify_all();
        co_return place.index();
    }
    co_await self.condition_.wait_for([&self] { return self.phase_ != Phase::filling; });
    if (self.broken() || self.phase_ == Phase::resetting) throw BrokenBarrierError("Abort or reset of barrier");
    co_return place.index();
}

void BarrierState::start_reset() noexcept {
    phase_ = count_ > 0 ? Phase::resetting : Phase::filling;
}

Coro<> BarrierState::reset(Ref<BarrierState> barrier) {
    const LockGuard guard = co_await barrier->condition_.scoped();
    barrier->start_reset();
    barrier->condition_.notify_all();
}

Coro<> BarrierState::abort(Ref<BarrierState> barrier) {
    const LockGuard guard = co_await barrier->condition_.scoped();
    barrier->phase_ = Phase::broken;
    barrier->condition_.notify_all();
}

}  // namespace weft::detail
