#pragma once
// The exceptions of the HTTP layer.
//
//     if (!room) throw http::HttpError(404, "no such room");    // in a handler: answers 404 with that text

#include <weft/base/exceptions.hpp>

#include <stdexcept>
#include <string>

namespace weft::http {

/// Thrown by a handler, it becomes the response: `status` with the message as its text. It is not reported anywhere.
class HttpError : public std::runtime_error {
public:
    explicit HttpError(int status);
    HttpError(int status, const std::string& message) : std::runtime_error(message), status_(status) {}
    int status() const noexcept { return status_; }

private:
    int status_;
};

/// A header field that must not be sent: a name that is no token, a value with a line break or a zero byte in it
/// (header injection), or a field that the server itself decides (Content-Length, Transfer-Encoding).
class InvalidHeaderError : public ValueError {
    using ValueError::ValueError;
};

}  // namespace weft::http
