#pragma once
// Protocols: what an application writes to handle a connection by callbacks (asyncio.Protocol and its kin).
//
//     class Echo : public weft::Protocol {
//         void connection_made(std::shared_ptr<weft::Transport> transport) override { transport_ = transport; }
//         void data_received(std::span<const std::byte> data) override { transport_->write(data); }
//         std::shared_ptr<weft::Transport> transport_;
//     };
//
// Callbacks run on the loop's thread: connection_made once, then data_received any number of times, eof_received at
// most once, connection_lost once. What they throw reaches the loop's exception handler; from data_received and
// eof_received it also closes the connection.

#include <cstddef>
#include <exception>
#include <memory>
#include <span>

namespace weft {

class Transport;

class BaseProtocol {
public:
    virtual ~BaseProtocol() = default;
    /// The connection stands. Keep the transport to write; reading starts when this has returned.
    virtual void connection_made(std::shared_ptr<Transport> transport) { (void)transport; }
    /// The connection is gone: null after an orderly end or abort(), else the error. Nothing is called after it.
    virtual void connection_lost(std::exception_ptr error) { (void)error; }
    /// The write buffer rose above its high-water mark; called from inside write(). Strictly paired with the next.
    virtual void pause_writing() {}
    /// The write buffer fell to its low-water mark.
    virtual void resume_writing() {}
    /// The peer will send no more. True keeps the connection open for writing; false closes it.
    virtual bool eof_received() { return false; }
};

class Protocol : public BaseProtocol {
public:
    /// `data` is valid during the call only.
    virtual void data_received(std::span<const std::byte> data) { (void)data; }
};

/// A protocol that provides the memory that data is put into.
class BufferedProtocol : public BaseProtocol {
public:
    /// Where the next bytes go; `size_hint` is how many are there, 0 if not known. Must not be empty.
    virtual std::span<std::byte> get_buffer(std::size_t size_hint) = 0;
    /// `count` bytes were put there.
    virtual void buffer_updated(std::size_t count) = 0;
};

}  // namespace weft
