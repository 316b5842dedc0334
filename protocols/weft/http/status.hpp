#pragma once
// Status codes and their reason phrases: `reason_phrase(404)` is "Not Found".

#include <string_view>

namespace weft::http {

/// The phrase registered for a status code; "Unknown" for others.
std::string_view reason_phrase(int status) noexcept;

/// False for the codes whose responses have no body: 1xx, 204 and 304.
constexpr bool status_has_body(int status) noexcept {
    return status >= 200 && status != 204 && status != 304;
}

}  // namespace weft::http
