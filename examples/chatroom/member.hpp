#pragma once
// Member: one person in a room, wherever they are connected. What they are told waits in a bounded queue: who reads too
// slowly is dropped, and the room goes on.

#include "event.hpp"

#include <weft/weft.hpp>

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <string>

namespace chat {

class Room;

class Member {
public:
    /// Events that may wait for one member.
    static constexpr std::size_t queue_limit = 256;

    explicit Member(weft::EventLoop& loop) : loop_(loop) {}

    std::string nick;
    Room* room = nullptr;
    std::string token;           // with which the page speaks for this member
    std::function<void()> drop;  // called once if the member is too slow

    /// False if the queue is full.
    bool tell(EventRef event);
    /// The next event; null once the member was closed and has got everything. Cancelling it loses nothing.
    weft::Coro<EventRef> next();
    /// Nothing more will come.
    void close();
    bool is_closed() const noexcept { return closed_; }

private:
    void wake();

    weft::EventLoop& loop_;
    std::deque<EventRef> queue_;
    weft::Future<> arrived_;
    bool closed_ = false;
};
using MemberRef = std::shared_ptr<Member>;

}  // namespace chat
