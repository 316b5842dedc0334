#include <weft/http/server.hpp>

#include <weft/http/impl/server_core.hpp>
#include <weft/loop/event_loop.hpp>
#include <weft/tasks/task.hpp>

#include <csignal>

namespace weft::http {

namespace {

/// While it lives, SIGTERM and SIGINT are this server's.
class SignalWatch {
public:
    SignalWatch(EventLoop& loop, std::shared_ptr<detail::ServerCore> core)
        : loop_(loop), core_(std::move(core)), arrived_(loop.create_future<void>()) {
        loop_.add_signal_handler(SIGTERM, [this] { on_signal(); });
        loop_.add_signal_handler(SIGINT, [this] { on_signal(); });
    }
    SignalWatch(const SignalWatch&) = delete;
    SignalWatch& operator=(const SignalWatch&) = delete;
    ~SignalWatch() {
        if (loop_.is_closed()) return;
        loop_.remove_signal_handler(SIGTERM);
        loop_.remove_signal_handler(SIGINT);
    }
    Future<> arrived() const { return arrived_; }

private:
    void on_signal() {
        if (arrived_.done())
            core_->abort_all();
        else
            arrived_.set_result();
    }

    EventLoop& loop_;
    std::shared_ptr<detail::ServerCore> core_;
    Future<> arrived_;
};

}  // namespace

int HttpServer::port() const {
    const std::vector<Address> addresses = sockets();
    if (addresses.empty()) throw RuntimeError("the server does not listen any more");
    return addresses.front().port();
}

std::size_t HttpServer::connections() const noexcept {
    return core_->connections();
}

void HttpServer::abort() {
    core_->abort_all();
}

Coro<> HttpServer::shutdown() {
    return shutdown(core_->options().shutdown_timeout());
}

Coro<> HttpServer::shutdown(Duration limit) {
    return shut_down(*this, limit);
}

Coro<> HttpServer::serve_forever() {
    return serve_until_cancelled(*this);
}

Coro<> HttpServer::serve_until_signal() {
    return serve_until_signalled(*this);
}

Coro<> HttpServer::shut_down(HttpServer self, Duration limit) {
    Server server = self.server_;
    const std::shared_ptr<detail::ServerCore> core = self.core_;
    server.close();
    core->begin_drain();
    Handle deadline = core->loop().call_later(limit, [core] { core->abort_all(); });
    std::exception_ptr cancelled;
    try {
        co_await core->wait_empty();
    } catch (...) {
        cancelled = std::current_exception();
    }
    deadline.cancel();
    if (cancelled) {
        core->abort_all();
        std::rethrow_exception(cancelled);
    }
    co_await server.wait_closed();
}

Coro<> HttpServer::serve_until_cancelled(HttpServer self) {
    Future<> never = self.core_->loop().create_future<void>();
    std::exception_ptr cancelled;
    try {
        co_await never;
    } catch (const CancelledError&) {
        cancelled = std::current_exception();
    }
    co_await self.shutdown();
    if (cancelled) std::rethrow_exception(cancelled);
}

Coro<> HttpServer::serve_until_signalled(HttpServer self) {
    const SignalWatch signals(self.core_->loop(), self.core_);
    Future<> arrived = signals.arrived();
    std::exception_ptr cancelled;
    try {
        co_await arrived;
    } catch (const CancelledError&) {
        cancelled = std::current_exception();
    }
    co_await self.shutdown();
    if (cancelled) std::rethrow_exception(cancelled);
}

}  // namespace weft::http
