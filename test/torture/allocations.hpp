#pragma once
// The allocator of the torture program: counts what is allocated and not freed, and fails the allocation it is told to.
//
//     arm_allocation_failure(7);               // the seventh allocation of this thread from here on throws bad_alloc
//     bool failed = disarm_allocation_failure();

#include <cstddef>

namespace weft::testing {

/// Blocks of the C++ heap that exist, over all threads.
long live_allocations() noexcept;

/// Makes the `nth` allocation of this thread from now on throw std::bad_alloc, once; counted from 1.
void arm_allocation_failure(long nth) noexcept;
/// No allocation fails from now on; true if one did.
bool disarm_allocation_failure() noexcept;

/// While it lives, allocations of this thread neither count down nor fail.
class AllocationsSucceed {
public:
    AllocationsSucceed() noexcept;
    AllocationsSucceed(const AllocationsSucceed&) = delete;
    AllocationsSucceed& operator=(const AllocationsSucceed&) = delete;
    ~AllocationsSucceed();

private:
    long left_;
};

}  // namespace weft::testing
