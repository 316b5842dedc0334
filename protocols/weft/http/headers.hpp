#pragma once
// Headers: the header fields of a response, kept as they go over the wire.
//
//     headers.set("Cache-Control", "no-store");     // replaces
//     headers.add("Set-Cookie", "a=1");             // one more of the name
//     headers.get("cache-control");                 // "no-store": names are compared without regard to case
//
// What would break the message, above all a line break in a value, is refused with InvalidHeaderError.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weft::http {

/// One field of a message, seen from outside: valid while the message is.
class HeaderField {
public:
    HeaderField(std::string_view name, std::string_view value) noexcept : name(name), value(value) {}
    std::string_view name;
    std::string_view value;
};

/// Whether two names or tokens are the same but for the case of ASCII letters.
bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept;

class Headers {
public:
    /// Replaces all fields of that name by one, which goes to the end. InvalidHeaderError leaves them as they were.
    void set(std::string_view name, std::string_view value);
    /// Adds a field at the end. InvalidHeaderError.
    void add(std::string_view name, std::string_view value);
    /// The value of the first field of that name.
    std::optional<std::string_view> get(std::string_view name) const noexcept;
    bool contains(std::string_view name) const noexcept { return get(name).has_value(); }
    /// How many fields were removed.
    std::size_t remove(std::string_view name);
    /// All fields in order, as views that a change ends.
    std::vector<HeaderField> fields() const;
    /// "Name: value\r\n" for each field.
    const std::string& text() const noexcept { return text_; }
    bool empty() const noexcept { return text_.empty(); }

private:
    std::string text_;
};

}  // namespace weft::http
