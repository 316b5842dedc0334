#pragma once
// Response: what a handler returns.
//
//     return Response::text("hello\n");
//     return Response::json("{\"ok\":true}").header("Cache-Control", "no-store");
//     return Response(204);
//     return Response::redirect("/login");
//     return Response::stream([](ResponseStream& out) -> Coro<> {
//         for (int i = 0; i < 10; ++i) { co_await out.write("tick\n"); co_await sleep(1s); }
//     }, "text/plain");
//
// The server adds Date, Content-Length or Transfer-Encoding, and Connection where it is due.

#include <weft/base/unique_function.hpp>
#include <weft/http/headers.hpp>
#include <weft/http/response_stream.hpp>
#include <weft/tasks/coro.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace weft::http {

class Response {
public:
    /// Sends the body of a streamed response.
    using StreamBody = UniqueFunction<Coro<>(ResponseStream&)>;

    /// Without a body. ValueError unless 200 <= status <= 599.
    explicit Response(int status = 200);
    Response(Response&&) = default;
    Response& operator=(Response&&) = default;

    /// text/plain; charset=utf-8
    static Response text(std::string body, int status = 200);
    /// text/html; charset=utf-8
    static Response html(std::string body, int status = 200);
    /// application/json; `body` is serialised already.
    static Response json(std::string body, int status = 200);
    static Response bytes(std::span<const std::byte> body, std::string_view content_type, int status = 200);
    /// A redirection; 303 makes the client GET `location`.
    static Response redirect(std::string_view location, int status = 303);
    /// The body is what `body(ResponseStream&)`, a coroutine, writes. It is kept while it runs, and it is cancelled
    /// when the client goes away. If it throws, the response is cut off, so that the client sees an error, and the
    /// exception is reported. A HEAD request does not run it.
    template <class F>
    static Response stream(F body, std::string_view content_type = "application/octet-stream") {
        static_assert(std::is_invocable_r_v<Coro<>, F&, ResponseStream&>,
                      "Response::stream: the body is a coroutine, Coro<>(ResponseStream&)");
        Response response;
        response.headers_.add("Content-Type", content_type);
        response.stream_ = StreamBody(std::move(body));
        return response;
    }

    /// Sets a header field in place of those of the same name. InvalidHeaderError for what must not be sent. Setting
    /// `Connection: close` makes this the connection's last response.
    Response& header(std::string_view name, std::string_view value) &;
    Response&& header(std::string_view name, std::string_view value) && { return std::move(header(name, value)); }
    /// Adds one, beside others of the same name.
    Response& add_header(std::string_view name, std::string_view value) &;
    Response&& add_header(std::string_view name, std::string_view value) && {
        return std::move(add_header(name, value));
    }
    Response& status(int status) &;
    Response&& status(int status) && { return std::move(this->status(status)); }
    /// Streams: the exact number of bytes that will be written, if it is known, sent instead of chunked encoding.
    Response& content_length(std::uint64_t bytes) & {
        content_length_ = bytes;
        return *this;
    }
    Response&& content_length(std::uint64_t bytes) && { return std::move(content_length(bytes)); }

    int status() const noexcept { return status_; }
    const Headers& headers() const noexcept { return headers_; }
    const std::string& body() const noexcept { return body_; }
    bool is_stream() const noexcept { return static_cast<bool>(stream_); }
    const std::optional<std::uint64_t>& content_length() const noexcept { return content_length_; }
    /// For the server.
    StreamBody& stream_body() noexcept { return stream_; }

private:
    Response(std::string body, std::string_view content_type, int status);

    int status_;
    Headers headers_;
    std::string body_;
    StreamBody stream_;
    std::optional<std::uint64_t> content_length_;
};

}  // namespace weft::http
