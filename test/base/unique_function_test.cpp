#include "support/harness.hpp"

#include <weft/base/unique_function.hpp>

#include <array>

using namespace weft;

namespace {

struct Counts {
    int live = 0;
    int moves = 0;
};
/// A target of a given size that counts its instances.
template <std::size_t Size>
struct Target {
    explicit Target(Counts& counts) : counts(&counts) { ++counts.live; }
    Target(Target&& other) noexcept : counts(other.counts) {
        ++counts->live;
        ++counts->moves;
    }
    ~Target() { --counts->live; }
    int operator()(int n) const { return n + static_cast<int>(Size); }
    Counts* counts;
    std::array<char, Size> padding{};
};

static_assert(!std::is_copy_constructible_v<UniqueFunction<void()>>);
static_assert(std::is_nothrow_move_constructible_v<UniqueFunction<void()>>);
static_assert(std::is_constructible_v<UniqueFunction<int(int)>, int (*)(int)>);
static_assert(!std::is_constructible_v<UniqueFunction<int(int)>, int (*)(std::string)>);
static_assert(!std::is_constructible_v<UniqueFunction<void()>, int>);

}  // namespace

TEST_CASE("an empty function is false; nullptr empties") {
    UniqueFunction<void()> empty;
    CHECK_FALSE(empty);
    empty = nullptr;
    UniqueFunction<void()> full = [] {};
    CHECK(full);
    full = nullptr;
    CHECK_FALSE(full);
}

TEST_CASE("it owns targets that only move, small and large, and destroys them once") {
    Counts counts;
    {
        UniqueFunction<int(int)> small{Target<4>(counts)};
        UniqueFunction<int(int)> large{Target<400>(counts)};
        CHECK(counts.live == 2);
        CHECK(small(1) == 5);
        CHECK(large(1) == 401);
        counts.moves = 0;
        UniqueFunction<int(int)> moved = std::move(large);
        CHECK(counts.moves == 0);  // a large one stays where it is
        CHECK_FALSE(large);
        CHECK(moved(0) == 400);
        moved = std::move(small);
        CHECK(counts.live == 1);
        CHECK(moved(0) == 4);
        CHECK_FALSE(small);
        UniqueFunction<int(int)>& self = moved;
        moved = std::move(self);
        CHECK(moved(0) == 4);
    }
    CHECK(counts.live == 0);
}

TEST_CASE("arguments and results pass through as they are") {
    UniqueFunction<std::unique_ptr<int>(std::unique_ptr<int>)> same = [](std::unique_ptr<int> p) { return p; };
    CHECK(*same(std::make_unique<int>(3)) == 3);
    int number = 1;
    UniqueFunction<int&(int&)> reference = [](int& n) -> int& { return ++n; };
    CHECK(&reference(number) == &number);
    CHECK(number == 2);
    UniqueFunction<void(int)> ignores = [](int) { return 5; };
    ignores(1);
    int calls = 0;
    UniqueFunction<void()> state = [n = 0, &calls]() mutable { calls = ++n; };
    state();
    state();
    CHECK(calls == 2);
}

TEST_CASE("an exception of the target passes through") {
    UniqueFunction<void()> throws = [] { throw ValueError("x"); };
    CHECK_THROWS_AS(throws(), ValueError);
    CHECK(throws);
}
