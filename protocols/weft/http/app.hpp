#pragma once
// App: an HTTP service, made of routes.
//
//     App app;
//     app.get("/users/{id}", [](Request& request) -> Coro<Response> { co_return Response::json(co_await load(...)); });
//     app.post("/users", create_user);
//     co_await app.run("127.0.0.1", 8080);          // until SIGTERM or Ctrl-C
//
// Handlers run on the loop that serves, one request of a connection at a time, and start as soon as the request is
// there. A handler is cancelled when its client goes away. What it throws is answered with 500 and reported to the
// loop's exception handler, unless it is an HttpError. HEAD is answered by the handler of GET; unknown paths with 404,
// known ones with 405 and Allow. Paths are explained at Router.

#include <weft/http/router.hpp>
#include <weft/http/serve_options.hpp>
#include <weft/http/server.hpp>
#include <weft/tasks/coro.hpp>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace weft::http {

namespace detail {

/// What an App and its servers share.
class AppState {
public:
    Router router;
    std::vector<std::function<void()>> shutdown_functions;
};

}  // namespace detail

/// Copies mean the same application.
class App {
public:
    App() : state_(std::make_shared<detail::AppState>()) {}

    /// Adds a handler: a coroutine or plain function of a Request& that gives a Response. It is kept for as long as a
    /// coroutine of it may run. ValueError for a malformed path or a second handler of the same.
    App& get(std::string path, Handler handler) { return route("GET", std::move(path), std::move(handler)); }
    App& post(std::string path, Handler handler) { return route("POST", std::move(path), std::move(handler)); }
    App& put(std::string path, Handler handler) { return route("PUT", std::move(path), std::move(handler)); }
    App& patch(std::string path, Handler handler) { return route("PATCH", std::move(path), std::move(handler)); }
    App& del(std::string path, Handler handler) { return route("DELETE", std::move(path), std::move(handler)); }
    App& head(std::string path, Handler handler) { return route("HEAD", std::move(path), std::move(handler)); }
    App& route(std::string method, std::string path, Handler handler) {
        state_->router.add(std::move(method), path, std::move(handler));
        return *this;
    }
    /// Called when a graceful shutdown starts, in the order added: to end streams that would go on for ever.
    App& on_shutdown(std::function<void()> fn) {
        state_->shutdown_functions.push_back(std::move(fn));
        return *this;
    }

    /// Listens at `host`:`port` of the running loop ("" for every interface, port 0 for any free one).
    Coro<HttpServer> serve(std::string host, int port, ServeOptions options = {}) const;
    /// Serves until SIGTERM or SIGINT, then shuts down gracefully; see HttpServer::serve_until_signal().
    Coro<> run(std::string host, int port, ServeOptions options = {}) const;

private:
    // The coroutines have a copy of the handle, which may be gone when they start.
    static Coro<HttpServer> start(App self, std::string host, int port, ServeOptions options);
    static Coro<> run_until_signalled(App self, std::string host, int port, ServeOptions options);

    std::shared_ptr<detail::AppState> state_;
};

}  // namespace weft::http
