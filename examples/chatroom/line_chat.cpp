#include "line_chat.hpp"

#include <chrono>
#include <optional>
#include <string_view>
#include <utility>

namespace chat {

using namespace weft;

namespace {

constexpr std::string_view help = "* /nick NAME   /join ROOM   /rooms   /who   /quit\n";

/// Hands what the member is told to the connection, as fast as that takes it.
Coro<> send_events(MemberRef member, StreamWriter writer) {
    while (EventRef event = co_await member->next()) {
        writer.write(event->line());
        co_await writer.drain();
    }
    writer.close();
}

std::string list_rooms(const Lobby& lobby) {
    std::string text = "* rooms:";
    for (const auto& [name, room] : lobby.rooms())
        text += " " + name + " (" + std::to_string(room->members().size()) + ")";
    return text + "\n";
}

std::string list_members(const Member& member) {
    std::string text = "* here:";
    if (member.room)
        for (const MemberRef& other : member.room->members())
            text += " " + other->nick;
    return text + "\n";
}

/// Carries out a line that starts with a slash. False if the connection is to end.
bool run_command(Lobby& lobby, const MemberRef& member, std::string_view line, StreamWriter& writer) {
    const std::size_t space = line.find(' ');
    const std::string_view command = line.substr(0, space);
    const std::string_view argument = space == std::string_view::npos ? std::string_view() : line.substr(space + 1);
    if (command == "/quit") return false;
    if (command == "/rooms") {
        writer.write(list_rooms(lobby));
    } else if (command == "/who") {
        writer.write(list_members(*member));
    } else if (command == "/nick") {
        if (!lobby.rename(member, argument)) writer.write("* that name is empty or taken\n");
    } else if (command == "/join") {
        if (clean_name(argument).empty())
            writer.write("* /join needs the name of a room\n");
        else
            lobby.move(member, argument);
    } else {
        writer.write(help);
    }
    return true;
}

/// The next line without its end; nothing at the end of the stream. Lines that are too long are left out.
Coro<std::optional<std::string>> read_line(StreamReader& reader, StreamWriter& writer) {
    bool too_long = false;
    while (true) {
        std::string line;
        std::size_t overrun = 0;
        try {
            const Bytes bytes = co_await reader.readuntil("\n");
            line = bytes.str();
        } catch (const LimitOverrunError& error) {
            overrun = error.consumed();
        } catch (const IncompleteReadError&) {
            co_return std::nullopt;
        }
        if (overrun > 0) {
            too_long = true;
            (void)co_await reader.readexactly(overrun);
            continue;
        }
        if (std::exchange(too_long, false)) {
            writer.write("* that line is too long\n");
            continue;
        }
        while (!line.empty() && (line.back() == '\n' || line.back() == '\r'))
            line.pop_back();
        co_return line;
    }
}

Coro<> read_lines(Lobby& lobby, MemberRef member, StreamReader& reader, StreamWriter& writer) {
    while (std::optional<std::string> line = co_await read_line(reader, writer)) {
        if (!line->starts_with('/'))
            lobby.say(member, *line);
        else if (!run_command(lobby, member, *line, writer))
            break;
        co_await writer.drain();
        co_await sleep(std::chrono::seconds(0));  // many lines may be there at once: the others read in between
    }
}

}  // namespace

Coro<> line_chat(std::shared_ptr<Lobby> lobby, StreamReader reader, StreamWriter writer) {
    const std::string peer = writer.get_extra_info("peername").value_or("?");
    current_task().set_name("tcp in " + peer);
    writer.write("* welcome; say something, or:\n");
    writer.write(help);
    const MemberRef member = lobby->enter("guest", Lobby::first_room);
    member->drop = [writer] { writer.transport().abort(); };
    Task<> sending = create_task(send_events(member, writer), TaskOptions().name("tcp out " + peer));
    std::exception_ptr error;
    try {
        co_await read_lines(*lobby, member, reader, writer);
    } catch (const ConnectionError&) {
        // The other end is gone: so is the member.
    } catch (...) {
        error = std::current_exception();
    }
    member->drop = nullptr;
    lobby->leave(member);
    sending.cancel();
    writer.close();
    if (error) std::rethrow_exception(error);
}

}  // namespace chat
