#pragma once
// Queue, LifoQueue, PriorityQueue: items from tasks to tasks (asyncio.Queue and its kin).
//
//     Queue<Job> jobs(100);
//     co_await jobs.put(job);                  // waits while 100 are in it
//     Job next = co_await jobs.get();          // waits while it is empty
//     jobs.task_done();                        // lets join() count
//     jobs.shutdown();                         // getters take what is left, then get QueueShutDown
//
// Items may be move-only. Copies of a queue mean the same queue, so it is passed to coroutines by value. It belongs to
// the first loop that blocks on it and is used on that loop's thread.

#include <weft/sync/queue_core.hpp>
#include <weft/sync/queue_items.hpp>

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace weft {

namespace detail {

template <class T, class Items>
class QueueState final : public QueueCore {
public:
    using Item = T;

    explicit QueueState(std::ptrdiff_t maxsize) : QueueCore(maxsize) {}
    QueueState(std::ptrdiff_t maxsize, Items items) : QueueCore(maxsize), items_(std::move(items)) {}

    template <class U>
    void put_nowait(U&& value) {
        check_put();
        items_.push(std::forward<U>(value));
        note_put();
    }
    T get_nowait() {
        check_get();
        T item = items_.take();
        note_get();
        return item;
    }
    void shutdown(bool immediate) {
        if (!immediate) {
            shut_down(0);
            return;
        }
        Items dropped = std::move(items_);  // destroyed last: an item's destructor may use the queue
        shut_down(dropped.size());
    }
    std::string repr() const override { return text(Items::name, items_text<T>(items_)); }

private:
    Items items_;
};

/// What put() gives.
template <class TypedState>
class QueuePut final : public LeafAwaitable<QueuePut<TypedState>, void> {
    using Item = typename TypedState::Item;

public:
    QueuePut(const Ref<TypedState>& queue, Item&& item) : queue_(queue), item_(std::move(item)) {}
    /// Only before it waits.
    QueuePut(QueuePut&& other) noexcept(std::is_nothrow_move_constructible_v<Item>)
        : queue_(std::move(other.queue_)), item_(std::move(other.item_)) {}

    bool await_ready() {
        if (std::exchange(awaited_, true)) [[unlikely]]
            throw_already_awaited();  // the item is in the queue, or gone
        return !queue_->full() || queue_->is_shut_down();
    }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) {
        wait_.emplace(*queue_, QueueWait::Side::putter, handle.promise());
    }
    void await_resume() {
        if (wait_) wait_->finish();
        queue_->put_nowait(std::move(item_));
    }

private:
    Ref<TypedState> queue_;
    std::optional<QueueWait> wait_;
    bool awaited_ = false;
    Item item_;
};

/// What get() gives.
template <class TypedState>
class QueueGet final : public LeafAwaitable<QueueGet<TypedState>, typename TypedState::Item> {
public:
    explicit QueueGet(const Ref<TypedState>& queue) noexcept : queue_(queue) {}
    /// Only before it waits.
    QueueGet(QueueGet&& other) noexcept : queue_(std::move(other.queue_)) {}

    bool await_ready() const noexcept { return !queue_->empty() || queue_->is_shut_down(); }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) {
        wait_.emplace(*queue_, QueueWait::Side::getter, handle.promise());
    }
    typename TypedState::Item await_resume() {
        if (wait_) wait_->finish();
        return queue_->get_nowait();
    }

private:
    Ref<TypedState> queue_;
    std::optional<QueueWait> wait_;
};

/// What the queues have in common; they differ in which item is next.
template <class T, class Items>
class BasicQueue {
    using State = QueueState<T, Items>;

public:
    using value_type = T;

    /// Puts `item` at its place; suspends while the queue is full, first come, first served. QueueShutDown once the
    /// queue is shut down. If it throws, the item is gone; a putter that is cancelled when its turn has come passes the
    /// turn on. RuntimeError if it has to wait and the queue belongs to another loop.
    [[nodiscard("co_await it")]] QueuePut<State> put(T item) { return QueuePut<State>(state_, std::move(item)); }
    /// Takes the next item; suspends while there is none, first come, first served. QueueShutDown once the queue is
    /// shut down and empty. A getter that is cancelled takes nothing, also when its turn has come: the item stays and
    /// the next getter is woken. RuntimeError if it has to wait and the queue belongs to another loop.
    [[nodiscard("co_await it")]] QueueGet<State> get() { return QueueGet<State>(state_); }
    /// Puts `item` now. QueueFull if there is no room, QueueShutDown once the queue is shut down; `item` is left as it
    /// was then.
    template <class U = T>
        requires std::is_constructible_v<T, U&&>
    void put_nowait(U&& item) {
        state_->put_nowait(std::forward<U>(item));
    }
    /// Takes the next item now. QueueEmpty if there is none, QueueShutDown if there will be none.
    T get_nowait() { return state_->get_nowait(); }

    std::size_t qsize() const noexcept { return state_->size(); }
    bool empty() const noexcept { return state_->empty(); }
    /// True if there are maxsize() items; never if that is not positive.
    bool full() const noexcept { return state_->full(); }
    std::ptrdiff_t maxsize() const noexcept { return state_->maxsize(); }

    /// Says that the work on one item that was taken is done. ValueError if there was no such item.
    void task_done() { state_->task_done(); }
    /// Waits until task_done() was called for every item that was put; does not suspend if that is so.
    [[nodiscard("co_await it")]] QueueJoin join() { return QueueJoin(state_); }
    /// Takes no item any more: put() throws QueueShutDown, also in those that wait. get() gives what is left, then
    /// throws it too. With `immediate` what is left is dropped and counts as done.
    void shutdown(bool immediate = false) { state_->shutdown(immediate); }

    /// `<Queue maxsize=2 _queue=[1, 2] _putters[1] tasks=2>`
    std::string repr() const { return state_->repr(); }
    /// The same queue.
    bool operator==(const BasicQueue& other) const noexcept { return state_ == other.state_; }

protected:
    explicit BasicQueue(std::ptrdiff_t maxsize) : state_(Ref<State>::adopt(new State(maxsize))) {}
    BasicQueue(std::ptrdiff_t maxsize, Items items) : state_(Ref<State>::adopt(new State(maxsize, std::move(items)))) {}

private:
    Ref<State> state_;
};

}  // namespace detail

/// First in, first out.
template <class T>
class Queue : public detail::BasicQueue<T, detail::FifoItems<T>> {
public:
    /// Holds up to `maxsize` items; any number if that is not positive.
    explicit Queue(std::ptrdiff_t maxsize = 0) : detail::BasicQueue<T, detail::FifoItems<T>>(maxsize) {}
};

/// Last in, first out.
template <class T>
class LifoQueue : public detail::BasicQueue<T, detail::LifoItems<T>> {
public:
    /// Holds up to `maxsize` items; any number if that is not positive.
    explicit LifoQueue(std::ptrdiff_t maxsize = 0) : detail::BasicQueue<T, detail::LifoItems<T>>(maxsize) {}
};

/// The least item first, as `Compare` orders them; it must not throw.
template <class T, class Compare = std::less<T>>
class PriorityQueue : public detail::BasicQueue<T, detail::HeapItems<T, Compare>> {
    using Items = detail::HeapItems<T, Compare>;

public:
    /// Holds up to `maxsize` items; any number if that is not positive.
    explicit PriorityQueue(std::ptrdiff_t maxsize = 0) : detail::BasicQueue<T, Items>(maxsize) {}
    PriorityQueue(std::ptrdiff_t maxsize, Compare compare)
        : detail::BasicQueue<T, Items>(maxsize, Items(std::move(compare))) {}
};

}  // namespace weft
