#pragma once
// HttpServer: an App that listens. App::serve() gives one.
//
//     HttpServer server = co_await app.serve("127.0.0.1", 0);
//     use(server.port());
//     co_await server.shutdown();
//
// Copies mean the same server. It goes on serving if every handle is dropped.

#include <weft/io/server.hpp>
#include <weft/tasks/coro.hpp>

#include <cstddef>
#include <memory>
#include <vector>

namespace weft::http {

namespace detail {
class ServerCore;
}

class HttpServer {
public:
    HttpServer(Server server, std::shared_ptr<detail::ServerCore> core) noexcept
        : server_(std::move(server)), core_(std::move(core)) {}

    /// The addresses listened on, with the ports the system chose; empty once it is shut down.
    std::vector<Address> sockets() const { return server_.sockets(); }
    /// The port of the first of them; RuntimeError once it is shut down.
    int port() const;
    /// Connections that are open or whose handler still runs.
    std::size_t connections() const noexcept;
    bool is_serving() const { return server_.is_serving(); }

    /// Ends the service gracefully: stops accepting, calls the App's on_shutdown functions, closes idle connections
    /// now, and lets requests in flight finish (their response says `Connection: close`). What is left after
    /// ServeOptions::shutdown_timeout(), or `limit`, is cancelled. Returns when every connection is gone and every
    /// handler has ended. If this is itself cancelled, the rest is cancelled at once.
    Coro<> shutdown();
    Coro<> shutdown(Duration limit);
    /// Cancels every request and drops every connection, also those that a shutdown() waits for.
    void abort();

    /// Serves until the task is cancelled, then shuts down gracefully.
    Coro<> serve_forever();
    /// Serves until SIGTERM or SIGINT, then shuts down gracefully and returns; a second signal makes it abort(). If the
    /// task is cancelled, it shuts down gracefully, too.
    Coro<> serve_until_signal();

private:
    // The coroutines have a copy of the handle, which may be gone when they start.
    static Coro<> shut_down(HttpServer self, Duration limit);
    static Coro<> serve_until_cancelled(HttpServer self);
    static Coro<> serve_until_signalled(HttpServer self);

    Server server_;
    std::shared_ptr<detail::ServerCore> core_;
};

}  // namespace weft::http
