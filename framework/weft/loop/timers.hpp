#pragma once
// The timer heap: a four-ary heap ordered by (deadline, order of scheduling), so that equal deadlines fire in the order
// they were asked for. Cancelling marks an entry; entries that are dead are dropped when they come to the top, and the
// heap is rebuilt without them when they are more than half of it, so they cannot pile up.

#include <weft/loop/handle.hpp>

#include <cstddef>
#include <cstdint>

namespace weft::detail {

class TimerHeap {
public:
    TimerHeap() = default;
    TimerHeap(const TimerHeap&) = delete;
    TimerHeap& operator=(const TimerHeap&) = delete;
    ~TimerHeap();

    /// Adds a live timer and takes a reference to it.
    void add(TimerState& timer);
    /// Told by a timer in the heap that it was cancelled.
    void note_cancelled() noexcept;
    /// Drops dead timers from the top; false if none is left.
    bool purge() noexcept {
        if (dead_ > 0) [[unlikely]]
            drop_dead();
        return size_ != 0;
    }
    /// The earliest deadline; only after purge() returned true.
    TimePoint earliest() const noexcept { return heap_[0].when; }
    /// Moves every timer due at `now` to `ready`, which takes over the references.
    void pop_due(TimePoint now, ReadyQueue& ready) noexcept;
    /// Drops every timer unrun.
    void clear() noexcept;

    bool empty() const noexcept { return size_ == 0; }
    /// Entries, dead ones included.
    std::size_t size() const noexcept { return size_; }

private:
    /// Sixteen bytes, so that the four children of an entry fill one cache line.
    struct Entry {
        TimePoint when;
        TimerState* timer;
        bool operator<(const Entry& other) const noexcept {
            return when != other.when ? when < other.when : timer->sequence < other.timer->sequence;
        }
    };

    void grow();
    void drop_dead() noexcept;
    void pop_top() noexcept;
    bool pop_all_due(TimePoint now, ReadyQueue& ready) noexcept;
    void make_ready(TimerState& timer, ReadyQueue& ready) noexcept;
    void place(std::size_t hole, Entry entry) noexcept;
    void sift_up(std::size_t hole, Entry entry) noexcept;
    void rebuild() noexcept;

    Entry* heap_ = nullptr;  // three entries into the allocation, which makes groups of children start a cache line
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
    std::uint64_t next_sequence_ = 0;
    std::size_t dead_ = 0;
};

}  // namespace weft::detail
