#pragma once
// prefetch(): asks for memory that is about to be used, so that it is there when it is.

#include <cstddef>
#include <cstdint>

namespace weft::detail {

/// What the processor fetches at once, in bytes.
inline constexpr std::size_t cache_line = 64;

/// Asks for `size` bytes, at least 1, of which the first `before` are in front of the address. A hint: it may be null,
/// and what it points to may be gone.
inline void prefetch(const void* address, std::size_t size, std::size_t before = 0) noexcept {
    const auto first = reinterpret_cast<std::uintptr_t>(address) - before;
    const auto ask = [](std::uintptr_t at) { __builtin_prefetch(reinterpret_cast<const void*>(at)); };
    for (std::size_t offset = 0; offset < size - 1; offset += cache_line)
        ask(first + offset);
    // They need not begin where a line does.
    ask(first + size - 1);
}

}  // namespace weft::detail
