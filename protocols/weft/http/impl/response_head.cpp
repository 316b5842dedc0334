#include <weft/http/impl/response_head.hpp>

#include <weft/http/impl/server_core.hpp>
#include <weft/http/status.hpp>

#include <array>
#include <charconv>
#include <string_view>

namespace weft::http::detail {

namespace {

void append_number(std::string& out, std::uint64_t number, int base = 10) {
    std::array<char, 24> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number, base);
    out.append(digits.data(), end.ptr);
}

bool has_token(std::string_view list, std::string_view token) noexcept {
    while (!list.empty()) {
        const std::size_t comma = list.find(',');
        std::string_view item = list.substr(0, comma);
        list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
        while (!item.empty() && (item.front() == ' ' || item.front() == '\t'))
            item.remove_prefix(1);
        while (!item.empty() && (item.back() == ' ' || item.back() == '\t'))
            item.remove_suffix(1);
        if (equals_ignoring_case(item, token)) return true;
    }
    return false;
}

}  // namespace

Framing framing_of(const Request& request, const Response& response) noexcept {
    if (!status_has_body(response.status())) return Framing::none;
    if (!response.is_stream() || response.content_length()) return Framing::length;
    return request.version() >= 11 ? Framing::chunked : Framing::until_close;
}

bool says_close(const Response& response) noexcept {
    return has_token(response.headers().get("Connection").value_or(""), "close");
}

void append_head(std::string& out, ServerCore& core, const Request& request, const Response& response, Framing framing,
                 bool keep_alive) {
    out += "HTTP/1.1 ";
    append_number(out, static_cast<unsigned>(response.status()));
    out.append(" ").append(reason_phrase(response.status())).append("\r\n");
    const Headers& headers = response.headers();
    if (!headers.contains("Date")) out += core.date_line();
    if (const std::string& name = core.options().server_name(); !name.empty() && !headers.contains("Server"))
        out.append("Server: ").append(name).append("\r\n");
    out += headers.text();
    if (framing == Framing::length) {
        out += "Content-Length: ";
        append_number(out, response.is_stream() ? *response.content_length() : response.body().size());
        out += "\r\n";
    } else if (framing == Framing::chunked) {
        out += "Transfer-Encoding: chunked\r\n";
    }
    if (!headers.contains("Connection")) {
        if (!keep_alive)
            out += "Connection: close\r\n";
        else if (request.version() < 11)
            out += "Connection: keep-alive\r\n";
    }
    out += "\r\n";
}

void append_chunk_header(std::string& out, std::size_t size) {
    append_number(out, size, 16);
    out += "\r\n";
}

}  // namespace weft::http::detail
