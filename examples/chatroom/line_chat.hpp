#pragma once
// The chat over TCP, a line at a time: what `nc 127.0.0.1 8888` joins.

#include "room.hpp"

#include <weft/weft.hpp>

#include <memory>
#include <string>

namespace chat {

/// Serves one connection until it ends or the lobby closes.
weft::Coro<> line_chat(std::shared_ptr<Lobby> lobby, weft::StreamReader reader, weft::StreamWriter writer);

/// Bytes that a line may have.
inline constexpr std::size_t longest_line = 2048;

}  // namespace chat
