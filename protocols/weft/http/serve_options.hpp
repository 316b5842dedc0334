#pragma once
// ServeOptions: how an App serves; its limits and time-outs.
//
//     app.serve("", 8080, ServeOptions().body_limit(10 << 20).idle_timeout(15s))

#include <weft/io/server.hpp>
#include <weft/loop/handle.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>

namespace weft::http {

class HttpServer;

class ServeOptions {
public:
    using Listening = std::function<void(const HttpServer&)>;

    ServeOptions() = default;

    /// Bytes of a request's line and header fields; more are answered 431. Default 16 KiB.
    ServeOptions& header_limit(std::size_t bytes) & { return header_limit_ = bytes, *this; }
    ServeOptions&& header_limit(std::size_t bytes) && { return std::move(header_limit(bytes)); }
    /// Bytes of a request's body; more are answered 413. Default 1 MiB.
    ServeOptions& body_limit(std::size_t bytes) & { return body_limit_ = bytes, *this; }
    ServeOptions&& body_limit(std::size_t bytes) && { return std::move(body_limit(bytes)); }
    /// From the first byte of a request to the end of its header fields; then 408. Default 10 s.
    ServeOptions& header_timeout(Duration limit) & { return header_timeout_ = limit, *this; }
    ServeOptions&& header_timeout(Duration limit) && { return std::move(header_timeout(limit)); }
    /// Between two pieces of a request's body; then 408. Default 30 s.
    ServeOptions& body_timeout(Duration limit) & { return body_timeout_ = limit, *this; }
    ServeOptions&& body_timeout(Duration limit) && { return std::move(body_timeout(limit)); }
    /// How long a connection may wait for a request; then it is closed silently. Default 75 s.
    ServeOptions& idle_timeout(Duration limit) & { return idle_timeout_ = limit, *this; }
    ServeOptions&& idle_timeout(Duration limit) && { return std::move(idle_timeout(limit)); }
    /// How long a client may stop reading a response that is due; then the connection is aborted. Default 60 s.
    ServeOptions& write_timeout(Duration limit) & { return write_timeout_ = limit, *this; }
    ServeOptions&& write_timeout(Duration limit) && { return std::move(write_timeout(limit)); }
    /// How long a graceful shutdown waits for requests in flight before it cancels them. Default 10 s.
    ServeOptions& shutdown_timeout(Duration limit) & { return shutdown_timeout_ = limit, *this; }
    ServeOptions&& shutdown_timeout(Duration limit) && { return std::move(shutdown_timeout(limit)); }
    /// Requests of one connection that are read ahead while one is handled; then reading pauses. Default 16.
    ServeOptions& pipeline_limit(std::size_t requests) & { return pipeline_limit_ = requests, *this; }
    ServeOptions&& pipeline_limit(std::size_t requests) && { return std::move(pipeline_limit(requests)); }
    /// True: a client that ends its sending side still gets the answers to what it sent. False: it has gone, and its
    /// handler is cancelled; default, since this is all that can be seen of most clients that go away.
    ServeOptions& half_close(bool value) & { return half_close_ = value, *this; }
    ServeOptions&& half_close(bool value) && { return std::move(half_close(value)); }
    /// The `Server` header field; default none.
    ServeOptions& server_name(std::string name) & { return server_name_ = std::move(name), *this; }
    ServeOptions&& server_name(std::string name) && { return std::move(server_name(std::move(name))); }
    /// How to listen: backlog, reuse_port, ...
    ServeOptions& listen(ServerOptions options) & { return listen_ = options, *this; }
    ServeOptions&& listen(ServerOptions options) && { return std::move(listen(options)); }
    /// Called once the server listens: to print the port that the system chose.
    ServeOptions& on_listening(Listening fn) & { return on_listening_ = std::move(fn), *this; }
    ServeOptions&& on_listening(Listening fn) && { return std::move(on_listening(std::move(fn))); }

    std::size_t header_limit() const noexcept { return header_limit_; }
    std::size_t body_limit() const noexcept { return body_limit_; }
    Duration header_timeout() const noexcept { return header_timeout_; }
    Duration body_timeout() const noexcept { return body_timeout_; }
    Duration idle_timeout() const noexcept { return idle_timeout_; }
    Duration write_timeout() const noexcept { return write_timeout_; }
    Duration shutdown_timeout() const noexcept { return shutdown_timeout_; }
    std::size_t pipeline_limit() const noexcept { return pipeline_limit_; }
    bool half_close() const noexcept { return half_close_; }
    const std::string& server_name() const noexcept { return server_name_; }
    const ServerOptions& listen() const noexcept { return listen_; }
    const Listening& on_listening() const noexcept { return on_listening_; }

private:
    std::size_t header_limit_ = 16 * 1024;
    std::size_t body_limit_ = 1024 * 1024;
    std::size_t pipeline_limit_ = 16;
    Duration header_timeout_ = std::chrono::seconds(10);
    Duration body_timeout_ = std::chrono::seconds(30);
    Duration idle_timeout_ = std::chrono::seconds(75);
    Duration write_timeout_ = std::chrono::seconds(60);
    Duration shutdown_timeout_ = std::chrono::seconds(10);
    bool half_close_ = false;
    std::string server_name_;
    ServerOptions listen_;
    Listening on_listening_;
};

}  // namespace weft::http
