#include "torture/allocations.hpp"

#include <atomic>
#include <cstdlib>
#include <new>
#include <utility>

namespace weft::testing {

namespace {

std::atomic<long> live{0};
thread_local constinit long allocations_left = 0;  // until the one that fails; 0: none does
thread_local constinit bool failed = false;

void* allocate(std::size_t size, std::size_t alignment) {
    if (allocations_left > 0 && --allocations_left == 0) {
        failed = true;
        throw std::bad_alloc();
    }
    void* block = alignment ? std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment)
                            : std::malloc(size ? size : 1);
    if (!block) throw std::bad_alloc();
    live.fetch_add(1, std::memory_order_relaxed);
    return block;
}

void* allocate_or_null(std::size_t size, std::size_t alignment) noexcept {
    try {
        return allocate(size, alignment);
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

void release(void* block) noexcept {
    if (!block) return;
    live.fetch_sub(1, std::memory_order_relaxed);
    std::free(block);
}

}  // namespace

long live_allocations() noexcept {
    return live.load();
}

void arm_allocation_failure(long nth) noexcept {
    failed = false;
    allocations_left = nth;
}

bool disarm_allocation_failure() noexcept {
    allocations_left = 0;
    return std::exchange(failed, false);
}

AllocationsSucceed::AllocationsSucceed() noexcept : left_(std::exchange(allocations_left, 0)) {}
AllocationsSucceed::~AllocationsSucceed() {
    allocations_left = left_;
}

}  // namespace weft::testing

using weft::testing::allocate;
using weft::testing::allocate_or_null;
using weft::testing::release;

void* operator new(std::size_t size) {
    return allocate(size, 0);
}
void* operator new[](std::size_t size) {
    return allocate(size, 0);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
    return allocate(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
    return allocate(size, static_cast<std::size_t>(alignment));
}
// These too, since a sanitizer has its own, whose blocks release() could not free.
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    return allocate_or_null(size, 0);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
    return allocate_or_null(size, 0);
}
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
    return allocate_or_null(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
    return allocate_or_null(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* block) noexcept {
    release(block);
}
void operator delete[](void* block) noexcept {
    release(block);
}
void operator delete(void* block, std::size_t) noexcept {
    release(block);
}
void operator delete[](void* block, std::size_t) noexcept {
    release(block);
}
void operator delete(void* block, std::align_val_t) noexcept {
    release(block);
}
void operator delete[](void* block, std::align_val_t) noexcept {
    release(block);
}
void operator delete(void* block, std::size_t, std::align_val_t) noexcept {
    release(block);
}
void operator delete[](void* block, std::size_t, std::align_val_t) noexcept {
    release(block);
}
