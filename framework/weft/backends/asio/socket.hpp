#pragma once
// AsioStreamSocket: one TCP connection of an io_context.

#include <weft/backends/asio/channel.hpp>
#include <weft/backends/asio/network.hpp>

#include <cstdint>
#include <memory>

namespace weft::asio_backend {

class AsioStreamSocket final : public io::StreamSocket, public detail::Pooled {
public:
    /// Owns the descriptor, a connected socket.
    AsioStreamSocket(SocketContext& context, int descriptor);

    void start_reading() override;
    void stop_reading() noexcept override { wants_data_ = false; }
    std::size_t write_some(std::span<const std::byte> data, std::error_code& error) noexcept override;
    void wait_writable() override { channel_.wait_write(); }
    void shutdown_write() noexcept override;
    void close() noexcept override;
    std::optional<Address> local_address() const override;
    std::optional<Address> remote_address() const override;
    int native_handle() const noexcept override { return descriptor_; }

    // For the channel and the network.

    /// Reads into a borrowed buffer; false if there is nothing. Must not call back into anything.
    bool perform_read() noexcept;
    /// The wait itself failed, in place of perform_read().
    void fail_read(int error) noexcept { read_error_ = error; }
    /// Delivers what perform_read() got.
    void finish_read();
    /// Both, when the descriptor is ready.
    void try_read();
    /// The descriptor was just registered: what is there will be told by an event, trying at once finds no more.
    void expect_event() noexcept { event_will_tell_ = true; }
    void write_ready();
    /// Waits for data again, if that is still wanted.
    void rearm();

private:
    /// What arrived while nobody wanted it.
    class Kept;
    ~AsioStreamSocket() override;

    void wait_read();
    void give_back() noexcept;
    void deliver(std::span<const std::byte> data);
    void deliver_end(std::error_code error);
    void deliver_kept();

    SocketContext& context_;
    const int descriptor_;
    int read_error_ = 0;            // errno of the last read
    std::uint32_t read_epoch_ = 0;  // SocketContext::epoch at the last read
    std::size_t read_count_ = 0;    // bytes it got; 0 without an error is the end of the stream
    std::byte* lent_ = nullptr;     // the buffer it used
    std::unique_ptr<Kept> kept_;
    bool wants_data_ = false;
    bool waiting_ = false;   // the channel waits for data
    bool starting_ = false;  // it is being asked to
    bool rearm_queued_ = false;
    bool drained_ = false;  // the last read left nothing, not even the end of the stream
    bool wrote_since_read_ = false;
    bool event_will_tell_ = false;
    bool delivering_ = false;  // kept data is on its way
    bool ended_ = false;
    bool closed_ = false;
    Channel channel_;
};

}  // namespace weft::asio_backend
