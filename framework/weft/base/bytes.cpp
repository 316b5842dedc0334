#include <weft/base/bytes.hpp>

#include <weft/base/frame_pool.hpp>

#include <algorithm>
#include <cassert>
#include <utility>

namespace weft {

Bytes::Bytes(Bytes&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      capacity_(std::exchange(other.capacity_, 0)) {}

Bytes& Bytes::operator=(const Bytes& other) {
    if (this != &other) {
        size_ = 0;
        append(other.span());
    }
    return *this;
}

Bytes& Bytes::operator=(Bytes&& other) noexcept {
    if (this != &other) {
        clear();
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(capacity_, other.capacity_);
    }
    return *this;
}

Bytes::~Bytes() {
    if (data_) detail::pool_free(data_, capacity_);
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

void Bytes::clear() noexcept {
    if (data_) detail::pool_free(data_, capacity_);
    data_ = nullptr;
    size_ = capacity_ = 0;
}

}  // namespace weft
