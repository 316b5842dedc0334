#pragma once
// The head of a response as bytes, and how its body is delimited.

#include <weft/http/request.hpp>
#include <weft/http/response.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace weft::http::detail {

class ServerCore;

/// How the end of a response's body is told.
enum class Framing : std::uint8_t { none, length, chunked, until_close };

Framing framing_of(const Request& request, const Response& response) noexcept;
/// Whether the response asks for the end of the connection.
bool says_close(const Response& response) noexcept;
void append_head(std::string& out, ServerCore& core, const Request& request, const Response& response, Framing framing,
                 bool keep_alive);
void append_chunk_header(std::string& out, std::size_t size);

}  // namespace weft::http::detail
