#pragma once
// RequestAccess: how the server fills a Request in.

#include <weft/http/request.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weft::http::detail {

class RequestAccess {
public:
    /// Empties it, keeping the memory of small requests.
    static void reset(Request& request);
    static void set_line(Request& request, std::string_view method, std::string_view target, int version);
    static void add_field(Request& request, std::string_view name, std::string_view value);
    static void append_body(Request& request, std::string_view data);
    static void reserve_body(Request& request, std::size_t bytes) { request.body_.reserve(bytes); }
    static void set_keep_alive(Request& request, bool keep_alive) noexcept { request.keep_alive_ = keep_alive; }
    static void set_peer(Request& request, const std::optional<Address>& peer) { request.peer_ = peer; }
    static void set_params(Request& request, const std::vector<std::string>& names, std::vector<std::string> values);
    /// Takes the target apart. False if it is none that a server understands.
    static bool split_target(Request& request);

private:
    static Request::Piece store(Request& request, std::string_view text);
};

}  // namespace weft::http::detail
