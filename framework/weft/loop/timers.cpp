#include <weft/loop/timers.hpp>

#include <weft/base/constants.hpp>

#include <algorithm>

namespace weft::detail {

namespace {
constexpr std::size_t arity = 4;
}

void TimerHeap::add(TimerState& timer) {
    Entry entry{timer.when(), next_sequence_, &timer};
    entries_.push_back(entry);
    ++next_sequence_;
    std::size_t index = entries_.size() - 1;
    while (index > 0) {
        const std::size_t parent = (index - 1) / arity;
        if (!(entry < entries_[parent])) break;
        entries_[index] = entries_[parent];
        index = parent;
    }
    entries_[index] = entry;
    timer.in_heap = true;
    timer.add_ref();
}

void TimerHeap::note_cancelled() noexcept {
    ++dead_;
    if (entries_.size() > constants::min_scheduled_timers && dead_ > entries_.size() / 2) rebuild();
}

bool TimerHeap::purge() noexcept {
    while (dead_ > 0 && !entries_.empty() && entries_.front().timer->cancelled()) {
        TimerState* timer = entries_.front().timer;
        pop_top();
        --dead_;
        timer->release();
    }
    return !entries_.empty();
}

void TimerHeap::pop_due(TimePoint now, ReadyQueue& ready) noexcept {
    while (!entries_.empty() && entries_.front().when <= now) {
        TimerState* timer = entries_.front().timer;
        pop_top();
        timer->in_heap = false;
        if (timer->cancelled()) {
            --dead_;
            timer->release();
        } else {
            ready.push(*timer);
        }
    }
}

void TimerHeap::clear() noexcept {
    // Destroying a callback may cancel another timer of this heap: detach them all first.
    std::vector<Entry> entries;
    entries.swap(entries_);
    dead_ = 0;
    for (const Entry& entry : entries)
        entry.timer->in_heap = false;
    for (const Entry& entry : entries)
        entry.timer->discard();
}

void TimerHeap::pop_top() noexcept {
    const Entry last = entries_.back();
    entries_.pop_back();
    if (!entries_.empty()) sift_down(0, last);
}

void TimerHeap::sift_down(std::size_t index, Entry entry) noexcept {
    const std::size_t size = entries_.size();
    for (;;) {
        const std::size_t first = index * arity + 1;
        if (first >= size) break;
        std::size_t best = first;
        const std::size_t last = std::min(first + arity, size);
        for (std::size_t child = first + 1; child < last; ++child)
            if (entries_[child] < entries_[best]) best = child;
        if (!(entries_[best] < entry)) break;
        entries_[index] = entries_[best];
        index = best;
    }
    entries_[index] = entry;
}

void TimerHeap::rebuild() noexcept {
    auto live = std::remove_if(entries_.begin(), entries_.end(), [](const Entry& entry) {
        if (!entry.timer->cancelled()) return false;
        entry.timer->in_heap = false;
        entry.timer->release();
        return true;
    });
    entries_.erase(live, entries_.end());
    dead_ = 0;
    if (entries_.size() < 2) return;
    for (std::size_t index = (entries_.size() - 2) / arity + 1; index-- > 0;)
        sift_down(index, entries_[index]);
}

}  // namespace weft::detail
