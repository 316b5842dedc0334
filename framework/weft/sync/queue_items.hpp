#pragma once
// How the queues keep their items, and how items are printed. Each kind has push(), take() of the item whose turn it
// is, size(), and for_each() in the order they are kept in.

#include <algorithm>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace weft::detail {

/// First in, first out: a ring that grows and never shrinks, so that the steady state allocates nothing.
template <class T>
class FifoItems {
public:
    static constexpr const char* name = "Queue";

    FifoItems() = default;
    FifoItems(FifoItems&& other) noexcept
        : items_(std::exchange(other.items_, nullptr)),
          capacity_(std::exchange(other.capacity_, 0)),
          head_(std::exchange(other.head_, 0)),
          size_(std::exchange(other.size_, 0)) {}
    FifoItems& operator=(FifoItems&&) = delete;
    ~FifoItems() {
        for (std::size_t i = 0; i < size_; ++i)
            std::destroy_at(&at(i));
        if (items_) std::allocator<T>().deallocate(items_, capacity_);
    }

    std::size_t size() const noexcept { return size_; }
    template <class U>
    void push(U&& value) {
        if (size_ == capacity_) [[unlikely]] {
            // The value may be one of the items.
            T kept(std::forward<U>(value));
            grow();
            std::construct_at(&at(size_), std::move(kept));
        } else {
            std::construct_at(&at(size_), std::forward<U>(value));
        }
        ++size_;
    }
    T take() {
        T& first = at(0);
        T value(std::move(first));
        std::destroy_at(&first);
        head_ = (head_ + 1) & (capacity_ - 1);
        --size_;
        return value;
    }
    template <class F>
    void for_each(F&& fn) const {
        for (std::size_t i = 0; i < size_; ++i)
            fn(std::as_const(at(i)));
    }

private:
    T& at(std::size_t index) const noexcept { return items_[(head_ + index) & (capacity_ - 1)]; }
    void grow() {
        FifoItems bigger;
        bigger.capacity_ = capacity_ == 0 ? 8 : capacity_ * 2;
        bigger.items_ = std::allocator<T>().allocate(bigger.capacity_);
        for (; bigger.size_ < size_; ++bigger.size_)
            std::construct_at(bigger.items_ + bigger.size_, std::move_if_noexcept(at(bigger.size_)));
        std::swap(items_, bigger.items_);
        std::swap(capacity_, bigger.capacity_);
        std::swap(head_, bigger.head_);
    }

    T* items_ = nullptr;
    std::size_t capacity_ = 0;  // a power of two
    std::size_t head_ = 0;
    std::size_t size_ = 0;
};

/// Last in, first out.
template <class T>
class LifoItems {
public:
    static constexpr const char* name = "LifoQueue";

    std::size_t size() const noexcept { return items_.size(); }
    template <class U>
    void push(U&& value) {
        items_.emplace_back(std::forward<U>(value));
    }
    T take() {
        T value(std::move(items_.back()));
        items_.pop_back();
        return value;
    }
    template <class F>
    void for_each(F&& fn) const {
        std::for_each(items_.begin(), items_.end(), fn);
    }

private:
    std::vector<T> items_;
};

/// The least first: a binary heap.
template <class T, class Compare>
class HeapItems {
public:
    static constexpr const char* name = "PriorityQueue";

    HeapItems() = default;
    explicit HeapItems(Compare less) : greater_{std::move(less)} {}

    std::size_t size() const noexcept { return items_.size(); }
    template <class U>
    void push(U&& value) {
        items_.emplace_back(std::forward<U>(value));
        std::push_heap(items_.begin(), items_.end(), std::ref(greater_));
    }
    T take() {
        std::pop_heap(items_.begin(), items_.end(), std::ref(greater_));
        T value(std::move(items_.back()));
        items_.pop_back();
        return value;
    }
    template <class F>
    void for_each(F&& fn) const {
        std::for_each(items_.begin(), items_.end(), fn);
    }

private:
    /// The standard's heaps have the greatest on top.
    struct Greater {
        bool operator()(const T& a, const T& b) { return less(b, a); }
        Compare less;
    };
    std::vector<T> items_;
    Greater greater_;
};

/// An item as Python prints it: numbers, strings and what has a repr() of its own.
template <class T>
concept Printable =
    std::is_arithmetic_v<T> || std::convertible_to<const T&, std::string_view> || requires(const T& value) {
        { value.repr() } -> std::convertible_to<std::string>;
    };

template <Printable T>
std::string item_text(const T& value) {
    if constexpr (requires { value.repr(); }) {
        return value.repr();
    } else if constexpr (std::is_same_v<T, bool>) {
        return value ? "True" : "False";
    } else if constexpr (std::is_same_v<T, char>) {
        return std::string("'") + value + "'";
    } else if constexpr (std::is_arithmetic_v<T>) {
        char digits[64];
        std::string text(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
        const bool looks_whole = text.find_first_not_of("-0123456789") == std::string::npos;
        return std::is_floating_point_v<T> && looks_whole ? text + ".0" : text;
    } else {
        return "'" + std::string(std::string_view(value)) + "'";
    }
}

/// `_queue=[1, 2]`, or `_queue[2]` where the items cannot be printed.
template <class T, class Items>
std::string items_text(const Items& items) {
    if constexpr (Printable<T>) {
        std::string text;
        items.for_each([&](const T& item) { text += (text.empty() ? "" : ", ") + item_text(item); });
        return "_queue=[" + text + "]";
    } else {
        return "_queue[" + std::to_string(items.size()) + "]";
    }
}

}  // namespace weft::detail
