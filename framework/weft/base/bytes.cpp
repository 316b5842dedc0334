#include <weft/base/bytes.hpp>

#include <algorithm>
#include <cassert>

namespace weft {

Bytes& Bytes::operator=(const Bytes& other) {
    if (this != &other) {
        size_ = 0;
        append(other.span());
    }
    return *this;
}

void Bytes::append(std::span<const std::byte> data) {
    if (data.empty()) return;
    if (capacity_ - size_ < data.size()) reserve(std::max(size_ + data.size(), size_ ? capacity_ + capacity_ / 2 : 0));
    std::memcpy(data_ + size_, data.data(), data.size());
    size_ += data.size();
}

void Bytes::consume(std::size_t count) noexcept {
    assert(count <= size_);
    size_ -= count;
    if (size_ != 0 && count != 0) std::memmove(data_, data_ + count, size_);
}

void Bytes::reserve(std::size_t capacity) {
    if (capacity <= capacity_) return;
    auto* grown = static_cast<std::byte*>(detail::pool_allocate(capacity));
    if (size_ != 0) std::memcpy(grown, data_, size_);
    if (data_) detail::pool_free(data_, capacity_);
    data_ = grown;
    capacity_ = capacity;
}

void Bytes::resize(std::size_t size) {
    reserve(size);
    size_ = size;
}

}  // namespace weft
