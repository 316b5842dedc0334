#pragma once
// SocketName: an Address as the system calls take and give it. Private to the framework.

#include <weft/io/address.hpp>

#include <sys/socket.h>

namespace weft::io {

class SocketName {
public:
    /// Room for a name that the system fills in.
    SocketName() noexcept : size_(sizeof storage_) {}
    explicit SocketName(const Address& address) noexcept;

    sockaddr* data() noexcept { return reinterpret_cast<sockaddr*>(&storage_); }
    const sockaddr* data() const noexcept { return reinterpret_cast<const sockaddr*>(&storage_); }
    socklen_t size() const noexcept { return size_; }
    /// Where the system writes the size.
    socklen_t* size_address() noexcept { return &size_; }
    /// All of the room again, and no name in it.
    void reset() noexcept {
        size_ = sizeof storage_;
        storage_.ss_family = AF_UNSPEC;
    }
    /// Of another family than Family has, or longer than an Address can be: unspecified.
    Address address() const { return read(data(), size_); }
    static Address read(const sockaddr* name, socklen_t size);

private:
    sockaddr_storage storage_{};
    socklen_t size_;
};

/// AF_INET, AF_INET6 or AF_UNIX; AF_UNSPEC for the rest.
int system_family(Family family) noexcept;

}  // namespace weft::io
