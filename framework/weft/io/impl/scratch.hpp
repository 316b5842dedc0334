#pragma once
// Scratch: memory that TLS works in. Private to the io floor.

#include <weft/base/bytes.hpp>
#include <weft/base/constants.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace weft::io {

/// A piece of memory for plain or encrypted bytes, for as long as one call runs. Layers nest, so one is not enough.
class Scratch {
public:
    Scratch() {
        auto& free = list();
        if (free.empty()) {
            buffer_ = std::make_unique<Buffer>();
            free.reserve(8);
        } else {
            buffer_ = std::move(free.back());
            free.pop_back();
        }
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch() {
        if (buffer_->bytes.capacity() > 4 * size)
            buffer_->bytes.clear();
        else
            buffer_->bytes.resize(0);
        auto& free = list();
        if (free.size() < free.capacity()) free.push_back(std::move(buffer_));
    }
    std::span<std::byte> memory() const noexcept { return {buffer_->memory.get(), size}; }
    Bytes& bytes() const noexcept { return buffer_->bytes; }

private:
    static constexpr std::size_t size = constants::tls_read_size;
    struct Buffer {
        std::unique_ptr<std::byte[]> memory = std::make_unique<std::byte[]>(size);
        Bytes bytes;
    };
    static std::vector<std::unique_ptr<Buffer>>& list() {
        static thread_local std::vector<std::unique_ptr<Buffer>> free;
        return free;
    }
    std::unique_ptr<Buffer> buffer_;
};

}  // namespace weft::io
