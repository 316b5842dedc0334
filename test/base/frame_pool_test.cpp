#include "support/harness.hpp"

#include <weft/base/frame_pool.hpp>

#include <cstring>
#include <set>
#include <thread>

using namespace weft;
using detail::pool_allocate;
using detail::pool_free;

TEST_CASE("blocks are usable over their whole size and distinct") {
    std::set<void*> blocks;
    std::vector<std::pair<void*, std::size_t>> all;
    for (std::size_t size : {1ul, 15ul, 16ul, 17ul, 100ul, 2039ul, 2040ul, 2041ul, 100'000ul}) {
        for (int i = 0; i < 3; ++i) {
            void* block = pool_allocate(size);
            std::memset(block, 0x5a, size);
            CHECK(reinterpret_cast<std::uintptr_t>(block) % alignof(std::max_align_t) == 0);
            CHECK(blocks.insert(block).second);
            all.emplace_back(block, size);
        }
    }
    for (auto [block, size] : all)
        pool_free(block, size);
}

#ifndef WEFT_POOL_OFF
TEST_CASE("a freed block is the next one of its size; sizes of one step share a list") {
    void* first = pool_allocate(100);
    pool_free(first, 100);
    void* second = pool_allocate(97);
    CHECK(second == first);
    void* other = pool_allocate(200);
    CHECK(other != first);
    pool_free(second, 97);
    pool_free(other, 200);
}

TEST_CASE("a list is bounded") {
    std::vector<void*> blocks;
    for (unsigned i = 0; i < detail::pool_depth + 100; ++i)
        blocks.push_back(pool_allocate(1000));
    for (void* block : blocks)
        pool_free(block, 1000);
    const unsigned count = detail::pool_lists[detail::pool_class(1000)].count;
    CHECK(count > 0);
    CHECK(count <= detail::pool_depth);
}
#endif

TEST_CASE("a block may be freed on another thread, also while that thread ends") {
    std::vector<void*> blocks;
    for (int i = 0; i < 100; ++i)
        blocks.push_back(pool_allocate(64));
    std::thread([&] {
        struct AtExit {
            std::vector<void*> late;
            ~AtExit() {
                for (void* block : late)
                    pool_free(block, 64);
            }
        };
        static thread_local AtExit at_exit;  // made before the pool's own clean-up
        at_exit.late.assign(blocks.begin() + 50, blocks.end());
        for (int i = 0; i < 50; ++i)
            pool_free(blocks[static_cast<std::size_t>(i)], 64);
    }).join();
    // Whatever this thread gets now is its own.
    void* block = pool_allocate(64);
    std::memset(block, 1, 64);
    pool_free(block, 64);
}

TEST_CASE("Pooled objects are destroyed and their storage reused") {
    struct Item : detail::Pooled {
        explicit Item(int& live) : live(live) { ++live; }
        ~Item() { --live; }
        int& live;
        char data[300];
    };
    int live = 0;
    for (int i = 0; i < 1000; ++i)
        delete new Item(live);
    CHECK(live == 0);
}
