#include <weft/base/frame_pool.hpp>

namespace weft::detail {

#ifndef WEFT_POOL_OFF

thread_local constinit PoolList pool_lists[pool_classes] = {};

namespace {

/// Opens the thread's lists when first touched and empties and closes them when the thread ends.
struct PoolCleaner {
    PoolCleaner() noexcept {
        for (PoolList& list : pool_lists)
            list.room = pool_depth;
    }
    ~PoolCleaner() {
        for (PoolList& list : pool_lists) {
            list.room = 0;
            while (void* block = list.head) {
                list.head = *static_cast<void**>(block);
                ::operator delete(block);
            }
            list.count = 0;
        }
        closed = true;
    }
    static thread_local constinit bool closed;
};
thread_local constinit bool PoolCleaner::closed = false;

void open_lists() noexcept {
    if (PoolCleaner::closed) return;
    static thread_local PoolCleaner cleaner;
    (void)cleaner;
}

}  // namespace

void* pool_allocate_slow(std::size_t rounded) {
    return ::operator new(rounded);
}

void pool_free_slow(void* block, std::size_t index) noexcept {
    PoolList& list = pool_lists[index];
    if (list.room == 0) {
        open_lists();
        if (list.count < list.room) {
            *static_cast<void**>(block) = list.head;
            list.head = block;
            ++list.count;
            return;
        }
    }
    ::operator delete(block);
}

#endif

}  // namespace weft::detail
