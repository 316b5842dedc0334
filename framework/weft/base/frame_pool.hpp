#pragma once
// The frame pool: per-thread free lists for coroutine frames, task states, handles and other small
// objects that a loop makes and drops all the time.
//
//     void* block = pool_allocate(size);      // throws std::bad_alloc
//     pool_free(block, size);                 // the same size; any thread
//
// A block is an ordinary block of the C++ heap, so it may be freed on another thread than the one that made it: it
// then joins that thread's list. Each list is bounded; what is above the bound goes back to the heap. Under
// AddressSanitizer nothing is kept, so that a use after free is seen.

#include <cstddef>
#include <new>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#define WEFT_POOL_OFF 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEFT_POOL_OFF 1
#endif
#endif

namespace weft::detail {

/// Blocks are pooled up to this size.
inline constexpr std::size_t pool_limit = 2040;
/// Sizes are rounded up to 8, 24, 40, ...: glibc's heap has 8 bytes of its own in front of a block, and gives both
/// together in steps of 16.
inline constexpr std::size_t pool_step = 16;
inline constexpr std::size_t pool_header = 8;
inline constexpr std::size_t pool_classes = (pool_limit + pool_header) / pool_step + 1;
/// How many free blocks of one size a thread keeps.
inline constexpr unsigned pool_depth = 8192;

#ifdef WEFT_POOL_OFF

inline void* pool_allocate(std::size_t size) {
    return ::operator new(size);
}
inline void pool_free(void* block, std::size_t) noexcept {
    ::operator delete(block);
}

#else

struct PoolList {
    void* head;
    unsigned count;
    unsigned room;  // 0 until the thread's clean-up is registered and again after it has run
};
extern thread_local constinit PoolList pool_lists[pool_classes];

inline std::size_t pool_class(std::size_t size) noexcept {
    return (size + pool_header + pool_step - 1) / pool_step;
}
void* pool_allocate_slow(std::size_t rounded);
void pool_free_slow(void* block, std::size_t index) noexcept;

inline void* pool_allocate(std::size_t size) {
    const std::size_t index = pool_class(size);
    if (index >= pool_classes) return ::operator new(size);
    PoolList& list = pool_lists[index];
    if (void* block = list.head) [[likely]] {
        list.head = *static_cast<void**>(block);
        --list.count;
        return block;
    }
    return pool_allocate_slow(index * pool_step - pool_header);
}

inline void pool_free(void* block, std::size_t size) noexcept {
    const std::size_t index = pool_class(size);
    if (index >= pool_classes) {
        ::operator delete(block);
        return;
    }
    PoolList& list = pool_lists[index];
    if (list.count < list.room) [[likely]] {
        *static_cast<void**>(block) = list.head;
        list.head = block;
        ++list.count;
        return;
    }
    pool_free_slow(block, index);
}

#endif

/// The pool as a standard allocator.
template <class T>
class PoolAllocator {
public:
    using value_type = T;
    PoolAllocator() noexcept = default;
    template <class U>
    PoolAllocator(const PoolAllocator<U>&) noexcept {}
    T* allocate(std::size_t count) { return static_cast<T*>(pool_allocate(count * sizeof(T))); }
    void deallocate(T* block, std::size_t count) noexcept { pool_free(block, count * sizeof(T)); }
    template <class U>
    bool operator==(const PoolAllocator<U>&) const noexcept {
        return true;
    }
};

/// Gives a class pooled storage: derive from it, or from a class that does.
class Pooled {
public:
    static void* operator new(std::size_t size) { return pool_allocate(size); }
    static void operator delete(void* block, std::size_t size) noexcept { pool_free(block, size); }

protected:
    ~Pooled() = default;
};

}  // namespace weft::detail
