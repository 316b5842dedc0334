#include <weft/http/headers.hpp>

#include <weft/http/errors.hpp>

#include <algorithm>
#include <cctype>

namespace weft::http {

namespace {

constexpr char to_lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

constexpr bool is_token_char(char c) noexcept {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
    return std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

void check_field(std::string_view name, std::string_view value) {
    if (name.empty() || !std::all_of(name.begin(), name.end(), is_token_char))
        throw InvalidHeaderError("header name is not a token");
    const auto forbidden = [](char c) {
        const auto code = static_cast<unsigned char>(c);
        return (code < 0x20 && c != '\t') || code == 0x7f;
    };
    if (std::any_of(value.begin(), value.end(), forbidden))
        throw InvalidHeaderError("the value of header " + std::string(name) + " has a control character in it");
}

/// The line that starts at `position`: its field, and where the next line starts.
HeaderField field_at(const std::string& text, std::size_t position, std::size_t& next) noexcept {
    const std::size_t end = text.find('\r', position);
    const std::size_t colon = text.find(':', position);
    next = end + 2;
    const std::string_view all(text);
    return HeaderField(all.substr(position, colon - position), all.substr(colon + 2, end - colon - 2));
}

}  // namespace

bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i)
        if (to_lower(a[i]) != to_lower(b[i])) return false;
    return true;
}

void Headers::set(std::string_view name, std::string_view value) {
    check_field(name, value);
    remove(name);
    add(name, value);
}

void Headers::add(std::string_view name, std::string_view value) {
    check_field(name, value);
    text_.append(name).append(": ").append(value).append("\r\n");
}

std::optional<std::string_view> Headers::get(std::string_view name) const noexcept {
    for (std::size_t position = 0, next = 0; position < text_.size(); position = next) {
        const HeaderField field = field_at(text_, position, next);
        if (equals_ignoring_case(field.name, name)) return field.value;
    }
    return std::nullopt;
}

std::size_t Headers::remove(std::string_view name) {
    std::size_t removed = 0;
    for (std::size_t position = 0, next = 0; position < text_.size();) {
        if (equals_ignoring_case(field_at(text_, position, next).name, name)) {
            text_.erase(position, next - position);
            ++removed;
        } else {
            position = next;
        }
    }
    return removed;
}

std::vector<HeaderField> Headers::fields() const {
    std::vector<HeaderField> fields;
    for (std::size_t position = 0, next = 0; position < text_.size(); position = next)
        fields.push_back(field_at(text_, position, next));
    return fields;
}

}  // namespace weft::http
