#pragma once
// Transports: the abstract connection under a protocol (asyncio.Transport).
//
//     transport->write("hello\n");        // never blocks; what the socket does not take is buffered
//     transport->close();                 // flushes, then connection_lost(nullptr)
//
// Used on the loop's thread. After the connection is lost, writes are dropped silently (as in asyncio).

#include <weft/base/bytes.hpp>
#include <weft/io/address.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace weft {

class BaseProtocol;
class EventLoop;
class TlsContext;
class TlsInfo;

class BaseTransport {
public:
    virtual ~BaseTransport() = default;
    /// Stops reading now, flushes what is buffered, then calls connection_lost(nullptr) through the loop. Again: no
    /// effect.
    virtual void close() = 0;
    virtual bool is_closing() const noexcept = 0;
    /// Takes effect with the next event. A Protocol or a BufferedProtocol.
    virtual void set_protocol(std::shared_ptr<BaseProtocol> protocol) = 0;
    virtual std::shared_ptr<BaseProtocol> get_protocol() const = 0;
    virtual EventLoop& get_loop() const noexcept = 0;
};

class Transport : public BaseTransport {
public:
    // Reading

    /// No data_received until resume_reading(). Idempotent.
    virtual void pause_reading() = 0;
    virtual void resume_reading() = 0;
    virtual bool is_reading() const noexcept = 0;

    // Writing

    /// Sends a copy of `data` or as much as the socket takes, and buffers the rest. RuntimeError after write_eof().
    virtual void write(std::span<const std::byte> data) = 0;
    void write(std::string_view text) { write(as_byte_span(text)); }
    /// As one write of all the pieces.
    virtual void writelines(std::span<const std::span<const std::byte>> pieces) = 0;
    /// Sends end-of-file once the buffer is flushed; reading goes on.
    virtual void write_eof() = 0;
    virtual bool can_write_eof() const noexcept = 0;
    /// Drops the buffer and closes; connection_lost(nullptr) through the loop.
    virtual void abort() = 0;
    /// Water marks of the write buffer in bytes: pause_writing above `high` (default 64 KiB), resume_writing at `low`
    /// or less (default high / 4). Only `low` given: high is four times that. ValueError unless high >= low.
    virtual void set_write_buffer_limits(std::optional<std::size_t> high = std::nullopt,
                                         std::optional<std::size_t> low = std::nullopt) = 0;
    /// {low, high}
    virtual std::pair<std::size_t, std::size_t> get_write_buffer_limits() const noexcept = 0;
    virtual std::size_t get_write_buffer_size() const noexcept = 0;

    /// As asyncio's repr: "<Transport fd=7 read=polling write=<idle, bufsize=0>>".
    std::string repr() const;

    // get_extra_info, by name

    /// The peer's address; nothing if the transport has none.
    virtual std::optional<Address> peername() const { return std::nullopt; }
    /// This end's address.
    virtual std::optional<Address> sockname() const { return std::nullopt; }
    /// The descriptor, or -1. It belongs to the transport.
    virtual int fileno() const noexcept { return -1; }
    /// One end of a pipe, not a connection.
    virtual bool is_pipe() const noexcept { return false; }
    /// The context that TLS was set up with; empty on a transport without TLS.
    virtual TlsContext tls_context() const;
    /// What the peers have agreed on, once their TLS handshake is done; nothing on a transport without TLS.
    virtual std::optional<TlsInfo> tls_info() const;
    /// asyncio's keys as text: "peername", "sockname", "socket" or "pipe" (the descriptor's number), and with TLS
    /// "sslcontext" (see tls_context()), "cipher", "version", "peercert", "server_hostname", "alpn"; nothing for a key
    /// that this transport has not: there is no "ssl_object" (see tls_info()), and no "compression", which is off.
    std::optional<std::string> get_extra_info(std::string_view key) const;
};

}  // namespace weft
