#include <weft/http/impl/server_core.hpp>

#include <weft/http/impl/connection.hpp>
#include <weft/http/impl/request_access.hpp>

#include <array>
#include <cassert>
#include <cstdio>

namespace weft::http::detail {

namespace {

constexpr std::size_t most_spares = 64;
constexpr std::size_t largest_spare = 64 * 1024;

}  // namespace

ServerCore::ServerCore(EventLoop& loop, std::shared_ptr<AppState> app, ServeOptions options)
    : loop_(loop), app_(std::move(app)), options_(std::move(options)) {
    if (options_.header_limit() == 0) throw ValueError("header_limit must be positive");
    if (options_.pipeline_limit() == 0) throw ValueError("pipeline_limit must be positive");
    if (!options_.server_name().empty()) Headers().set("Server", options_.server_name());  // throws if it is none
}

ServerCore::~ServerCore() = default;

void ServerCore::add(Connection& connection) {
    connection.registry_index = connections_.size();
    connections_.push_back(&connection);
}

void ServerCore::remove(Connection& connection) noexcept {
    const std::size_t index = connection.registry_index;
    assert(index < connections_.size() && connections_[index] == &connection);
    connections_[index] = connections_.back();
    connections_[index]->registry_index = index;
    connections_.pop_back();
    if (!connections_.empty()) return;
    for (Future<>& waiter : std::exchange(waiters_, {}))
        if (!waiter.done()) waiter.set_result();
}

std::vector<std::shared_ptr<Connection>> ServerCore::all() const {
    std::vector<std::shared_ptr<Connection>> connections;
    connections.reserve(connections_.size());
    for (Connection* connection : connections_)
        connections.push_back(connection->shared_from_this());
    return connections;
}

void ServerCore::begin_drain() {
    if (std::exchange(draining_, true)) return;
    for (const auto& connection : all())
        connection->drain();
    for (const auto& fn : app_->shutdown_functions) {
        try {
            fn();
        } catch (const std::exception&) {
            loop_.call_exception_handler(
                ExceptionContext("exception in an on_shutdown function", std::current_exception()));
        }
    }
}

void ServerCore::abort_all() {
    for (const auto& connection : all())
        connection->abort();
}

Coro<> ServerCore::wait_empty() {
    if (connections_.empty()) co_return;
    Future<> empty = loop_.create_future<void>();
    waiters_.push_back(empty);
    co_await empty;
}

std::string_view ServerCore::date_line() {
    const std::time_t now = std::time(nullptr);
    if (now == date_second_) return date_line_;
    static constexpr std::array days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static constexpr std::array months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    std::tm parts{};
    gmtime_r(&now, &parts);
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n",
                  days[static_cast<std::size_t>(parts.tm_wday)], parts.tm_mday,
                  months[static_cast<std::size_t>(parts.tm_mon)], parts.tm_year + 1900, parts.tm_hour, parts.tm_min,
                  parts.tm_sec);
    date_line_ = text.data();
    date_second_ = now;
    return date_line_;
}

std::unique_ptr<Request> ServerCore::take_request() {
    if (spare_requests_.empty()) return std::make_unique<Request>();
    std::unique_ptr<Request> request = std::move(spare_requests_.back());
    spare_requests_.pop_back();
    return request;
}

void ServerCore::give_back(std::unique_ptr<Request> request) {
    if (!request || spare_requests_.size() >= most_spares) return;
    RequestAccess::reset(*request);
    spare_requests_.push_back(std::move(request));
}

std::string ServerCore::take_buffer() {
    if (spare_buffers_.empty()) return {};
    std::string buffer = std::move(spare_buffers_.back());
    spare_buffers_.pop_back();
    return buffer;
}

void ServerCore::give_back(std::string buffer) {
    if (buffer.capacity() > largest_spare || spare_buffers_.size() >= most_spares) return;
    buffer.clear();
    spare_buffers_.push_back(std::move(buffer));
}

}  // namespace weft::http::detail
