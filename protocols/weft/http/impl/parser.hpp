#pragma once
// RequestParser: bytes in, requests out. It knows no connection.
//
//     created -> header -> body -> complete -> (start again) created
//                  \--------\---> failed

#include <weft/http/request.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace weft::http::detail {

class RequestParser {
public:
    /// The state after the bytes fed so far.
    enum class State : std::uint8_t { created, header, body, complete, failed };

    RequestParser(std::size_t header_limit, std::size_t body_limit);
    ~RequestParser();

    /// Begins a request, which must live until the parser is complete or has failed.
    void start(Request& request);
    /// Takes bytes and gives how many: what is left must be fed again with more behind it, unless the parser is
    /// complete (it belongs to the next request) or has failed.
    std::size_t feed(std::span<const std::byte> data);

    State state() const noexcept { return state_; }
    /// In state body: the client waits for `100 Continue` before it sends it.
    bool expects_continue() const noexcept;
    /// In state failed: the response that is due, and why.
    int error_status() const noexcept { return error_status_; }
    const std::string& error_message() const noexcept { return error_message_; }

private:
    class Beast;
    void fail(int status, std::string message);

    const std::size_t header_limit_;
    const std::size_t body_limit_;
    std::unique_ptr<Beast> beast_;
    State state_ = State::created;
    int error_status_ = 0;
    std::string error_message_;
};

}  // namespace weft::http::detail
