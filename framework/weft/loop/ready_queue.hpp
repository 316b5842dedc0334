#pragma once
// The ready queue: a strict FIFO of intrusive nodes. A task, a handle, a done-callback each *is* a node, so waking one
// allocates nothing and moving a whole list of waiters is three pointer writes.

#include <string>

namespace weft::detail {

/// Something the loop will run once: it is in at most one queue or waiter list at a time.
class ReadyNode {
public:
    /// Runs on the loop's thread. Only KeyboardInterrupt and SystemExit may leave it.
    virtual void run() = 0;
    /// Called instead of run() when the loop closes first.
    virtual void discard() noexcept = 0;
    /// For reports of slow callbacks.
    virtual std::string describe() const = 0;

    ReadyNode* next_node = nullptr;

protected:
    ReadyNode() = default;
    ReadyNode(const ReadyNode&) = delete;
    ReadyNode& operator=(const ReadyNode&) = delete;
    ~ReadyNode() = default;
};

/// A singly linked FIFO of nodes it does not own.
class ReadyQueue {
public:
    bool empty() const noexcept { return head_ == nullptr; }
    ReadyNode* front() const noexcept { return head_; }
    ReadyNode* back() const noexcept { return tail_; }

    void push(ReadyNode& node) noexcept {
        node.next_node = nullptr;
        if (head_)
            tail_->next_node = &node;
        else
            head_ = &node;
        tail_ = &node;
    }
    /// The queue must not be empty.
    ReadyNode& pop() noexcept {
        ReadyNode* node = head_;
        head_ = node->next_node;
        node->next_node = nullptr;
        return *node;
    }
    /// Moves all of `other` to the end, in order.
    void splice(ReadyQueue& other) noexcept {
        if (other.empty()) return;
        if (head_)
            tail_->next_node = other.head_;
        else
            head_ = other.head_;
        tail_ = other.tail_;
        other.head_ = nullptr;
    }
    /// Takes `node` out, if it is here; linear.
    bool remove(ReadyNode& node) noexcept {
        ReadyNode* before = nullptr;
        for (ReadyNode* at = head_; at; before = at, at = at->next_node) {
            if (at != &node) continue;
            (before ? before->next_node : head_) = at->next_node;
            if (tail_ == at) tail_ = before;
            at->next_node = nullptr;
            return true;
        }
        return false;
    }

private:
    ReadyNode* head_ = nullptr;
    ReadyNode* tail_ = nullptr;
};

}  // namespace weft::detail
