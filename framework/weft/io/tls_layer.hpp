#pragma once
// TlsLayer: TLS between a transport and a protocol (asyncio's SSLProtocol). To the transport below it is a protocol, to
// the application's protocol it is the transport. Private to the io floor.

#include <weft/io/protocol.hpp>
#include <weft/io/registry.hpp>
#include <weft/io/tls.hpp>
#include <weft/io/transport.hpp>
#include <weft/loop/event_loop.hpp>

#include <cstdint>
#include <memory>
#include <string>

struct ssl_st;
struct ssl_session_st;
struct bio_st;

namespace weft::io {

/// ValueError for time-outs that are not positive, a context of the wrong side, or a missing name to check.
void check_tls_parameters(const TlsParameters& parameters);

class TlsLayer final : public Transport,
                       public Protocol,
                       public RegistryEntry,
                       public std::enable_shared_from_this<TlsLayer> {
public:
    /// Told once: null when the handshake is done and connection_made was called, else why not.
    using Ready = UniqueFunction<void(std::exception_ptr)>;

    /// `announce`: the application's protocol is told connection_made; not so if it has a connection already, which is
    /// upgraded.
    static std::shared_ptr<TlsLayer> make(EventLoop& loop, std::shared_ptr<BaseProtocol> protocol,
                                          TlsParameters parameters, bool announce, Ready ready);
    TlsLayer(EventLoop& loop, std::shared_ptr<BaseProtocol> protocol, TlsParameters parameters, bool announce,
             Ready ready);
    ~TlsLayer() override;

    /// Before connection_made(): what the peer has sent already.
    void prepend(Bytes data) { kept_incoming_ = std::make_unique<Bytes>(std::move(data)); }

    // Transport, for the application

    void close() override;
    bool is_closing() const noexcept override { return state_ >= State::flushing || close_asked_; }
    void set_protocol(std::shared_ptr<BaseProtocol> protocol) override;
    std::shared_ptr<BaseProtocol> get_protocol() const override { return protocol_; }
    EventLoop& get_loop() const noexcept override { return loop_; }
    void pause_reading() override;
    void resume_reading() override;
    bool is_reading() const noexcept override { return state_ == State::wrapped && !paused_; }
    using Transport::write;
    void write(std::span<const std::byte> data) override;
    void writelines(std::span<const std::span<const std::byte>> pieces) override;
    /// TLS cannot end one direction: RuntimeError.
    void write_eof() override;
    bool can_write_eof() const noexcept override { return false; }
    void abort() override;
    void set_write_buffer_limits(std::optional<std::size_t> high, std::optional<std::size_t> low) override;
    std::pair<std::size_t, std::size_t> get_write_buffer_limits() const noexcept override;
    std::size_t get_write_buffer_size() const noexcept override;
    std::optional<Address> peername() const override { return lower_ ? lower_->peername() : std::nullopt; }
    std::optional<Address> sockname() const override { return lower_ ? lower_->sockname() : std::nullopt; }
    int fileno() const noexcept override { return lower_ ? lower_->fileno() : -1; }
    TlsContext tls_context() const override { return context_; }
    std::optional<TlsInfo> tls_info() const override;

    // For sendfile.

    /// RuntimeError if another file is being sent. Until end_file() write() throws.
    void begin_file() {
        check_writable();
        sending_file_ = true;
    }
    void end_file() noexcept { sending_file_ = false; }
    /// Past the check of write().
    void write_piece(std::span<const std::byte> data);

    // Protocol, for the transport below

    void connection_made(std::shared_ptr<Transport> transport) override;
    void connection_lost(std::exception_ptr error) override;
    void data_received(std::span<const std::byte> data) override;
    bool eof_received() override;
    void pause_writing() override;
    void resume_writing() override;

    void drop() noexcept override;
    std::string describe_entry() const override { return repr(); }
    /// It never gets a connection.
    void abandon() noexcept;

    // For OpenSSL's callbacks

    std::size_t take_incoming(char* to, std::size_t room) noexcept;
    std::size_t put_outgoing(const char* from, std::size_t count) noexcept;
    int choose_context(const char* server_name, int& alert) noexcept;
    void keep_session(ssl_session_st* session) noexcept;

private:
    ///     unwrapped -> handshaking -> wrapped -> flushing -> shutting_down -> closed
    ///
    /// In flushing what the application wrote is on its way; in shutting_down close_notify was sent and the peer's is
    /// waited for. An error leads from any state to failed, where the connection below is being ended, and its end
    /// leads from any state to closed.
    enum class State : std::uint8_t { unwrapped, handshaking, wrapped, flushing, shutting_down, failed, closed };

    struct SslDeleter {
        void operator()(ssl_st* ssl) const noexcept;
    };

    void check_writable() const;
    void start();
    void name_server(const std::string& name);
    void process();
    void process_later();
    void advance();
    void keep_rest();
    void handshake();
    void finish_handshake();
    void read_application_data();
    std::size_t read_some(std::span<std::byte> room, bool& more);
    void deliver(std::span<const std::byte> data);
    void read_once(std::span<std::byte> memory, bool& more);
    void read_into_buffer(std::size_t size_hint, bool& more);
    void peer_closed();
    void begin_shutdown();
    void shut_down();
    void end_lower();
    void send(std::span<const std::byte> data);
    void send_backlog();
    void flush_outgoing();
    void fail(std::exception_ptr error, const char* message);
    void note_failure(std::exception_ptr error, const char* message);
    void fail_when_flushed(std::exception_ptr error, const char* message);
    std::exception_ptr take_error(const char* what) noexcept;
    void tell_ready(std::exception_ptr error);
    void resume_lower();

    EventLoop& loop_;
    std::shared_ptr<BaseProtocol> protocol_;
    std::shared_ptr<Transport> lower_;
    std::unique_ptr<ssl_st, SslDeleter> ssl_;
    TlsContext context_;
    detail::ContextSlot call_context_;      // the protocol is called in it
    std::span<const std::byte> incoming_;   // what OpenSSL reads next: of the data_received() that runs, ...
    std::unique_ptr<Bytes> kept_incoming_;  // ... or what came while nobody read
    Bytes* outgoing_ = nullptr;             // where OpenSSL writes to, while something of ours runs
    std::unique_ptr<Bytes> backlog_;        // what was written and OpenSSL has not taken
    std::unique_ptr<Ready> ready_;
    std::unique_ptr<std::string> server_hostname_;
    TimerHandle timer_;         // of the handshake or the shutdown
    std::exception_ptr error_;  // why the connection below is being ended
    Duration handshake_timeout_;
    Duration shutdown_timeout_;
    State state_ = State::unwrapped;
    bool server_side_ : 1;
    bool announce_ : 1;
    bool announced_ : 1 = false;  // the application's protocol has a connection
    bool buffered_ : 1 = false;   // it is a BufferedProtocol
    bool streams_ : 1 = false;    // it is a StreamState
    bool paused_ : 1 = false;
    bool lower_paused_ : 1 = false;
    bool close_asked_ : 1 = false;
    bool peer_closed_ : 1 = false;  // the peer's close_notify came
    bool out_of_memory_ : 1 = false;
    bool processing_ : 1 = false;
    bool sending_file_ : 1 = false;
};

}  // namespace weft::io
