#include "event.hpp"

#include <array>
#include <cstdio>
#include <utility>

namespace chat {

namespace {

constexpr std::size_t longest_name = 24;
constexpr std::string_view replacement = "\xEF\xBF\xBD";  // U+FFFD

bool is_continuation(char c) noexcept {
    return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
}

/// The length of the UTF-8 sequence at the start of `text`; 0 if there is none.
std::size_t sequence_length(std::string_view text) noexcept {
    const auto at = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned lead = at(0);
    const std::size_t length = lead < 0x80                    ? 1
                               : lead >= 0xC2 && lead <= 0xDF ? 2
                               : lead >= 0xE0 && lead <= 0xEF ? 3
                               : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                              : 0;
    if (length == 0 || length > text.size()) return 0;
    for (std::size_t i = 1; i < length; ++i)
        if (!is_continuation(text[i])) return 0;
    if (lead == 0xE0 && at(1) < 0xA0) return 0;  // longer than needed
    if (lead == 0xED && at(1) > 0x9F) return 0;  // a surrogate
    if (lead == 0xF0 && at(1) < 0x90) return 0;
    if (lead == 0xF4 && at(1) > 0x8F) return 0;
    return length;
}

}  // namespace

Event::Event(EventKind kind, std::uint64_t id, std::string room, std::string nick, std::string text)
    : kind(kind), id(id), room(std::move(room)), nick(std::move(nick)), text(std::move(text)) {}

std::string Event::line() const {
    const std::string where = "[" + room + "] ";
    return kind == EventKind::message ? where + nick + ": " + text + "\n" : where + "* " + nick + " " + text + "\n";
}

std::string Event::json() const {
    return std::string("{\"kind\":") + (kind == EventKind::message ? "\"message\"" : "\"notice\"") +
           ",\"id\":" + std::to_string(id) + ",\"room\":" + json_string(room) + ",\"nick\":" + json_string(nick) +
           ",\"text\":" + json_string(text) + "}";
}

std::string clean_text(std::string_view text, std::size_t limit) {
    std::string clean;
    while (!text.empty()) {
        const std::size_t length = sequence_length(text);
        const std::string_view piece = length == 0 ? replacement : text.substr(0, length);
        text.remove_prefix(length == 0 ? 1 : length);
        const auto code = static_cast<unsigned char>(piece[0]);
        const bool control =
            code < 0x20 || code == 0x7F || (code == 0xC2 && static_cast<unsigned char>(piece[1]) < 0xA0);
        if (control) continue;
        if (clean.size() + piece.size() > limit) break;
        clean += piece;
    }
    const std::size_t start = clean.find_first_not_of(' ');
    if (start == std::string::npos) return {};
    return clean.substr(start, clean.find_last_not_of(' ') - start + 1);
}

std::string clean_name(std::string_view name) {
    std::string clean = clean_text(name, longest_name);
    for (char& c : clean)
        if (c == ' ' || c == '/') c = '-';
    return clean;
}

std::string json_string(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (static_cast<unsigned char>(c) < 0x20) {
            std::array<char, 8> escape{};
            std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(c));
            out += escape.data();
        } else {
            out += c;
        }
    }
    return out + "\"";
}

std::string escape_html(std::string_view text) {
    std::string out;
    for (const char c : text) {
        switch (c) {
        case '&': out += "&amp;"; break;
        case '<': out += "&lt;"; break;
        case '>': out += "&gt;"; break;
        case '"': out += "&quot;"; break;
        default: out += c;
        }
    }
    return out;
}

}  // namespace chat
