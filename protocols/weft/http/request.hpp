#pragma once
// Request: what a handler is given. The server owns it; it stays valid until the response has been sent, the body of a
// streamed response included, and so do the views it gives out.
//
//     Coro<Response> show(Request& request) {
//         std::string_view id = request.param("id");                   // of the route "/users/{id}"
//         std::string_view page = request.query("page").value_or("1"); // of ?page=2
//         if (request.header("accept") == "text/html") ...
//     }

#include <weft/base/bytes.hpp>
#include <weft/http/headers.hpp>
#include <weft/http/url.hpp>
#include <weft/io/address.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weft::http {

namespace detail {
class RequestAccess;
}

class Request {
public:
    Request() = default;
    Request(const Request&) = delete;
    Request& operator=(const Request&) = delete;

    /// "GET", "POST", ...: as sent, and methods are upper-case by convention.
    std::string_view method() const noexcept { return view(method_); }
    /// As sent: "/a%20b?x=1".
    std::string_view target() const noexcept { return view(target_); }
    /// The path of the target, percent-decoded: "/a b".
    std::string_view path() const noexcept { return decoded_path_.empty() ? raw_path() : decoded_path_; }
    /// The path of the target as sent: "/a%20b".
    std::string_view raw_path() const noexcept { return view(path_); }

    /// What stands behind the question mark, as sent.
    std::string_view query_string() const noexcept { return view(query_); }
    /// The first value of that name in the query, decoded; empty for a name without a value.
    std::optional<std::string_view> query(std::string_view name) const;
    /// All of the query in order, decoded.
    const QueryParameters& query_parameters() const;

    /// The value of the first header field of that name, whatever its case.
    std::optional<std::string_view> header(std::string_view name) const noexcept;
    /// All header fields in order.
    std::vector<HeaderField> headers() const;

    /// What the route's `{name}` matched, decoded. ValueError if the route has no such parameter.
    std::string_view param(std::string_view name) const;

    /// The whole body, at most ServeOptions::body_limit() bytes.
    const Bytes& body() const noexcept { return body_; }
    /// The body as characters.
    std::string_view text() const noexcept { return body_.text(); }
    /// Moves the body out.
    Bytes take_body() noexcept { return std::move(body_); }
    /// The first value of that name in a body of type application/x-www-form-urlencoded, decoded; nothing for
    /// bodies of another type.
    std::optional<std::string_view> form(std::string_view name) const;

    /// The client's address, if its transport has one.
    const std::optional<Address>& peer() const noexcept { return peer_; }
    /// 11 for HTTP/1.1, 10 for HTTP/1.0.
    int version() const noexcept { return version_; }
    /// Whether the client wants to send further requests on this connection.
    bool keep_alive() const noexcept { return keep_alive_; }

private:
    friend class detail::RequestAccess;

    /// A piece of `arena_`.
    class Piece {
    public:
        std::uint32_t offset = 0;
        std::uint32_t size = 0;
    };
    class Field {
    public:
        Piece name;
        Piece value;
    };

    std::string_view view(Piece piece) const noexcept {
        return std::string_view(arena_).substr(piece.offset, piece.size);
    }

    std::string arena_;  // method, target and fields
    std::vector<Field> fields_;
    Piece method_;
    Piece target_;
    Piece path_;
    Piece query_;
    std::string decoded_path_;  // empty if it is the raw one
    std::vector<std::pair<std::string_view, std::string>> params_;
    mutable std::optional<QueryParameters> query_parameters_;
    mutable std::optional<QueryParameters> form_;
    Bytes body_;
    std::optional<Address> peer_;
    int version_ = 11;
    bool keep_alive_ = false;
};

}  // namespace weft::http
