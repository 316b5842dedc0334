#pragma once
// SocketTransport: the stream transport of every backend. Private to the io floor: applications see Transport.

#include <weft/base/constants.hpp>
#include <weft/io/network.hpp>
#include <weft/io/protocol.hpp>
#include <weft/io/registry.hpp>
#include <weft/io/transport.hpp>
#include <weft/loop/event_loop.hpp>

#include <cstdint>
#include <memory>

namespace weft::io {

class ServerState;

/// Who sends a file on a transport, which meanwhile sends nothing else.
class FileTransfer {
public:
    /// The socket takes more, or nothing is buffered any more, or the connection is lost.
    virtual void on_progress() = 0;

protected:
    ~FileTransfer() = default;
};

///     open -> closing (flushes) -> lost
class SocketTransport final : public Transport,
                              public SocketEvents,
                              public RegistryEntry,
                              private detail::ReadyNode,
                              public std::enable_shared_from_this<SocketTransport> {
public:
    /// Makes a transport and schedules connection_made, then the start of reading, then `ready`, in this order. If it
    /// throws, the socket is closed.
    static std::shared_ptr<SocketTransport> open(EventLoop& loop, SocketRef socket,
                                                 std::shared_ptr<BaseProtocol> protocol,
                                                 detail::Ref<ServerState> server, UniqueFunction<void()> ready);

    SocketTransport(EventLoop& loop, SocketRef socket, detail::Ref<ServerState> server);
    ~SocketTransport() override;

    void close() override;
    bool is_closing() const noexcept override { return closing_; }
    void set_protocol(std::shared_ptr<BaseProtocol> protocol) override;
    std::shared_ptr<BaseProtocol> get_protocol() const override { return protocol_; }
    EventLoop& get_loop() const noexcept override { return loop_; }

    void pause_reading() override;
    void resume_reading() override;
    bool is_reading() const noexcept override { return !closing_ && !paused_; }

    using Transport::write;
    void write(std::span<const std::byte> data) override;
    void writelines(std::span<const std::span<const std::byte>> pieces) override;
    void write_eof() override;
    bool can_write_eof() const noexcept override { return true; }
    void abort() override { force_close(nullptr); }
    void set_write_buffer_limits(std::optional<std::size_t> high, std::optional<std::size_t> low) override;
    std::pair<std::size_t, std::size_t> get_write_buffer_limits() const noexcept override {
        return {low_water(), high_water()};
    }
    std::size_t get_write_buffer_size() const noexcept override {
        return outgoing_ ? outgoing_->data.size() - outgoing_->sent : 0;
    }

    std::optional<Address> peername() const override;
    std::optional<Address> sockname() const override;
    bool is_pipe() const noexcept override { return socket_ && socket_->is_pipe(); }
    int fileno() const noexcept override { return socket_ ? socket_->native_handle() : -1; }

    // For sendfile.

    /// RuntimeError if the transport is closing or another file is being sent. Until end_file() write() throws.
    void begin_file(FileTransfer& transfer);
    void end_file() noexcept { extras_->transfer = nullptr; }
    bool is_lost() const noexcept { return lost_; }
    StreamSocket& socket() const noexcept { return *socket_; }
    /// Past the check of write(): for who sends the file by pieces.
    void write_piece(std::span<const std::byte> data) { send_or_buffer(data); }

    std::shared_ptr<Transport> client_of(const ServerState& server) override;
    void drop() noexcept override;
    int owned_descriptor() const noexcept override { return fileno(); }
    std::string describe_entry() const override { return repr(); }

private:
    // ReadyNode: the connection is lost.
    void run() override;
    void discard() noexcept override { loss_scheduled_ = false; }
    std::string describe() const override { return "<connection_lost callback>"; }

    void on_data(std::span<const std::byte> data) override;
    std::span<std::byte> read_space() noexcept override;
    void prefetch() const noexcept override;
    void on_end_of_stream() override;
    void on_read_error(std::error_code error) override;
    void on_writable() override;
    void on_hang_up() override;

    struct Outgoing : detail::Pooled {
        Bytes data;
        std::size_t sent = 0;  // so many of data are gone
    };

    struct Names {
        std::optional<Address> peer;
        std::optional<Address> own;
    };
    /// What few connections have.
    struct Extras : detail::Pooled {
        std::unique_ptr<Bytes> kept;  // what was read and its protocol, which paused, did not take
        FileTransfer* transfer = nullptr;
        std::unique_ptr<const Names> names;  // of a connection that is lost
        std::size_t high_water = constants::write_high_water;
        std::size_t low_water = constants::write_high_water / 4;
    };
    Extras& extras() {
        if (!extras_) extras_ = std::make_unique<Extras>();
        return *extras_;
    }
    bool has_kept() const noexcept { return extras_ && extras_->kept; }
    FileTransfer* transfer() const noexcept { return extras_ ? extras_->transfer : nullptr; }
    std::size_t high_water() const noexcept { return extras_ ? extras_->high_water : constants::write_high_water; }
    std::size_t low_water() const noexcept { return extras_ ? extras_->low_water : constants::write_high_water / 4; }

    void check_writable() const;
    void abandon() noexcept;
    void start_reading();
    void begin_reading();
    Protocol& stream_protocol() const noexcept { return static_cast<Protocol&>(*protocol_); }
    void fill_protocol_buffer(std::span<const std::byte> data);
    void keep(std::span<const std::byte> data);
    void deliver_kept();
    void send_or_buffer(std::span<const std::byte> data);
    void buffer(std::span<const std::byte> data);
    void pause_protocol();
    void maybe_resume_protocol();
    void fatal_error(std::exception_ptr error, const char* message);
    void force_close(std::exception_ptr error);
    void schedule_connection_lost(std::exception_ptr error) noexcept;
    void connection_lost(std::exception_ptr error);
    void keep_names() noexcept;
    void forget_connection() noexcept;

    EventLoop& loop_;
    SocketRef socket_;
    std::shared_ptr<BaseProtocol> protocol_;
    detail::Ref<ServerState> server_;
    detail::ContextSlot context_;         // of who made the connection or the server; protocols are called in it
    std::unique_ptr<Outgoing> outgoing_;  // what the socket did not take yet; null if there is none
    std::unique_ptr<Extras> extras_;
    std::exception_ptr lost_by_;
    std::uint8_t dropped_writes_ = 0;
    bool buffered_ : 1 = false;   // protocol_ is a BufferedProtocol, else a Protocol
    bool streams_ : 1 = false;    // it is a StreamState
    bool connected_ : 1 = false;  // connection_made was called
    bool closing_ : 1 = false;
    bool lost_ : 1 = false;  // connection_lost is scheduled or done
    bool loss_scheduled_ : 1 = false;
    bool paused_ : 1 = false;
    bool eof_written_ : 1 = false;
    bool protocol_paused_ : 1 = false;
    bool ended_ : 1 = false;  // the peer's end of stream was seen
};

}  // namespace weft::io
