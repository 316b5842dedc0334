#pragma once
// sendfile: sends a file without copying it through the program (loop.sendfile, loop.sock_sendfile).
//
//     int file = open("index.html", O_RDONLY | O_CLOEXEC);
//     std::size_t sent = co_await loop.sendfile(transport, file);
//
// `count` bytes from `offset` on, or all to the end of the file; the result is how many. The file stays the caller's;
// its position is offset + sent afterwards, also after an error. What was written before is sent first. Until it
// returns the protocol gets no data, and write() and write_eof() throw RuntimeError.
//
// Where the system cannot do it (TLS, a simulated network, a file that is not one), the file is read and written by
// pieces, with back-pressure; SendfileNotAvailableError instead if `fallback` is false. Reading a file, in either way,
// holds the loop while the disk is waited for. ConnectionError if the connection ends meanwhile, RuntimeError if the
// transport is closing or sends a file already, ValueError if `count` is 0.
//
// loop.sock_sendfile(fd, file, ...) does the same on a connected stream socket of the caller's; see io/sockets.hpp.

#include <weft/io/transport.hpp>
#include <weft/loop/event_loop.hpp>
#include <weft/tasks/coro.hpp>

#include <cstddef>
#include <cstdint>
#include <system_error>

namespace weft::io {

/// sendfile(2), without waiting and without SIGPIPE. 0 without an error: the file ends there.
/// std::errc::operation_would_block, std::errc::operation_not_supported (this file or this socket), or the error.
std::size_t system_sendfile(int socket, int file, std::uint64_t offset, std::size_t count,
                            std::error_code& error) noexcept;

}  // namespace weft::io
