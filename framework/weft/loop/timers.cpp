#include <weft/loop/timers.hpp>

#include <weft/base/constants.hpp>

#include <algorithm>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace weft::detail {

namespace {
constexpr std::size_t arity = 4;
constexpr std::size_t lead = 3;  // unused entries before the root
constexpr std::align_val_t cache_line{64};
}  // namespace

TimerHeap::~TimerHeap() {
    clear();
    if (heap_) ::operator delete(heap_ - lead, cache_line);
}

void TimerHeap::grow() {
    const std::size_t capacity = capacity_ == 0 ? 61 : 2 * capacity_;
    auto* grown = static_cast<Entry*>(::operator new((capacity + lead) * sizeof(Entry), cache_line)) + lead;
    std::uninitialized_copy_n(heap_, size_, grown);
    if (heap_) ::operator delete(heap_ - lead, cache_line);
    heap_ = grown;
    capacity_ = capacity;
}

void TimerHeap::add(TimerState& timer) {
    if (size_ == capacity_) grow();
    timer.sequence = next_sequence_++;
    timer.in_heap = true;
    timer.add_ref();
    sift_up(size_++, Entry{timer.when(), &timer});
}

void TimerHeap::note_cancelled() noexcept {
    ++dead_;
    if (size_ > constants::min_scheduled_timers && dead_ > size_ / 2) rebuild();
}

void TimerHeap::drop_dead() noexcept {
    while (size_ != 0 && heap_[0].timer->cancelled()) {
        TimerState* timer = heap_[0].timer;
        pop_top();
        --dead_;
        timer->in_heap = false;
        timer->release();
    }
}

void TimerHeap::pop_due(TimePoint now, ReadyQueue& ready) noexcept {
    // More than a few are taken together: that moves far fewer entries. Without memory for it, one by one.
    if (size_ > arity && heap_[1].when <= now && heap_[2].when <= now && pop_all_due(now, ready)) return;
    while (size_ != 0 && heap_[0].when <= now) {
        TimerState& timer = *heap_[0].timer;
        pop_top();
        make_ready(timer, ready);
    }
}

void TimerHeap::make_ready(TimerState& timer, ReadyQueue& ready) noexcept {
    timer.in_heap = false;
    if (timer.cancelled()) {
        --dead_;
        timer.release();
    } else {
        ready.push(timer);
    }
}

/// The due entries are the top of the tree. Each hole they leave is filled from the bottom of the heap, the deepest
/// holes first, so that below the hole in hand all is in order.
bool TimerHeap::pop_all_due(TimePoint now, ReadyQueue& ready) noexcept {
    std::vector<std::size_t> holes;
    std::vector<Entry> due;
    try {
        holes.push_back(0);
        for (std::size_t at = 0; at < holes.size(); ++at) {
            const std::size_t first = holes[at] * arity + 1;
            const std::size_t last = std::min(first + arity, size_);
            for (std::size_t child = first; child < last; ++child)
                if (heap_[child].when <= now) holes.push_back(child);
        }
        due.reserve(holes.size());
    } catch (const std::bad_alloc&) {
        return false;
    }
    for (const std::size_t hole : holes)
        due.push_back(heap_[hole]);
    std::sort(due.begin(), due.end());
    for (std::size_t left = holes.size(); left-- > 0;) {
        const Entry last = heap_[--size_];
        if (holes[left] != size_) place(holes[left], last);
    }
    for (const Entry& entry : due)
        make_ready(*entry.timer, ready);
    return true;
}

void TimerHeap::clear() noexcept {
    // Destroying a callback may cancel another timer of this heap: detach them all first.
    const std::size_t size = std::exchange(size_, 0);
    dead_ = 0;
    for (std::size_t i = 0; i < size; ++i)
        heap_[i].timer->in_heap = false;
    for (std::size_t i = 0; i < size; ++i)
        heap_[i].timer->discard();
}

void TimerHeap::pop_top() noexcept {
    const Entry last = heap_[--size_];
    if (size_ != 0) place(0, last);
}

/// Moves the hole down along the smallest children, and the entry, which comes from the bottom as a rule, up from
/// there: fewer comparisons than looking for its place from above.
void TimerHeap::place(std::size_t hole, Entry entry) noexcept {
    const std::size_t top = hole;
    for (std::size_t first = hole * arity + 1; first < size_; first = hole * arity + 1) {
        std::size_t best = first;
        const std::size_t last = std::min(first + arity, size_);
        for (std::size_t child = first + 1; child < last; ++child)
            best = heap_[child] < heap_[best] ? child : best;
        heap_[hole] = heap_[best];
        hole = best;
    }
    while (hole > top) {
        const std::size_t parent = (hole - 1) / arity;
        if (!(entry < heap_[parent])) break;
        heap_[hole] = heap_[parent];
        hole = parent;
    }
    heap_[hole] = entry;
}

void TimerHeap::sift_up(std::size_t hole, Entry entry) noexcept {
    while (hole > 0) {
        const std::size_t parent = (hole - 1) / arity;
        if (!(entry < heap_[parent])) break;
        heap_[hole] = heap_[parent];
        hole = parent;
    }
    heap_[hole] = entry;
}

void TimerHeap::rebuild() noexcept {
    Entry* live = std::remove_if(heap_, heap_ + size_, [](const Entry& entry) {
        if (!entry.timer->cancelled()) return false;
        entry.timer->in_heap = false;
        entry.timer->release();
        return true;
    });
    size_ = static_cast<std::size_t>(live - heap_);
    dead_ = 0;
    if (size_ < 2) return;
    for (std::size_t index = (size_ - 2) / arity + 1; index-- > 0;)
        place(index, heap_[index]);
}

}  // namespace weft::detail
