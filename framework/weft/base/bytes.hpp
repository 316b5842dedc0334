#pragma once
// Bytes: an owning run of bytes, Python's `bytes` and `bytearray` in one.
//
//     Bytes data = co_await reader.read(100);
//     if (data == "ping\n") writer.write("pong\n");
//     std::string_view text = data.text();          // no copy; valid while `data` is
//
// Bytes go in as std::span<const std::byte> (or std::string_view where text is usual) and come out as Bytes.

#include <weft/base/frame_pool.hpp>

#include <compare>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace weft {

/// Views the characters of `text` as bytes; nothing is copied.
inline std::span<const std::byte> as_byte_span(std::string_view text) noexcept {
    return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

/// An owning, growable run of bytes. Moving is cheap and empties the source; new bytes are not initialised before they
/// are written.
class Bytes {
public:
    Bytes() noexcept = default;
    explicit Bytes(std::span<const std::byte> data) { append(data); }
    explicit Bytes(std::string_view text) { append(text); }
    explicit Bytes(const char* text) { append(std::string_view(text)); }
    Bytes(const Bytes& other) { append(other.span()); }
    Bytes(Bytes&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)),
          size_(std::exchange(other.size_, 0)),
          capacity_(std::exchange(other.capacity_, 0)) {}
    Bytes& operator=(const Bytes& other);
    Bytes& operator=(Bytes&& other) noexcept {
        Bytes taken(std::move(other));
        swap(taken);
        return *this;
    }
    ~Bytes() {
        if (data_) detail::pool_free(data_, capacity_);
    }
    void swap(Bytes& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(capacity_, other.capacity_);
    }

    std::byte* data() noexcept { return data_; }
    const std::byte* data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    std::size_t capacity() const noexcept { return capacity_; }
    bool empty() const noexcept { return size_ == 0; }
    std::byte* begin() noexcept { return data_; }
    std::byte* end() noexcept { return data_ + size_; }
    const std::byte* begin() const noexcept { return data_; }
    const std::byte* end() const noexcept { return data_ + size_; }
    std::byte& operator[](std::size_t index) noexcept { return data_[index]; }
    std::byte operator[](std::size_t index) const noexcept { return data_[index]; }

    std::span<const std::byte> span() const noexcept { return {data_, size_}; }
    /// The bytes as characters, valid until these Bytes change or end.
    std::string_view text() const noexcept { return {reinterpret_cast<const char*>(data_), size_}; }
    /// A copy of the bytes as a string.
    std::string str() const { return std::string(text()); }

    /// Adds a copy of `data` (which must not be part of these Bytes) at the end.
    void append(std::span<const std::byte> data);
    void append(std::string_view text) { append(as_byte_span(text)); }
    /// Removes the first `count` bytes (`count <= size()`).
    void consume(std::size_t count) noexcept;
    /// Makes room for `capacity` bytes in all.
    void reserve(std::size_t capacity);
    /// Sets the size; bytes beyond the old size have unspecified values.
    void resize(std::size_t size);
    /// Empties these Bytes and gives the memory back.
    void clear() noexcept {
        Bytes empty;
        swap(empty);
    }

    bool operator==(const Bytes& other) const noexcept { return text() == other.text(); }
    bool operator==(std::string_view other) const noexcept { return text() == other; }

private:
    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
};

}  // namespace weft
