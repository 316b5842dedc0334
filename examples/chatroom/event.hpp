#pragma once
// What members of a room are told, as a line for a terminal or as JSON for the page; and text that is fit for both.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace chat {

enum class EventKind { message, notice };

/// Something that happened in a room. Every member gets the same object.
class Event {
public:
    Event(EventKind kind, std::uint64_t id, std::string room, std::string nick, std::string text);

    EventKind kind;
    std::uint64_t id;
    std::string room;
    std::string nick;  // who said it or whom it is about
    std::string text;

    /// "[lobby] ada: hello\n"
    std::string line() const;
    std::string json() const;
};
using EventRef = std::shared_ptr<const Event>;

/// Valid UTF-8 in one line of at most `limit` bytes: control characters are dropped, invalid bytes become U+FFFD.
std::string clean_text(std::string_view text, std::size_t limit);
/// A nickname or the name of a room: clean, without spaces and slashes; empty if nothing is left.
std::string clean_name(std::string_view name);

/// With the quotes around it.
std::string json_string(std::string_view text);
std::string escape_html(std::string_view text);

}  // namespace chat
