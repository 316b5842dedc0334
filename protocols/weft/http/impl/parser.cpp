#include <weft/http/impl/parser.hpp>

#include <weft/http/impl/request_access.hpp>

#include <boost/beast/http/basic_parser.hpp>

#include <algorithm>
#include <limits>
#include <optional>
#include <string_view>

namespace weft::http::detail {

namespace beast_http = boost::beast::http;
using beast_http::error;
using boost::beast::error_code;

namespace {

/// Of a Content-Length no more than this is believed before the bytes are there.
constexpr std::uint64_t most_reserved = 64 * 1024;

std::string_view as_std(boost::beast::string_view text) noexcept {
    return {text.data(), text.size()};
}

/// One request; it stores what it reads in the Request and is made anew for each.
class Message final : public beast_http::basic_parser<true> {
public:
    Message(Request& request, std::size_t header_limit_bytes, std::size_t body_limit_bytes)
        : request_(request), header_room_(header_limit_bytes) {
        // The header's size is counted here: Beast's limit is one of each piece that is put.
        header_limit(std::numeric_limits<std::uint32_t>::max());
        body_limit(body_limit_bytes);
        eager(true);
    }

    std::size_t header_room() const noexcept { return header_room_; }
    bool expects_continue() const noexcept { return expects_continue_; }
    int own_status() const noexcept { return own_status_; }
    const char* own_message() const noexcept { return own_message_; }

private:
    void refuse(int status, const char* message, error_code& ec) {
        own_status_ = status;
        own_message_ = message;
        ec = error::bad_value;
    }
    bool take_room(std::size_t bytes, error_code& ec) {
        if (bytes > header_room_) {
            ec = error::header_limit;
            return false;
        }
        header_room_ -= bytes;
        return true;
    }

    void on_request_impl(beast_http::verb, boost::beast::string_view method, boost::beast::string_view target,
                         int version, error_code& ec) override {
        if (!take_room(method.size() + target.size() + 12, ec)) return;
        RequestAccess::set_line(request_, as_std(method), as_std(target), version);
        if (!RequestAccess::split_target(request_)) refuse(400, "invalid request target", ec);
    }

    void on_field_impl(beast_http::field field, boost::beast::string_view name, boost::beast::string_view value,
                       error_code& ec) override {
        if (header_done_) return;  // a trailer
        if (!take_room(name.size() + value.size() + 4, ec)) return;
        RequestAccess::add_field(request_, as_std(name), as_std(value));
        if (field == beast_http::field::host) {
            if (++hosts_ > 1) refuse(400, "more than one Host", ec);
        } else if (field == beast_http::field::transfer_encoding) {
            if (!equals_ignoring_case(as_std(value), "chunked")) refuse(501, "unknown transfer coding", ec);
        } else if (field == beast_http::field::expect) {
            if (equals_ignoring_case(as_std(value), "100-continue"))
                expects_continue_ = true;
            else
                refuse(417, "unknown expectation", ec);
        }
    }

    void on_header_impl(error_code& ec) override {
        header_done_ = true;
        const bool is_11 = request_.version() >= 11;
        if (!take_room(2, ec)) return;
        if (is_11 && hosts_ == 0) return refuse(400, "no Host", ec);
        if (!is_11 && chunked()) return refuse(400, "Transfer-Encoding in HTTP/1.0", ec);
        if (!is_11) expects_continue_ = false;
        RequestAccess::set_keep_alive(request_, keep_alive());
    }

    void on_body_init_impl(const boost::optional<std::uint64_t>& content_length, error_code&) override {
        if (content_length)
            RequestAccess::reserve_body(request_, static_cast<std::size_t>(std::min(*content_length, most_reserved)));
    }
    std::size_t on_body_impl(boost::beast::string_view body, error_code&) override {
        RequestAccess::append_body(request_, as_std(body));
        return body.size();
    }
    void on_chunk_header_impl(std::uint64_t, boost::beast::string_view, error_code&) override {}
    std::size_t on_chunk_body_impl(std::uint64_t, boost::beast::string_view body, error_code&) override {
        RequestAccess::append_body(request_, as_std(body));
        return body.size();
    }
    void on_finish_impl(error_code&) override {}
    void on_response_impl(int, boost::beast::string_view, int, error_code&) override {}

    Request& request_;
    std::size_t header_room_;
    unsigned hosts_ = 0;
    bool header_done_ = false;
    bool expects_continue_ = false;
    int own_status_ = 0;
    const char* own_message_ = nullptr;
};

/// Whether the request line in `text` ends with a version as it is written, supported or not.
bool has_version(std::string_view text) noexcept {
    const std::string_view line = text.substr(0, text.find('\r'));
    const std::size_t space = line.rfind(' ');
    if (space == std::string_view::npos) return false;
    const std::string_view version = line.substr(space + 1);
    const auto digit = [version](std::size_t i) { return version[i] >= '0' && version[i] <= '9'; };
    return version.size() == 8 && version.starts_with("HTTP/") && digit(5) && version[6] == '.' && digit(7);
}

}  // namespace

class RequestParser::Beast {
public:
    std::optional<Message> message;
};

RequestParser::RequestParser(std::size_t header_limit, std::size_t body_limit)
    : header_limit_(header_limit), body_limit_(body_limit), beast_(std::make_unique<Beast>()) {}

RequestParser::~RequestParser() = default;

void RequestParser::start(Request& request) {
    beast_->message.emplace(request, header_limit_, body_limit_);
    state_ = State::created;
}

bool RequestParser::expects_continue() const noexcept {
    return state_ == State::body && beast_->message->expects_continue();
}

void RequestParser::fail(int status, std::string message) {
    state_ = State::failed;
    error_status_ = status;
    error_message_ = std::move(message);
}

std::size_t RequestParser::feed(std::span<const std::byte> data) {
    const char* const bytes = reinterpret_cast<const char*>(data.data());
    std::size_t used = 0;
    if (state_ == State::created) {
        // Empty lines before a request are tolerated (RFC 9112, 2.2).
        while (used < data.size() && (bytes[used] == '\r' || bytes[used] == '\n'))
            ++used;
        if (used == data.size()) return used;
        state_ = State::header;
    }
    Message& message = *beast_->message;
    error_code ec;
    used += message.put(boost::asio::const_buffer(bytes + used, data.size() - used), ec);
    const std::size_t left = data.size() - used;
    if (!ec || ec == error::need_more) {
        if (message.is_done())
            state_ = State::complete;
        else if (message.is_header_done())
            state_ = State::body;
        if (state_ == State::header && left > message.header_room())
            fail(431, "the header is too large");
        else if (state_ == State::body && left > header_limit_)
            fail(400, "a chunk's header is too large");
        return used;
    }
    if (message.own_status() != 0)
        fail(message.own_status(), message.own_message());
    else if (ec == error::header_limit)
        fail(431, "the header is too large");
    else if (ec == error::body_limit)
        fail(413, "the body is too large");
    else if (ec == error::bad_version && has_version(std::string_view(bytes + used, left)))
        fail(505, "this version of HTTP is not supported");
    else
        fail(400, ec.message());
    return used;
}

}  // namespace weft::http::detail
