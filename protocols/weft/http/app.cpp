#include <weft/http/app.hpp>

#include <weft/http/impl/connection.hpp>
#include <weft/http/impl/server_core.hpp>

namespace weft::http {

Coro<HttpServer> App::serve(std::string host, int port, ServeOptions options) const {
    return start(*this, std::move(host), port, std::move(options));
}

Coro<> App::run(std::string host, int port, ServeOptions options) const {
    return run_until_signalled(*this, std::move(host), port, std::move(options));
}

Coro<HttpServer> App::start(App self, std::string host, int port, ServeOptions options) {
    const ServerOptions listen = options.listen();
    const ServeOptions::Listening on_listening = options.on_listening();
    EventLoop& loop = get_running_loop();
    auto core = std::make_shared<detail::ServerCore>(loop, self.state_, std::move(options));
    auto factory = [core] { return std::make_shared<detail::Connection>(core); };
    Server server = co_await loop.create_server(factory, std::move(host), port, listen);
    HttpServer serving(std::move(server), std::move(core));
    if (on_listening) on_listening(serving);
    co_return serving;
}

Coro<> App::run_until_signalled(App self, std::string host, int port, ServeOptions options) {
    HttpServer server = co_await self.serve(std::move(host), port, std::move(options));
    co_await server.serve_until_signal();
}

}  // namespace weft::http
