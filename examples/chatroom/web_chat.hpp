#pragma once
// The chat in the browser: the page, its events, what it says; /health and /debug/tasks.

#include "room.hpp"

#include <weft/http/http.hpp>

#include <memory>

namespace chat {

weft::http::App web_chat(std::shared_ptr<Lobby> lobby);

}  // namespace chat
