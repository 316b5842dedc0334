#pragma once
// AsioStreamSocket: one TCP connection of an io_context.

#include <weft/backends/asio/channel.hpp>
#include <weft/backends/asio/network.hpp>

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

    // For the channel and the network.

    SocketContext& context() const noexcept { return context_; }
    /// There may be data: reads it, or notes that it must be read later. Calls nobody back.
    void take_event();
    /// The event is an error or a hang-up: what comes after the data is to be read, too.
    void note_failure() noexcept { failed_ = true; }
    /// The socket's turn has come after read_later(); true if it has read something.
    bool read_again();
    /// Delivers what was read.
    void finish_read();
    void write_ready();
    /// A read tells how much is left to read.
    bool tells_rest() const noexcept { return tells_rest_; }

private:
    ~AsioStreamSocket() override;

    bool receive(bool end_is_not_there);
    bool watch_again() noexcept;
    void fail_watch(int error);
    void read_later() noexcept;

    // In this order the descriptor and the flags fill holes.
    const int descriptor_;
    SocketContext& context_;
    [[no_unique_address]] Channel<AsioStreamSocket> channel_;
    bool wants_data_ : 1 = false;
    bool drained_ : 1 = false;  // the last read left nothing, not even the end of the stream; an event tells of more
    bool read_queued_ : 1 = false;  // with SocketContext::queue()
    bool ended_ : 1 = false;
    bool failed_ : 1 = false;  // see note_failure()
    bool tells_rest_ : 1 = false;
    bool closed_ : 1 = false;
    const std::unique_ptr<const Address> peer_;  // null if it has no name

public:
    AsioStreamSocket* next_queued = nullptr;  // SocketContext's
};

}  // namespace weft::asio_backend
