#pragma once
// ServerCore: what the connections of one HttpServer share: the routes and limits, who is connected, the Date line, and
// memory to reuse.

#include <weft/http/app.hpp>
#include <weft/http/request.hpp>
#include <weft/http/serve_options.hpp>
#include <weft/loop/event_loop.hpp>
#include <weft/tasks/future.hpp>

#include <cstddef>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace weft::http::detail {

class Connection;

class ServerCore {
public:
    ServerCore(EventLoop& loop, std::shared_ptr<AppState> app, ServeOptions options);
    ~ServerCore();

    EventLoop& loop() const noexcept { return loop_; }
    const ServeOptions& options() const noexcept { return options_; }
    Router& router() const noexcept { return app_->router; }
    bool is_draining() const noexcept { return draining_; }

    /// A connection is counted until it is lost and its task has ended.
    void add(Connection& connection);
    void remove(Connection& connection) noexcept;
    std::size_t connections() const noexcept { return connections_.size(); }

    /// No more requests than those in flight. Again: no effect.
    void begin_drain();
    void abort_all();
    Coro<> wait_empty();

    /// "Date: ...\r\n" of this second.
    std::string_view date_line();

    std::unique_ptr<Request> take_request();
    void give_back(std::unique_ptr<Request> request);
    std::string take_buffer();
    void give_back(std::string buffer);

private:
    std::vector<std::shared_ptr<Connection>> all() const;

    EventLoop& loop_;
    std::shared_ptr<AppState> app_;
    const ServeOptions options_;
    std::vector<Connection*> connections_;
    std::vector<Future<>> waiters_;
    std::vector<std::unique_ptr<Request>> spare_requests_;
    std::vector<std::string> spare_buffers_;
    std::string date_line_;
    std::time_t date_second_ = -1;
    bool draining_ = false;
};

}  // namespace weft::http::detail
