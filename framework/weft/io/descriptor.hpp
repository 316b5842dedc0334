#pragma once
// What code that calls the system shares: descriptors that are owned, and errors.

#include <weft/base/exceptions.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

namespace weft::io {

/// Closes a descriptor unless somebody took it.
class OwnedDescriptor {
public:
    explicit OwnedDescriptor(int descriptor = -1) noexcept : descriptor_(descriptor) {}
    OwnedDescriptor(OwnedDescriptor&& other) noexcept : descriptor_(other.take()) {}
    OwnedDescriptor& operator=(OwnedDescriptor&& other) noexcept {
        std::swap(descriptor_, other.descriptor_);
        return *this;
    }
    ~OwnedDescriptor() { reset(); }
    /// Closes it now.
    void reset() noexcept {
        if (descriptor_ >= 0) ::close(take());
    }
    int get() const noexcept { return descriptor_; }
    int take() noexcept { return std::exchange(descriptor_, -1); }

private:
    int descriptor_;
};

/// errno.
inline std::error_code last_error() noexcept {
    return std::error_code(errno, std::system_category());
}
/// Throws the typed error of a system call that gave `result`.
inline int check_call(int result, const std::string& what) {
    if (result < 0) throw_os_error(last_error(), what);
    return result;
}
/// Calls on the descriptor no longer block.
inline void stop_blocking(int descriptor, const std::string& what) {
    const int flags = check_call(::fcntl(descriptor, F_GETFL), what);
    check_call(::fcntl(descriptor, F_SETFL, flags | O_NONBLOCK), what);
}

}  // namespace weft::io
