#pragma once
// AsioStreamSocket: one connection, TCP or Unix.

#include <weft/backends/asio/channel.hpp>
#include <weft/io/network.hpp>

#include <sys/types.h>

#include <cstdint>
#include <memory>

namespace weft::asio_backend {

class AsioStreamSocket final : public io::StreamSocket, public detail::Pooled {
public:
    /// Owns the descriptor, a connected socket. The peer's name is kept: the system forgets it with the connection.
    AsioStreamSocket(SocketContext& context, int descriptor, const Address& peer);

    void start_reading() override;
    void stop_reading() noexcept override { wants_data_ = false; }
    std::size_t write_some(std::span<const std::byte> data, std::error_code& error) noexcept override;
    void wait_writable() override { channel_.wait_write(); }
    std::size_t send_file(int file, std::uint64_t offset, std::size_t count, std::error_code& error) noexcept override;
    void shutdown_write() noexcept override;
    void close() noexcept override;
    std::optional<Address> local_address() const override;
    std::optional<Address> remote_address() const override;
    int native_handle() const noexcept override { return descriptor_; }

    // For the channel.

    SocketContext& context() const noexcept { return context_; }
    void prefetch(int step) const noexcept;
    void take_event();
    void write_ready();

private:
    ~AsioStreamSocket() override;

    ssize_t receive(std::span<std::byte> space) noexcept;
    void take_rest();
    void deliver(std::span<const std::byte> data);
    void fail(int error);

    // In this order the descriptor and the flags fill holes.
    const int descriptor_;
    SocketContext& context_;
    Channel<AsioStreamSocket> channel_;
    bool wants_data_ : 1 = false;
    bool ended_ : 1 = false;
    bool closed_ : 1 = false;
    const std::unique_ptr<const Address> peer_;  // null if it has no name
};

}  // namespace weft::asio_backend
