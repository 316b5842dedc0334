#include <weft/http/sse.hpp>

#include <weft/base/exceptions.hpp>

namespace weft::http {

ServerSentEvent& ServerSentEvent::add(std::string_view field, std::string_view value) {
    if (value.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos)
        throw ValueError("a server-sent event's " + std::string(field.substr(0, field.find(':'))) +
                         " has a line break in it");
    fields_.append(field).append(value).append("\n");
    return *this;
}

std::string ServerSentEvent::text() const {
    std::string text = fields_;
    std::string_view rest = data_;
    while (true) {
        const std::size_t end = rest.find_first_of("\r\n");
        text.append("data: ").append(rest.substr(0, end)).append("\n");
        if (end == std::string_view::npos) break;
        const bool pair = rest.substr(end, 2) == "\r\n";
        rest.remove_prefix(end + (pair ? 2 : 1));
    }
    text += '\n';
    return text;
}

std::string ServerSentEvent::comment(std::string_view text) {
    std::string line = ":";
    line += text.substr(0, text.find_first_of("\r\n"));
    line += "\n\n";
    return line;
}

}  // namespace weft::http
