#pragma once
// What the synchronization primitives share: lists of waiting tasks, the count of handles, the loop they belong to.
//
// A primitive is a handle to a state that counts its references. Waits and guards hold the state too, so a primitive
// whose last handle goes while tasks wait on it lives on until they have ended, as an object of asyncio does.
//
// A waiter is a node in the waiting coroutine's frame. It stays in its list from suspending until its task runs again,
// also when it was woken or cancelled meanwhile: asyncio's primitives look at those too when they decide whose turn it
// is. A frame that is destroyed while it waits takes its node out.

#include <weft/base/frame_pool.hpp>
#include <weft/base/ref.hpp>
#include <weft/tasks/await.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace weft::detail {

template <class Node>
class WaiterList;

/// What a node of a WaiterList derives from.
template <class Node>
class WaiterLink {
public:
    bool is_linked() const noexcept { return list_ != nullptr; }
    void unlink() noexcept {
        if (list_) list_->remove(static_cast<Node&>(*this));
    }

protected:
    WaiterLink() = default;
    WaiterLink(const WaiterLink&) = delete;
    WaiterLink& operator=(const WaiterLink&) = delete;
    ~WaiterLink() = default;

private:
    friend class WaiterList<Node>;
    WaiterList<Node>* list_ = nullptr;
    Node* previous_;  // these two only mean something in a list
    Node* next_;
};

/// Nodes in the order they came; it does not own them.
template <class Node>
class WaiterList {
public:
    bool empty() const noexcept { return first_ == nullptr; }
    Node* first() const noexcept { return first_; }
    /// Linear; for texts and for small lists.
    std::size_t size() const noexcept {
        std::size_t count = 0;
        for (const Node* node = first_; node; node = link(*node).next_)
            ++count;
        return count;
    }
    /// True if a waiter was not cancelled: it waits, or was woken and is about to run.
    bool any_live() const noexcept {
        for (const Node* node = first_; node; node = link(*node).next_)
            if (node->is_live()) return true;
        return false;
    }
    /// The first that still waits to be woken, or null. Amortized over all calls it takes constant time: a node that
    /// was woken or cancelled never waits again in its place, so those are not looked at twice.
    Node* first_waiting() noexcept {
        while (candidate_ && !candidate_->is_waiting())
            candidate_ = link(*candidate_).next_;
        return candidate_;
    }

    void append(Node& node) noexcept {
        Link& added = link(node);
        added.list_ = this;
        added.previous_ = last_;
        added.next_ = nullptr;
        (last_ ? link(*last_).next_ : first_) = &node;
        last_ = &node;
        if (!candidate_) candidate_ = &node;
    }
    void remove(Node& node) noexcept {
        Link& removed = link(node);
        if (candidate_ == &node) candidate_ = removed.next_;
        (removed.previous_ ? link(*removed.previous_).next_ : first_) = removed.next_;
        (removed.next_ ? link(*removed.next_).previous_ : last_) = removed.previous_;
        removed.list_ = nullptr;
    }

private:
    using Link = WaiterLink<Node>;
    static Link& link(Node& node) noexcept { return node; }
    static const Link& link(const Node& node) noexcept { return node; }

    Node* first_ = nullptr;
    Node* last_ = nullptr;
    Node* candidate_ = nullptr;  // none before it waits
};

/// A wait of one task on a primitive.
class ListWaiter : public TaskWaiter, public WaiterLink<ListWaiter> {
public:
    using TaskWaiter::end_wait;
    using TaskWaiter::was_woken;
    bool is_live() const noexcept { return is_waiting() || was_woken(); }
    void wait_in(WaiterList<ListWaiter>& list, PromiseBase& promise) {
        list.append(*this);
        suspend(promise);
    }

protected:
    ListWaiter() = default;
    /// Only before it waits.
    ListWaiter(ListWaiter&& other) noexcept : TaskWaiter(std::move(other)) {}
    ~ListWaiter() = default;
    void on_cancel_wait() noexcept override {}
};

using Waiters = WaiterList<ListWaiter>;

/// Wakes all that wait, in order.
inline void wake_all(Waiters& waiters) noexcept {
    while (ListWaiter* waiter = waiters.first_waiting())
        waiter->wake();
}

/// The state of a primitive `T`; starts with one reference.
template <class T>
class SharedState : public Pooled {
public:
    void add_ref() noexcept { ++references_; }
    void release() noexcept {
        if (--references_ == 0) delete static_cast<T*>(this);
    }

protected:
    SharedState() = default;
    SharedState(const SharedState&) = delete;
    SharedState& operator=(const SharedState&) = delete;
    ~SharedState() = default;

private:
    std::uint32_t references_ = 1;
};

/// The first loop that a primitive's waiters were of.
class LoopBinding {
public:
    /// False if the primitive belongs to another loop.
    bool accepts(EventLoop& loop) noexcept {
        if (loop_ == 0) loop_ = loop.id();
        return loop_ == loop.id();
    }

private:
    std::uint64_t loop_ = 0;
};

/// asyncio's RuntimeError for a primitive that another loop blocked on first.
[[noreturn]] void throw_bound_elsewhere(const std::string& primitive);

/// `<Lock [locked, waiters:2]>`; the waiters only if there are some.
std::string primitive_text(const char* type, const std::string& state, std::size_t waiters);

}  // namespace weft::detail
