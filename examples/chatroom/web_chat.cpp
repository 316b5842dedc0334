#include "web_chat.hpp"

#include "page.hpp"

#include <weft/inspect/dump.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <exception>
#include <string>
#include <string_view>
#include <utility>

namespace chat {

using namespace weft;
using http::Request;
using http::Response;
using http::ResponseStream;
using http::ServerSentEvent;

namespace {

/// So that nobody on the way takes a quiet room for a dead connection.
constexpr std::chrono::seconds heartbeat{15};

constexpr const char* policy =
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

Response page_response(std::string html) {
    return Response::html(std::move(html))
        .header("Content-Security-Policy", policy)
        .header("Cache-Control", "no-store")
        .header("X-Content-Type-Options", "nosniff");
}

std::uint64_t number_or_zero(std::string_view text) {
    std::uint64_t number = 0;
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
}

/// The next event as it is sent, a comment if none comes for a while, nothing at the end.
Coro<std::string> next_piece(MemberRef member) {
    bool quiet = false;
    EventRef event;
    try {
        event = co_await wait_for(member->next(), heartbeat);
    } catch (const TimeoutError&) {
        quiet = true;
    }
    if (quiet) co_return ServerSentEvent::comment("still here");
    if (!event) co_return std::string();
    co_return ServerSentEvent(event->json()).id(std::to_string(event->id)).text();
}

/// One visit of a browser: the member is there for as long as its stream runs.
Coro<> send_events(Lobby& lobby, std::string nick, std::string room, std::uint64_t seen, ResponseStream& out) {
    const MemberRef member = lobby.enter(nick, room, seen);
    member->drop = [task = current_task()]() mutable { task.cancel(); };
    const std::string welcome = "{\"kind\":\"welcome\",\"nick\":" + json_string(member->nick) +
                                ",\"room\":" + json_string(member->room->name()) +
                                ",\"token\":" + json_string(member->token) +
                                ",\"server\":" + json_string(lobby.instance()) + "}";
    std::exception_ptr error;
    try {
        co_await out.write(ServerSentEvent(welcome).retry(std::chrono::seconds(2)).text());
        while (true) {
            const std::string piece = co_await next_piece(member);
            if (piece.empty()) break;
            co_await out.write(piece);
        }
    } catch (...) {
        error = std::current_exception();
    }
    member->drop = nullptr;
    lobby.leave(member);
    if (error) std::rethrow_exception(error);
}

std::string rooms_json(const Lobby& lobby) {
    std::string text = "{\"rooms\":[";
    bool first = true;
    for (const auto& [name, room] : lobby.rooms()) {
        text += (first ? "" : ",");
        text += "{\"name\":" + json_string(name) + ",\"people\":[";
        first = true;
        for (const MemberRef& member : room->members()) {
            text += (first ? "" : ",") + json_string(member->nick);
            first = false;
        }
        text += "]}";
        first = false;
    }
    return text + "]}";
}

/// The task tree of the loop, a row for each line of its dump.
std::string tasks_html() {
    EventLoop& loop = get_running_loop();
    std::string html(tasks_page_start);
    html += "<p>" + std::to_string(loop.task_table().size()) + " tasks are not done.</p>\n<div id=\"tasks\">\n";
    const std::string dump = dump_tasks(loop);
    std::string_view rest = dump;
    while (!rest.empty()) {
        const std::size_t end = std::min(rest.find('\n'), rest.size());
        const std::string_view line = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        const std::size_t indent = std::min(line.find_first_not_of(' '), line.size());
        html += "<div style=\"--depth:" + std::to_string(indent / 2) + "\">" + escape_html(line.substr(indent)) +
                "</div>\n";
    }
    html += "</div>\n";
    html += tasks_page_end;
    return html;
}

}  // namespace

http::App web_chat(std::shared_ptr<Lobby> lobby) {
    http::App app;
    const TimePoint started = get_running_loop().time();

    app.get("/", [] { return page_response(std::string(chat_page)); });

    app.get("/events", [lobby](Request& request) -> Response {
        if (lobby->is_closed()) throw http::HttpError(503, "the server is going down");
        const std::uint64_t seen = number_or_zero(request.header("Last-Event-ID").value_or(""));
        std::string nick(request.query("nick").value_or(""));
        std::string room(request.query("room").value_or(""));
        return http::event_stream(
            [lobby, nick, room, seen](ResponseStream& out) { return send_events(*lobby, nick, room, seen, out); });
    });

    app.post("/say", [lobby](Request& request) -> Response {
        const MemberRef member = lobby->by_token(request.form("token").value_or(""));
        if (!member) throw http::HttpError(403, "you are not in a room");
        const std::string_view text = request.form("text").value_or("");
        if (text.size() > Lobby::longest_text) throw http::HttpError(413, "that is too long");
        lobby->say(member, text);
        return Response(204);
    });

    app.get("/rooms", [lobby] { return Response::json(rooms_json(*lobby)).header("Cache-Control", "no-store"); });

    app.get("/health", [lobby, started] {
        const auto uptime = std::chrono::duration_cast<std::chrono::seconds>(get_running_loop().time() - started);
        return Response::json("{\"status\":\"ok\",\"uptime_seconds\":" + std::to_string(uptime.count()) +
                              ",\"rooms\":" + std::to_string(lobby->rooms().size()) +
                              ",\"members\":" + std::to_string(lobby->members()) +
                              ",\"messages\":" + std::to_string(lobby->messages()) + "}\n")
            .header("Cache-Control", "no-store");
    });

    app.get("/debug/tasks", [] { return page_response(tasks_html()); });
    return app;
}

}  // namespace chat
