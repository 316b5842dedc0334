#pragma once
// Barrier: tasks wait for each other until a number of them has come (asyncio.Barrier).
//
//     Barrier barrier(3);
//     const int index = co_await barrier.wait();      // goes on when three tasks are here; 0, 1 or 2
//
// It can be passed again and again. Copies mean the same barrier. It belongs to the first loop that blocks on it and is
// used on that loop's thread.

#include <weft/sync/condition.hpp>

#include <cstdint>
#include <string>
#include <utility>

namespace weft {

namespace detail {

/// The state behind a Barrier; every change is made with the condition's lock held.
class BarrierState final : public SharedState<BarrierState> {
public:
    /// ValueError if `parties` is less than 1.
    explicit BarrierState(int parties);

    int parties() const noexcept { return parties_; }
    int n_waiting() const noexcept { return phase_ == Phase::filling ? count_ : 0; }
    bool broken() const noexcept { return phase_ == Phase::broken; }
    std::string repr() const;

    static Coro<int> wait(Ref<BarrierState> barrier);
    static Coro<> reset(Ref<BarrierState> barrier);
    static Coro<> abort(Ref<BarrierState> barrier);

private:
    /// filling -> draining -> filling      filling, draining -> resetting -> filling
    /// any -> broken                       broken -> filling or resetting, by reset()
    enum class Phase : std::uint8_t { filling, draining, resetting, broken };
    class Place;

    /// No task comes in while others are still leaving.
    bool is_closed() const noexcept { return phase_ == Phase::draining || phase_ == Phase::resetting; }
    void leave() noexcept;
    void start_reset() noexcept;

    const int parties_;
    int count_ = 0;  // tasks inside
    Phase phase_ = Phase::filling;
    Condition condition_;
};

}  // namespace detail

class Barrier {
public:
    /// For `parties` tasks. ValueError if that is less than 1.
    explicit Barrier(int parties)
        : state_(detail::Ref<detail::BarrierState>::adopt(new detail::BarrierState(parties))) {}

    /// Waits until `parties` tasks wait, and gives each of them another number from 0 to parties() - 1. While the tasks
    /// of one round are leaving, those of the next wait outside. A task that is cancelled leaves; the others wait on.
    /// BrokenBarrierError if the barrier is or gets aborted, or is reset meanwhile.
    Coro<int> wait() { return detail::BarrierState::wait(state_); }
    /// Sends the tasks that wait away with BrokenBarrierError and starts afresh, also after abort().
    Coro<> reset() { return detail::BarrierState::reset(state_); }
    /// Breaks the barrier: whoever waits or comes later gets BrokenBarrierError, until reset().
    Coro<> abort() { return detail::BarrierState::abort(state_); }
    int parties() const noexcept { return state_->parties(); }
    /// How many tasks wait for the barrier to fill.
    int n_waiting() const noexcept { return state_->n_waiting(); }
    bool broken() const noexcept { return state_->broken(); }

    /// `<Barrier [filling, waiters:2/5]>`
    std::string repr() const { return state_->repr(); }
    /// The same barrier.
    bool operator==(const Barrier& other) const noexcept { return state_ == other.state_; }

private:
    detail::Ref<detail::BarrierState> state_;
};

}  // namespace weft
