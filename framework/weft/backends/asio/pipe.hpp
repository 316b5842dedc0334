#pragma once
// One end of a pipe.

#include <weft/backends/asio/socket_context.hpp>
#include <weft/io/network.hpp>

namespace weft::asio_backend {

/// Takes the descriptor over; it is closed if this throws.
io::SocketRef make_pipe(SocketContext& context, int fd, io::PipeEnd end);

}  // namespace weft::asio_backend
