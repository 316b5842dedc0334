#pragma once
// Pipes: one end of a FIFO, of a terminal, or of another device that can be waited for, as a transport
// (loop.connect_read_pipe, loop.connect_write_pipe).
//
//     StreamReader reader(65536);
//     auto protocol = std::make_shared<StreamReaderProtocol>(reader);
//     auto pipe = co_await loop.connect_read_pipe([protocol] { return protocol; }, ::dup(STDIN_FILENO));
//     Bytes line = co_await reader.readline();
//
// The transport takes the descriptor over, makes it non-blocking and closes it. A writing end whose reader goes is
// lost: with BrokenPipeError if something was unsent, else with null; what is written after close() is dropped;
// write_eof() closes it. The end of the stream ends a reading end, whatever eof_received() says.

#include <weft/io/connection.hpp>
#include <weft/io/network.hpp>

#include <optional>
#include <utility>

namespace weft {

namespace io {

/// ValueError, and the descriptor stays the caller's, if it is none of what the head of this file says.
Coro<SocketRef> adopt_pipe(int fd, PipeEnd end);

}  // namespace io

/// `protocol_factory()` receives what comes out of `fd`; gives the transport and the protocol.
template <class F>
auto EventLoop::connect_read_pipe(F protocol_factory, int fd) {
    return io::connect_protocol(std::move(protocol_factory), io::adopt_pipe(fd, io::PipeEnd::reading),
                                ConnectionOptions(), std::nullopt);
}
/// The transport writes to `fd`.
template <class F>
auto EventLoop::connect_write_pipe(F protocol_factory, int fd) {
    return io::connect_protocol(std::move(protocol_factory), io::adopt_pipe(fd, io::PipeEnd::writing),
                                ConnectionOptions(), std::nullopt);
}

}  // namespace weft
