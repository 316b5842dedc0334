#pragma once
// Percent-encoding and query strings.
//
//     percent_decode("a%20b");                      // "a b"; nothing for "a%2"
//     parse_query("name=Ada+L.&x=1");               // {{"name", "Ada L."}, {"x", "1"}}

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weft::http {

/// Names and values in the order they came, decoded.
using QueryParameters = std::vector<std::pair<std::string, std::string>>;

/// The text with each %XX replaced by its byte; nothing if a % is not followed by two hexadecimal digits.
std::optional<std::string> percent_decode(std::string_view text);
/// The text with everything but letters, digits and -._~ as %XX, fit for a path segment or a query.
std::string percent_encode(std::string_view text);
/// `a=1&b=2`, as in a query or an urlencoded form: + is a space, and a % that encodes nothing stays as it is.
QueryParameters parse_query(std::string_view text);

}  // namespace weft::http
