#include <weft/http/response.hpp>

#include <weft/http/errors.hpp>

namespace weft::http {

namespace {

void check_status(int status) {
    if (status < 200 || status > 599) throw ValueError("HTTP status " + std::to_string(status) + " is not a final one");
}

void check_not_framing(std::string_view name) {
    if (equals_ignoring_case(name, "Content-Length") || equals_ignoring_case(name, "Transfer-Encoding"))
        throw InvalidHeaderError("header " + std::string(name) + " is set by the server");
}

}  // namespace

Response::Response(int status) : status_(status) {
    check_status(status);
}

Response::Response(std::string body, std::string_view content_type, int status)
    : status_(status), body_(std::move(body)) {
    check_status(status);
    headers_.add("Content-Type", content_type);
}

Response Response::text(std::string body, int status) {
    return Response(std::move(body), "text/plain; charset=utf-8", status);
}

Response Response::html(std::string body, int status) {
    return Response(std::move(body), "text/html; charset=utf-8", status);
}

Response Response::json(std::string body, int status) {
    return Response(std::move(body), "application/json", status);
}

Response Response::bytes(std::span<const std::byte> body, std::string_view content_type, int status) {
    return Response(std::string(reinterpret_cast<const char*>(body.data()), body.size()), content_type, status);
}

Response Response::redirect(std::string_view location, int status) {
    Response response(status);
    response.headers_.add("Location", location);
    return response;
}

Response& Response::header(std::string_view name, std::string_view value) & {
    check_not_framing(name);
    headers_.set(name, value);
    return *this;
}

Response& Response::add_header(std::string_view name, std::string_view value) & {
    check_not_framing(name);
    headers_.add(name, value);
    return *this;
}

Response& Response::status(int status) & {
    check_status(status);
    status_ = status;
    return *this;
}

}  // namespace weft::http
