#pragma once
// Addresses as the system has them (sockaddr).

#include <weft/io/address.hpp>

#include <sys/socket.h>

#include <optional>

namespace weft::asio_backend {

/// An Address as a sockaddr.
class SystemAddress {
public:
    explicit SystemAddress(const Address& address) noexcept;
    const sockaddr* data() const noexcept { return reinterpret_cast<const sockaddr*>(&storage_); }
    socklen_t size() const noexcept { return size_; }

private:
    sockaddr_storage storage_{};
    socklen_t size_ = 0;
};

/// A sockaddr as an Address; nothing if it is of a family that Weft does not know.
std::optional<Address> address_of(const sockaddr& address, socklen_t size);

}  // namespace weft::asio_backend
