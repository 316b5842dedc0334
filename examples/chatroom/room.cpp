#include "room.hpp"

#include <algorithm>
#include <utility>

namespace chat {

Lobby::Lobby(weft::EventLoop& loop) : loop_(loop), instance_(std::to_string(loop.backend().entropy())) {
    room_named(first_room);
}

Room& Lobby::room_named(std::string_view name) {
    std::string clean = clean_name(name);
    if (clean.empty()) clean = first_room;
    std::unique_ptr<Room>& room = rooms_[clean];
    if (!room) room = std::make_unique<Room>(clean);
    return *room;
}

bool Lobby::is_taken(std::string_view nick) const {
    for (const auto& [name, room] : rooms_)
        for (const MemberRef& member : room->members_)
            if (member->nick == nick) return true;
    return false;
}

std::string Lobby::free_nick(std::string_view wish) const {
    std::string base = clean_name(wish);
    if (base.empty()) base = "guest";
    std::string nick = base;
    for (int number = 2; is_taken(nick); ++number)
        nick = base + "-" + std::to_string(number);
    return nick;
}

MemberRef Lobby::enter(std::string_view nick, std::string_view room, std::uint64_t seen) {
    auto member = std::make_shared<Member>(loop_);
    member->nick = free_nick(nick);
    member->token = std::to_string(loop_.backend().entropy()) + std::to_string(loop_.backend().entropy());
    join(member, room, seen);
    return member;
}

void Lobby::join(const MemberRef& member, std::string_view name, std::uint64_t seen) {
    Room& room = room_named(name);
    member->room = &room;
    if (seen > last_event_) seen = 0;
    for (const EventRef& event : room.history_)
        if (event->id > seen) member->tell(event);
    room.members_.push_back(member);
    publish(room, EventKind::notice, member->nick, "came in");
}

void Lobby::part(const MemberRef& member, const std::string& how) {
    Room* room = std::exchange(member->room, nullptr);
    if (!room) return;
    std::erase(room->members_, member);
    publish(*room, EventKind::notice, member->nick, how);
    if (room->members_.empty() && room->name_ != first_room) rooms_.erase(rooms_.find(room->name_));
}

void Lobby::leave(const MemberRef& member) {
    part(member, "has left");
    member->close();
}

void Lobby::move(const MemberRef& member, std::string_view room) {
    if (!member->room || &room_named(room) == member->room) return;
    part(member, "went to another room");
    join(member, room, 0);
}

bool Lobby::rename(const MemberRef& member, std::string_view nick) {
    std::string clean = clean_name(nick);
    if (clean.empty() || !member->room || is_taken(clean)) return false;
    const std::string before = std::exchange(member->nick, std::move(clean));
    publish(*member->room, EventKind::notice, before, "is now " + member->nick);
    return true;
}

void Lobby::say(const MemberRef& member, std::string_view text) {
    std::string clean = clean_text(text, longest_text);
    if (clean.empty() || !member->room) return;
    ++messages_;
    publish(*member->room, EventKind::message, member->nick, std::move(clean));
}

void Lobby::publish(Room& room, EventKind kind, const std::string& nick, std::string text) {
    const auto event = std::make_shared<const Event>(kind, ++last_event_, room.name_, nick, std::move(text));
    room.history_.push_back(event);
    if (room.history_.size() > Room::history_limit) room.history_.pop_front();
    std::vector<MemberRef> slow;
    for (const MemberRef& member : room.members_)
        if (!member->tell(event)) slow.push_back(member);
    for (const MemberRef& member : slow) {
        // Its connection ends and then leaves the room; the others go on.
        member->close();
        if (member->drop) member->drop();
        publish(room, EventKind::notice, member->nick, "was too slow and is disconnected");
    }
}

void Lobby::close() {
    closed_ = true;
    for (const auto& [name, room] : rooms_) {
        publish(*room, EventKind::notice, "the server", "says goodbye");
        for (const MemberRef& member : room->members_)
            member->close();
    }
}

MemberRef Lobby::by_token(std::string_view token) const {
    for (const auto& [name, room] : rooms_)
        for (const MemberRef& member : room->members_)
            if (member->token == token) return member;
    return nullptr;
}

std::size_t Lobby::members() const noexcept {
    std::size_t count = 0;
    for (const auto& [name, room] : rooms_)
        count += room->members_.size();
    return count;
}

}  // namespace chat
