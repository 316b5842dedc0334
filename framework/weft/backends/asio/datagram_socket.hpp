#pragma once
// AsioDatagramSocket: a UDP or Unix datagram socket.

#include <weft/backends/asio/channel.hpp>
#include <weft/backends/asio/socket_file.hpp>
#include <weft/io/descriptor.hpp>
#include <weft/io/network.hpp>

#include <cstdint>

namespace weft::asio_backend {

class AsioDatagramSocket final : public io::DatagramSocket {
public:
    /// Owns the descriptor.
    AsioDatagramSocket(SocketContext& context, io::OwnedDescriptor descriptor);

    void start_receiving() override;
    void send(std::span<const std::byte> data, const Address* to, std::error_code& error) noexcept override;
    void wait_writable() override { channel_.wait_write(); }
    void close() noexcept override;
    std::optional<Address> local_address() const override;
    std::optional<Address> remote_address() const override;
    int native_handle() const noexcept override { return descriptor_; }
    /// The file that its address is goes with it.
    void own_file(const Address& address) { file_.remember(address); }

    // For the channel.

    SocketContext& context() const noexcept { return context_; }
    void prefetch(int) const noexcept {}
    void take_event();
    void write_ready();

private:
    ~AsioDatagramSocket() override;

    void receive_all();
    enum class Received : std::uint8_t { nothing, batch, last };
    Received receive_batch();

    SocketContext& context_;
    const int descriptor_;
    bool is_local_ = false;  // a Unix socket
    bool receiving_ = false;
    bool closed_ = false;
    SocketFile file_;
    Channel<AsioDatagramSocket> channel_;
};

/// A socket as Network::open_datagram() describes it.
detail::Ref<AsioDatagramSocket> open_datagram_socket(SocketContext& context, const std::optional<Address>& local,
                                                     const std::optional<Address>& remote,
                                                     const io::DatagramSocketOptions& options);
/// Takes over the descriptor, also if it throws.
detail::Ref<AsioDatagramSocket> adopt_datagram_socket(SocketContext& context, int descriptor);

}  // namespace weft::asio_backend
