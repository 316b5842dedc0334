#pragma once
// Room and Lobby: who is where, and who is told what.

#include "member.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace chat {

class Room {
public:
    /// Events that a newcomer is shown.
    static constexpr std::size_t history_limit = 50;

    explicit Room(std::string name) : name_(std::move(name)) {}
    const std::string& name() const noexcept { return name_; }
    const std::vector<MemberRef>& members() const noexcept { return members_; }
    const std::deque<EventRef>& history() const noexcept { return history_; }

private:
    friend class Lobby;

    std::string name_;
    std::vector<MemberRef> members_;
    std::deque<EventRef> history_;
};

/// All rooms. Rooms come with their first member and go with their last, but for the first room.
class Lobby {
public:
    static constexpr const char* first_room = "lobby";
    static constexpr std::size_t longest_text = 1000;

    explicit Lobby(weft::EventLoop& loop);

    /// A new member, in a room and told its history after the event `seen` (of this instance; else all of it). The
    /// nickname is made unique.
    MemberRef enter(std::string_view nick, std::string_view room, std::uint64_t seen = 0);
    /// Another one each time the program starts; events are numbered within it.
    const std::string& instance() const noexcept { return instance_; }
    /// Tells the room that the member has left. Again: no effect.
    void leave(const MemberRef& member);
    void move(const MemberRef& member, std::string_view room);
    /// False if the name is empty or taken.
    bool rename(const MemberRef& member, std::string_view nick);
    void say(const MemberRef& member, std::string_view text);
    /// Everybody is told goodbye, and then nothing more.
    void close();
    bool is_closed() const noexcept { return closed_; }

    MemberRef by_token(std::string_view token) const;
    const std::map<std::string, std::unique_ptr<Room>, std::less<>>& rooms() const noexcept { return rooms_; }
    std::size_t members() const noexcept;
    std::uint64_t messages() const noexcept { return messages_; }

private:
    Room& room_named(std::string_view name);
    bool is_taken(std::string_view nick) const;
    std::string free_nick(std::string_view wish) const;
    void join(const MemberRef& member, std::string_view room, std::uint64_t seen);
    void part(const MemberRef& member, const std::string& how);
    void publish(Room& room, EventKind kind, const std::string& nick, std::string text);

    weft::EventLoop& loop_;
    const std::string instance_;
    std::map<std::string, std::unique_ptr<Room>, std::less<>> rooms_;
    std::uint64_t last_event_ = 0;
    std::uint64_t messages_ = 0;
    bool closed_ = false;
};

}  // namespace chat
