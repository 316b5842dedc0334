#include "net/support.hpp"

#include <weft/backends/asio/datagram_socket.hpp>
#include <weft/backends/asio/epoll_set.hpp>
#include <weft/backends/asio/network.hpp>
#include <weft/backends/asio/socket.hpp>

#ifdef WEFT_ASIO_EPOLL

#include <sys/eventfd.h>

using namespace weft;
using namespace weft::testing;
using namespace weft::asio_backend;

namespace {

/// Counts its events, each of which is one call of `act`.
class Entry final : public EpollEntry {
public:
    Entry(EpollSet& set, std::function<void()> act) : act_(std::move(act)), descriptor(::eventfd(0, EFD_CLOEXEC)) {
        REQUIRE(set.add(descriptor.get(), EPOLLIN | EPOLLET, *this) == 0);
    }
    void ring() const {
        const std::uint64_t one = 1;
        REQUIRE(::write(descriptor.get(), &one, sizeof one) == sizeof one);
    }
    void handle_events(std::uint32_t) override {
        ++count;
        if (act_) act_();
    }
    void prefetch(int step) const noexcept override { steps.push_back(step); }

private:
    std::function<void()> act_;

public:
    io::OwnedDescriptor descriptor;
    int count = 0;
    mutable std::vector<int> steps;
};

class Recorder final : public io::SocketEvents {
public:
    void on_data(std::span<const std::byte> data) override { received += data.size(); }
    void on_end_of_stream() override { ++ends; }
    void on_read_error(std::error_code) override { ++errors; }
    void on_writable() override { ++writable; }
    void on_hang_up() override {}

    std::size_t received = 0;
    int ends = 0;
    int errors = 0;
    int writable = 0;
};

/// A socket of a set of its own, and the descriptor at its other end.
class OneSocket {
public:
    explicit OneSocket(std::pair<Descriptor, Descriptor> ends = socket_pair())
        : far(std::move(ends.second)), socket(open_stream_socket(*context, ends.first.take(), io::SocketName())) {
        socket->set_events(&events);
    }
    ~OneSocket() { socket->close(); }
    /// How often the set has something to tell, until it has nothing more, or `bound` times.
    int rounds(int bound = 50) {
        EpollSet& set = context->events;
        for (int count = 0; count < bound; ++count) {
            set.fetch(0);
            if (!set.handle_next()) return count;
            while (set.handle_next()) {}
        }
        return bound;
    }

    boost::asio::io_context io;
    detail::Ref<SocketContext> context = detail::Ref<SocketContext>::adopt(new SocketContext(io));
    Descriptor far;
    Recorder events;
    io::SocketRef socket;
};

}  // namespace

TEST_CASE("epoll set: an entry that was removed does not hear of what has come already") {
    EpollSet set;
    std::unique_ptr<Entry> first;
    std::unique_ptr<Entry> second;
    const auto remove_other = [&](std::unique_ptr<Entry>& other) {
        set.remove(other->descriptor.get(), *other);
        other.reset();
    };
    // Whichever comes first.
    first = std::make_unique<Entry>(set, [&] { remove_other(second); });
    second = std::make_unique<Entry>(set, [&] { remove_other(first); });
    first->ring();
    second->ring();
    set.handle_all();
    REQUIRE((first != nullptr) != (second != nullptr));
    CHECK((first ? first : second)->count == 1);
}

TEST_CASE("epoll set: of many events the next are asked to prepare, in order, unless they were removed") {
    EpollSet set;
    constexpr std::size_t many = 100;
    std::vector<std::unique_ptr<Entry>> entries(many);
    for (std::size_t i = 0; i < many; ++i) {
        // Each twelfth one removes the next three, which are at different steps by then.
        entries[i] = std::make_unique<Entry>(set, [&, i] {
            if (i % 12 != 0) return;
            for (std::size_t gone = i + 1; gone < std::min(i + 4, many); ++gone) {
                set.remove(entries[gone]->descriptor.get(), *entries[gone]);
                entries[gone] = nullptr;
            }
        });
    }
    for (const auto& entry : entries)
        entry->ring();
    set.fetch(0);
    while (set.handle_next()) {}
    std::size_t prepared = 0;
    for (const auto& entry : entries) {
        if (!entry) continue;
        CHECK(entry->count == 1);
        CHECK(std::is_sorted(entry->steps.begin(), entry->steps.end()));
        CHECK(entry->steps.size() <= 2);
        if (entry->steps == std::vector{0, 1}) ++prepared;
    }
    CHECK(prepared > 50);
}

TEST_CASE("epoll set: an exception leaves the rest to who comes next, who does not wait") {
    EpollSet set;
    int calls = 0;
    const auto fail_first = [&] {
        if (++calls == 1) throw KeyboardInterrupt();
    };
    Entry first(set, fail_first);
    Entry second(set, fail_first);
    first.ring();
    second.ring();
    CHECK(error_of_call([&] { set.handle_all(); }) == "KeyboardInterrupt");
    CHECK(calls == 1);
    CHECK(set.has_events());
    set.fetch(-1);
    while (set.handle_next()) {}
    CHECK(first.count == 1);
    CHECK(second.count == 1);
    CHECK_FALSE(set.has_events());
}

TEST_CASE("epoll set: what cannot be watched is always ready, and keeps nothing from being told") {
    EpollSet set;
    Entry watched(set, nullptr);
    class AlwaysReady final : public EpollEntry {
    public:
        explicit AlwaysReady(EpollSet& set) : set_(set) {}
        void handle_events(std::uint32_t events) override {
            CHECK(events == EPOLLIN);
            if (++count < 5) set_.note(*this, EPOLLIN);
        }
        int count = 0;

    private:
        EpollSet& set_;
    };
    AlwaysReady file(set);
    set.note(file, EPOLLIN);
    for (int round = 1; round <= 5; ++round) {
        watched.ring();
        set.fetch(-1);  // does not wait
        while (set.handle_next()) {}
        CHECK(file.count == round);
        CHECK(watched.count == round);
    }
    CHECK_FALSE(set.has_events());
    set.note(file, EPOLLIN);
    set.remove(-1, file);
    set.handle_all();
    CHECK(file.count == 5);
}

TEST_CASE("a connection that nobody reads is told of once, also when its peer has gone") {
    OneSocket connection;
    connection.socket->start_reading();
    CHECK(connection.rounds() == 0);
    connection.socket->stop_reading();
    REQUIRE(::send(connection.far.get(), "unread", 6, 0) == 6);
    CHECK(connection.rounds() == 1);
    connection.far.reset();
    CHECK(connection.rounds() <= 1);
    CHECK(connection.rounds() == 0);
    CHECK(connection.events.received == 0);
    connection.socket->start_reading();
    CHECK(connection.rounds() > 0);
    CHECK(connection.events.received == 6);
    CHECK(connection.events.ends == 1);
    CHECK(connection.rounds() == 0);
}

TEST_CASE("a connection that was paused and resumed with nothing between costs no call and loses nothing") {
    OneSocket connection;
    connection.socket->start_reading();
    for (int i = 0; i < 10; ++i) {
        connection.socket->stop_reading();
        connection.socket->start_reading();
    }
    REQUIRE(::send(connection.far.get(), "data", 4, 0) == 4);
    CHECK(connection.rounds() == 1);
    CHECK(connection.events.received == 4);
}

TEST_CASE("who waits for room is told once, and reading goes on") {
    OneSocket connection;
    connection.socket->start_reading();
    std::error_code error;
    const std::vector<std::byte> much(1 << 16);
    while (connection.socket->write_some(much, error) > 0) {}
    REQUIRE_FALSE(error);
    connection.socket->wait_writable();
    REQUIRE(::send(connection.far.get(), "data", 4, 0) == 4);
    CHECK(connection.rounds() == 1);
    CHECK(connection.events.writable == 0);
    CHECK(connection.events.received == 4);
    std::vector<std::byte> room(1 << 20);
    while (::recv(connection.far.get(), room.data(), room.size(), MSG_DONTWAIT) > 0) {}
    CHECK(connection.rounds() == 1);
    CHECK(connection.events.writable == 1);
    CHECK(connection.rounds() == 0);
    REQUIRE(::send(connection.far.get(), "more", 4, 0) == 4);
    CHECK(connection.rounds() == 1);
    CHECK(connection.events.received == 8);
}

TEST_CASE("who waits for room is told when the peer has gone, also while nobody reads") {
    OneSocket connection;
    std::error_code error;
    const std::vector<std::byte> much(1 << 16);
    while (connection.socket->write_some(much, error) > 0) {}
    connection.socket->wait_writable();
    connection.far.reset();
    CHECK(connection.rounds() <= 2);
    CHECK(connection.events.writable == 1);
    CHECK(connection.socket->write_some(much, error) == 0);
    CHECK(error == std::errc::broken_pipe);
}

TEST_CASE("a socket that stays ready though there is nothing to read is told of once, until something comes") {
    // A Unix datagram socket that was shut down for reading says so for ever; a stream with something in the queue of
    // its errors does the same.
    class Datagrams final : public io::DatagramEvents {
    public:
        void on_datagram(std::span<const std::byte>, const Address&) override { ++received; }
        void on_datagram_error(std::error_code) override { ++errors; }
        void on_writable() override {}
        int received = 0;
        int errors = 0;
    };
    boost::asio::io_context io;
    const auto context = detail::Ref<SocketContext>::adopt(new SocketContext(io));
    auto [near, far] = socket_pair(SOCK_DGRAM);
    const int descriptor = near.get();
    Datagrams events;
    const auto socket = adopt_datagram_socket(*context, near.take());
    socket->set_events(&events);
    socket->start_receiving();
    const auto rounds = [&] {
        for (int count = 0; count < 50; ++count) {
            context->events.fetch(0);
            if (!context->events.handle_next()) return count;
        }
        return 50;
    };
    REQUIRE(::send(far.get(), "one", 3, 0) == 3);
    CHECK(rounds() == 1);
    CHECK(events.received == 1);
    REQUIRE(::shutdown(descriptor, SHUT_RD) == 0);
    CHECK(rounds() <= 3);
    CHECK(rounds() == 0);
    CHECK(events.errors == 0);
    socket->close();
}

TEST_CASE("a forked child that drops its copy of a set leaves its parent's alone") {
    EpollSet set;
    auto entry = std::make_unique<Entry>(set, nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
        set.remove(entry->descriptor.get(), *entry);
        ::_exit(0);
    }
    REQUIRE(child > 0);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    entry->ring();
    set.handle_all();
    CHECK(entry->count == 1);
}

#endif
