#pragma once
// Unix sockets: streams between processes of one machine, named by a path (asyncio.open_unix_connection and its kin).
//
//     Server server = co_await start_unix_server(handler, "/run/app.sock");
//     auto [reader, writer] = co_await open_unix_connection("/run/app.sock");
//
// A path that begins with a zero byte is a name in Linux's abstract namespace, which leaves no file behind:
// `std::string("\0app", 4)`. Everything else is as with TCP.

#include <weft/io/connection.hpp>
#include <weft/io/server.hpp>
#include <weft/io/streams.hpp>

#include <string>
#include <utility>

namespace weft {

namespace io {

/// A socket connected to `path`, or the one of the options.
Coro<SocketRef> connect_path(std::string path, ConnectionOptions options);
Coro<Server> make_unix_server(ProtocolFactory factory, std::string path, ServerOptions options);
Coro<Server> start_unix_stream_server(std::shared_ptr<StreamState::Connected> connected, std::string path,
                                      ServerOptions options);

}  // namespace io

/// Connects to the Unix socket at `path` (loop.create_unix_connection). FileNotFoundError if there is none,
/// ConnectionRefusedError if nobody listens, PermissionError if it may not be written; ValueError for a path that is
/// empty or too long, or given together with ConnectionOptions().sock(fd). While the listener's queue is full it waits.
/// Cancelling closes the socket.
template <class F>
auto EventLoop::create_unix_connection(F protocol_factory, std::string path, ConnectionOptions options) {
    return io::connect_protocol(std::move(protocol_factory), io::connect_path(std::move(path), std::move(options)));
}
template <class F>
auto EventLoop::create_unix_connection(F protocol_factory, std::string path) {
    return create_unix_connection(std::move(protocol_factory), std::move(path), ConnectionOptions());
}

/// Listens at `path` (loop.create_unix_server). A socket that is there already is removed first, whoever's it is; a
/// file of another kind is left, and OSError (address in use) is thrown. The socket's file is removed when the server
/// is closed, if it is still the same one: see ServerOptions::cleanup_socket(). ValueError as for connections.
template <class F>
Coro<Server> EventLoop::create_unix_server(F protocol_factory, std::string path, ServerOptions options) {
    return io::make_unix_server(io::erase_factory(std::move(protocol_factory)), std::move(path), options);
}
template <class F>
Coro<Server> EventLoop::create_unix_server(F protocol_factory, std::string path) {
    return create_unix_server(std::move(protocol_factory), std::move(path), ServerOptions());
}

/// Streams to the Unix socket at `path` (asyncio.open_unix_connection). Errors and cancellation as
/// create_unix_connection().
Coro<std::pair<StreamReader, StreamWriter>> open_unix_connection(std::string path, ConnectionOptions options = {});

/// As start_server(), at `path` (asyncio.start_unix_server). Errors as create_unix_server().
template <class F>
    requires std::is_invocable_v<F&, StreamReader, StreamWriter>
Coro<Server> start_unix_server(F handler, std::string path, ServerOptions options = {}) {
    return io::start_unix_stream_server(io::make_connected(std::move(handler)), std::move(path), options);
}

}  // namespace weft
