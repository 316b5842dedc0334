#pragma once
// AsioStreamSocket: one TCP connection of an io_context.

#include <weft/backends/asio/network.hpp>

#include <boost/asio/buffer.hpp>

#include <cstdint>
#include <memory>

namespace weft::asio_backend {

class AsioStreamSocket final : public io::StreamSocket, public detail::Pooled {
public:
    AsioStreamSocket(TcpSocket socket, std::shared_ptr<ReadBuffers> buffers) noexcept;

    void start_reading() override;
    void stop_reading() noexcept override { wants_data_ = false; }
    std::size_t write_some(std::span<const std::byte> data, std::error_code& error) noexcept override;
    void wait_writable() override;
    void shutdown_write() noexcept override;
    void close() noexcept override;
    std::optional<Address> local_address() const override;
    std::optional<Address> remote_address() const override;
    int native_handle() const noexcept override { return const_cast<TcpSocket&>(socket_).native_handle(); }

    TcpSocket& socket() noexcept { return socket_; }

private:
    class LateBuffer;
    class ReadDone;
    ~AsioStreamSocket() override;

    boost::asio::mutable_buffer lend();
    void give_back() noexcept;
    void read();
    void read_done(const boost::system::error_code& error, std::size_t count);
    void deliver(std::span<const std::byte> data);
    void deliver_kept();
    void deliver_end(std::error_code error);

    TcpSocket socket_;
    std::shared_ptr<ReadBuffers> buffers_;
    std::byte* lent_ = nullptr;
    /// What arrived while nobody wanted it.
    class Kept;
    std::unique_ptr<Kept> kept_;
    bool wants_data_ = false;
    bool reading_ = false;     // an operation is in flight
    bool starting_ = false;    // it is being started: Asio looks at the buffer once before it reads
    bool delivering_ = false;  // kept data is on its way
    bool ended_ = false;
    bool closed_ = false;
};

}  // namespace weft::asio_backend
