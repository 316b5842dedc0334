#include "net/datagrams.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

int option_of(const DatagramEndpoint& endpoint, int option) {
    int value = -1;
    socklen_t size = sizeof value;
    REQUIRE(::getsockopt(endpoint.transport().fileno(), IPPROTO_IP, option, &value, &size) == 0);
    return value;
}

}  // namespace

TEST_CASE("the largest datagram, and many of them at once, arrive whole and in order") {
    run_on_each_backend([]() -> Coro<> {
        DatagramEndpoint receiver = co_await open_datagram_endpoint(on_loopback());
        DatagramEndpoint sender = co_await open_datagram_endpoint(DatagramOptions().remote_addr(*receiver.sockname()));
        const std::string largest(65'507, 'y');
        co_await sender.send(largest);
        const Datagram one = co_await receiver.receive();
        CHECK((one.data == largest));
        CHECK(one.from == *sender.sockname());
        // More than one batch of the receiving system call.
        for (int i = 0; i < 50; ++i) {
            const std::string text = std::to_string(i);
            co_await sender.send(text);
        }
        for (int i = 0; i < 50; ++i) {
            const Datagram next = co_await receiver.receive();
            CHECK(next.data == std::to_string(i));
        }
        CHECK(receiver.dropped() == 0);
    });
}

TEST_CASE("the awaitable form: the queue is bounded, later datagrams are dropped and counted") {
    run_on_each_backend([]() -> Coro<> {
        DatagramEndpoint receiver = co_await open_datagram_endpoint(on_loopback().queue_limit(3));
        DatagramEndpoint sender = co_await open_datagram_endpoint(DatagramOptions().remote_addr(*receiver.sockname()));
        for (const char* text : {"a", "b", "c", "d", "e"})
            co_await sender.send(text);
        while (receiver.queued() + receiver.dropped() < 5)
            co_await sleep(1ms);
        CHECK(receiver.queued() == 3);
        CHECK(receiver.dropped() == 2);
        std::string got;
        for (int i = 0; i < 3; ++i) {
            const Datagram next = co_await receiver.receive();
            got += next.data.str();
        }
        CHECK(got == "abc");
        co_await sender.send("f");
        const Datagram next = co_await receiver.receive();
        CHECK(next.data == "f");
    });
}

TEST_CASE("the awaitable form: cancelling a receiver loses no datagram") {
    run_on_each_backend([]() -> Coro<> {
        DatagramEndpoint receiver = co_await open_datagram_endpoint(on_loopback());
        DatagramEndpoint sender = co_await open_datagram_endpoint(DatagramOptions().remote_addr(*receiver.sockname()));
        Task<Datagram> first = create_task(receiver.receive());
        Task<Datagram> second = create_task(receiver.receive());
        co_await turns(2);
        co_await sender.send("kept");
        while (receiver.queued() == 0)
            co_await turns(1);
        // The datagram has come, the first receiver is woken and does not run any more: the second gets it.
        first.cancel();
        const std::string cancelled = co_await ending(first);
        CHECK(cancelled == "CancelledError");
        const Datagram got = co_await second;
        CHECK(got.data == "kept");
        Task<Datagram> third = create_task(receiver.receive());
        co_await turns(2);
        third.cancel();
        const std::string idle = co_await ending(third);
        CHECK(idle == "CancelledError");
        co_await sender.send("next");
        const Datagram next = co_await receiver.receive();
        CHECK(next.data == "next");
    });
}

TEST_CASE("the awaitable form: errors are thrown by receive and send, and the endpoint goes on") {
    run_on_each_backend([]() -> Coro<> {
        const int port = co_await unused_port();
        DatagramEndpoint endpoint = co_await open_datagram_endpoint(on_loopback().remote_addr("127.0.0.1", port));
        co_await endpoint.send("anybody?");
        const std::string refused = co_await ending(endpoint.receive());
        CHECK(refused == "ConnectionRefusedError");
        const std::string huge(70'000, 'x');
        const std::string too_long = co_await ending(endpoint.send(huge));
        CHECK(too_long == "OSError");
        const std::string elsewhere = co_await ending(endpoint.send("x", *Address::parse("127.0.0.1", 1)));
        CHECK(elsewhere == "ValueError");
        DatagramEndpoint peer = co_await open_datagram_endpoint(DatagramOptions().local_addr("127.0.0.1", port));
        co_await endpoint.send("hello");
        const Datagram hello = co_await peer.receive();
        CHECK(hello.data == "hello");
        co_await peer.send("back", hello.from);
        const Datagram back = co_await endpoint.receive();
        CHECK(back.data == "back");
    });
}

TEST_CASE("the awaitable form: close wakes who waits, gives what is left, and refuses to send") {
    run_on_each_backend([]() -> Coro<> {
        DatagramEndpoint endpoint = co_await open_datagram_endpoint(on_loopback());
        const Address own = *endpoint.sockname();
        Task<Datagram> waiting = create_task(endpoint.receive());
        co_await turns(1);
        endpoint.close();
        endpoint.close();
        const std::exception_ptr error = co_await error_of(waiting);
        CHECK(error_text(error).starts_with("ConnectionAbortedError: the datagram endpoint is closed"));
        const std::string send = co_await ending(endpoint.send("x", own));
        CHECK(send == "ConnectionAbortedError");
        co_await endpoint.wait_closed();
        co_await endpoint.wait_closed();

        DatagramEndpoint receiver = co_await open_datagram_endpoint(on_loopback());
        DatagramEndpoint sender = co_await open_datagram_endpoint(DatagramOptions().remote_addr(*receiver.sockname()));
        co_await sender.send("left");
        while (receiver.queued() == 0)
            co_await sleep(1ms);
        receiver.close();
        const Datagram left = co_await receiver.receive();
        CHECK(left.data == "left");
        const std::string none = co_await ending(receiver.receive());
        CHECK(none == "ConnectionAbortedError");
    });
}

TEST_CASE("the awaitable form: send waits above the high-water mark, for its own cancellation, room, or the end") {
    run_real([]() -> Coro<> {
        auto [near, far] = socket_pair(SOCK_DGRAM);
        DatagramEndpoint endpoint = co_await open_datagram_endpoint(DatagramOptions().sock(near.take()));
        endpoint.transport().set_write_buffer_limits(4000, 1000);
        const std::string piece(900, 'p');
        int sent = 0;
        std::vector<Task<>> waiting;
        while (waiting.size() < 3) {
            const std::string text = std::to_string(sent++) + piece;
            Task<> sending = create_task(endpoint.send(text));
            co_await turns(1);
            if (!sending.done()) waiting.push_back(sending);
            REQUIRE(sent < 10'000);
        }
        CHECK(waiting[0].repr().find("DatagramEndpoint.send") != std::string::npos);
        waiting[1].cancel();
        const std::string cancelled = co_await ending(waiting[1]);
        CHECK(cancelled == "CancelledError");
        CHECK_FALSE(waiting[0].done());
        // Also what the cancelled one sent arrives, in order.
        std::string buffer(2000, '\0');
        int received = 0;
        const auto take = [&] {
            const ssize_t count = ::recv(far.get(), buffer.data(), buffer.size(), 0);
            if (count < 0) return false;
            CHECK(buffer.substr(0, static_cast<std::size_t>(count)) == std::to_string(received++) + piece);
            return true;
        };
        while (!waiting[2].done()) {
            if (!take()) co_await turns(1);
        }
        CHECK(waiting[0].done());
        while (received < sent) {
            if (!take()) co_await turns(1);
        }
        // Who waits when the socket ends is let go.
        Task<> last;
        do {
            const std::string text = std::to_string(sent++) + piece;
            last = create_task(endpoint.send(text));
            co_await turns(1);
        } while (last.done());
        endpoint.transport().abort();
        const std::string ended = co_await ending(last);
        CHECK(ended == "ok");
        const std::string later = co_await ending(endpoint.send("x"));
        CHECK(later == "ConnectionAbortedError");
    });
}

TEST_CASE("an endpoint lives while somebody waits in it") {
    run_real([]() -> Coro<> {
        DatagramEndpoint sender = co_await open_datagram_endpoint(on_loopback());
        Task<Datagram> waiting;
        std::optional<Address> at;
        {
            DatagramEndpoint receiver = co_await open_datagram_endpoint(on_loopback());
            at = receiver.sockname();
            waiting = create_task(receiver.receive());
        }
        co_await turns(2);
        co_await sender.send("still there", *at);
        const Datagram got = co_await waiting;
        CHECK(got.data == "still there");
    });
}

TEST_CASE("who waits until an endpoint is closed does not keep it open, and may be late") {
    run_real([]() -> Coro<> {
        DatagramEndpoint endpoint = co_await open_datagram_endpoint(on_loopback());
        Task<> waiting = create_task(endpoint.wait_closed());
        co_await turns(1);
        Task<> not_begun = create_task(endpoint.wait_closed());
        Coro<void> late = endpoint.wait_closed();
        endpoint = DatagramEndpoint();
        co_await waiting;
        co_await not_begun;
        co_await turns(3);
        co_await std::move(late);
    });
}

TEST_CASE("an empty endpoint says so, and nothing is sent twice") {
    run_real([]() -> Coro<> {
        const std::string empty = "RuntimeError: the DatagramEndpoint is empty: it belongs to no socket";
        DatagramEndpoint none;
        CHECK(error_of_call([&] { (void)none.receive(); }) == empty);
        CHECK(error_of_call([&] { (void)none.send("x"); }) == empty);
        CHECK(error_of_call([&] { none.close(); }) == empty);
        CHECK(error_of_call([&] { (void)none.transport(); }) == empty);

        DatagramEndpoint endpoint = co_await open_datagram_endpoint(on_loopback());
        auto sending = endpoint.send("once", *endpoint.sockname());
        co_await sending;
        const auto again = [&]() -> Coro<> { co_await sending; };
        const std::string twice = co_await ending(again());
        CHECK(twice == "RuntimeError");
        const Datagram got = co_await endpoint.receive();
        CHECK(got.data == "once");
        CHECK(endpoint.queued() == 0);
    });
}

TEST_CASE("an endpoint is closed when its last copy goes") {
    run_real([]() -> Coro<> {
        (void)co_await unused_port();
        const std::size_t before = open_descriptors();
        {
            DatagramEndpoint endpoint = co_await open_datagram_endpoint(on_loopback());
            const DatagramEndpoint copy = endpoint;
            CHECK(open_descriptors() == before + 1);
        }
        co_await turns(3);
        CHECK(open_descriptors() == before);
    });
}

TEST_CASE("many endpoints opened and closed, and opening cancelled: no descriptor is left") {
    run_real([]() -> Coro<> {
        (void)co_await unused_port();
        const std::size_t before = open_descriptors();
        for (int i = 0; i < 200; ++i) {
            Task<DatagramEndpoint> opening = create_task(open_datagram_endpoint(on_loopback()));
            co_await turns(i % 5);
            opening.cancel();
            const std::string how = co_await ending(opening);
            CHECK((how == "CancelledError" || how == "ok"));
            opening = create_task([]() -> Coro<DatagramEndpoint> { co_return DatagramEndpoint(); }());
            (void)co_await opening;
        }
        co_await turns(5);
        CHECK(open_descriptors() == before);
    });
}

TEST_CASE("names are resolved, a family is chosen, and what does not fit is refused by name") {
    run_on_each_backend([]() -> Coro<> {
        DatagramEndpoint any = co_await open_datagram_endpoint(DatagramOptions().local_addr("localhost", 0));
        CHECK(any.sockname()->port() != 0);
        DatagramOptions ipv4 = DatagramOptions().remote_addr("localhost", 9).family(Family::ipv4);
        DatagramEndpoint four = co_await open_datagram_endpoint(ipv4);
        CHECK(four.peername()->to_string() == "127.0.0.1:9");

        const std::exception_ptr nothing = co_await error_of(open_datagram_endpoint(DatagramOptions()));
        CHECK(error_text(nothing).starts_with("ValueError: unexpected address family"));
        DatagramOptions mixed = DatagramOptions().local_addr("127.0.0.1", 0).remote_addr("::1", 9);
        const std::exception_ptr no_pair = co_await error_of(open_datagram_endpoint(mixed));
        CHECK(error_text(no_pair).starts_with("ValueError: can not get address information"));
        DatagramOptions modified = DatagramOptions().sock(0).reuse_port(true);
        const std::exception_ptr both = co_await error_of(open_datagram_endpoint(modified));
        CHECK(error_text(both).starts_with("ValueError: socket modifier keyword arguments can not be used"));
        const std::exception_ptr port = co_await error_of(open_datagram_endpoint(on_loopback().local_addr("", 70'000)));
        CHECK(error_text(port) == "ValueError: port 70000 is not within 0..65535");
        const std::string none = co_await ending(open_datagram_endpoint(on_loopback().queue_limit(0)));
        CHECK(none == "ValueError");
        const std::string ttl = co_await ending(open_datagram_endpoint(on_loopback().multicast_ttl(300)));
        CHECK(ttl == "ValueError");
        DatagramOptions taken = DatagramOptions().local_addr(*four.sockname());
        const std::string in_use = co_await ending(open_datagram_endpoint(taken));
        CHECK(in_use == "OSError");
    });
}

TEST_CASE("reuse_port: two sockets share an address") {
    run_on_each_backend([]() -> Coro<> {
        DatagramEndpoint first = co_await open_datagram_endpoint(on_loopback().reuse_port(true));
        DatagramOptions same = DatagramOptions().local_addr(*first.sockname()).reuse_port(true);
        DatagramEndpoint second = co_await open_datagram_endpoint(same);
        CHECK(second.sockname() == first.sockname());
        DatagramEndpoint sender = co_await open_datagram_endpoint(DatagramOptions().remote_addr(*first.sockname()));
        co_await sender.send("one of you");
        while (first.queued() + second.queued() == 0)
            co_await sleep(1ms);
        CHECK(first.queued() + second.queued() == 1);
    });
}

TEST_CASE("broadcast needs to be allowed; the remote address is then where it sends, not whom it hears") {
    run_on_each_backend([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const bool simulated = loop.backend().name() == "sim";
        // Loopback's own broadcast address; a simulated network has the one of all.
        const std::string everybody = simulated ? "255.255.255.255" : "127.255.255.255";
        DatagramEndpoint receiver = co_await open_datagram_endpoint(DatagramOptions().local_addr("0.0.0.0", 0));
        const int port = receiver.sockname()->port();
        DatagramEndpoint forbidden = co_await open_datagram_endpoint(DatagramOptions().family(Family::ipv4));
        const std::string denied =
            co_await ending(forbidden.send("x", *Address::parse(everybody, receiver.sockname()->port())));
        CHECK(denied == "PermissionError");
        DatagramOptions options = DatagramOptions().remote_addr(everybody, port).allow_broadcast(true);
        DatagramEndpoint sender = co_await open_datagram_endpoint(options);
        CHECK_FALSE(sender.peername());
        co_await sender.send("to all");
        const Datagram got = co_await receiver.receive();
        CHECK(got.data == "to all");
        const std::string other = co_await ending(sender.send("x", *Address::parse("127.0.0.1", 9)));
        CHECK(other == "ValueError");
        const Address back = *Address::parse("127.0.0.1", sender.sockname()->port());
        co_await receiver.send("heard", back);
        const Datagram heard = co_await sender.receive();
        CHECK(heard.data == "heard");
    });
}

TEST_CASE("multicast on loopback: members of the group receive, others do not") {
    run_on_each_backend([]() -> Coro<> {
        const Address group = *Address::parse("239.255.77.7", 0);
        const Address loopback = *Address::parse("127.0.0.1", 0);
        DatagramOptions joined =
            DatagramOptions().local_addr("0.0.0.0", 0).reuse_port(true).multicast_group(group, loopback);
        DatagramEndpoint member = co_await open_datagram_endpoint(joined);
        const std::uint16_t port = member.sockname()->port();
        DatagramOptions sending = DatagramOptions().family(Family::ipv4).multicast_interface(loopback).multicast_ttl(1);
        DatagramEndpoint sender = co_await open_datagram_endpoint(sending);
        co_await sender.send("members only", group.with_port(port));
        const Datagram got = co_await member.receive();
        CHECK(got.data == "members only");
        DatagramOptions silent = sending;
        silent.multicast_loopback(false);
        DatagramEndpoint quiet = co_await open_datagram_endpoint(silent);
        if (get_running_loop().backend().name() == "sim") {
            co_await quiet.send("not here", group.with_port(port));
            co_await sender.send("again", group.with_port(port));
            const Datagram again = co_await member.receive();
            CHECK(again.data == "again");
            CHECK(member.queued() == 0);
        } else {
            // What the loopback interface sends comes back whatever the option says.
            CHECK(option_of(quiet, IP_MULTICAST_LOOP) == 0);
            CHECK(option_of(sender, IP_MULTICAST_LOOP) == 1);
            CHECK(option_of(quiet, IP_MULTICAST_TTL) == 1);
        }
        const Address stranger = *Address::parse("10.1.2.3", 0);
        DatagramOptions wrong = DatagramOptions().local_addr("0.0.0.0", 0).multicast_group(stranger);
        if (get_running_loop().backend().name() != "sim") {
            const std::string no_group = co_await ending(open_datagram_endpoint(wrong));
            CHECK(no_group == "OSError");
        }
    });
}

TEST_CASE("IPv6 datagrams") {
    run_on_each_backend([]() -> Coro<> {
        DatagramEndpoint receiver = co_await open_datagram_endpoint(DatagramOptions().local_addr("::1", 0));
        DatagramEndpoint sender =
            co_await open_datagram_endpoint(DatagramOptions().remote_addr("::1", receiver.sockname()->port()));
        co_await sender.send("six");
        const Datagram got = co_await receiver.receive();
        CHECK(got.data == "six");
        CHECK(got.from.to_string() == sender.sockname()->to_string());
    });
}

TEST_CASE("Unix datagrams: with and without names, empty and large ones, and the file goes with the socket") {
    const TemporaryDirectory directory;
    run_on_each_backend([&directory]() -> Coro<> {
        const Address at = Address::local(directory / "server");
        const Address own = Address::local(directory / "client");
        DatagramEndpoint server = co_await open_datagram_endpoint(DatagramOptions().local_addr(at));
        CHECK(server.sockname() == at);
        DatagramEndpoint nameless = co_await open_datagram_endpoint(DatagramOptions().remote_addr(at));
        co_await nameless.send("who am I");
        const Datagram from_nobody = co_await server.receive();
        CHECK(from_nobody.data == "who am I");
        CHECK(from_nobody.from == Address::local({}));
        DatagramEndpoint named = co_await open_datagram_endpoint(DatagramOptions().local_addr(own).remote_addr(at));
        co_await named.send("");
        const Datagram empty = co_await server.receive();
        CHECK(empty.data.empty());
        CHECK(empty.from == own);
        const std::string large(100'000, 'z');
        co_await server.send(large, own);
        const Datagram big = co_await named.receive();
        CHECK((big.data == large));
        const std::string missing =
            co_await ending(open_datagram_endpoint(DatagramOptions().remote_addr(Address::local(directory / "no"))));
        CHECK(missing == "FileNotFoundError");
    });
    CHECK(std::filesystem::is_empty(std::filesystem::path(directory / "x").parent_path()));
}

TEST_CASE("a stale datagram socket is replaced") {
    const TemporaryDirectory directory;
    const std::string path = directory / "stale";
    run_real([path]() -> Coro<> {
        DatagramEndpoint first = co_await open_datagram_endpoint(DatagramOptions().local_addr(Address::local(path)));
        DatagramEndpoint second = co_await open_datagram_endpoint(DatagramOptions().local_addr(Address::local(path)));
        first.close();
        co_await first.wait_closed();
        DatagramEndpoint sender = co_await open_datagram_endpoint(DatagramOptions().remote_addr(Address::local(path)));
        co_await sender.send("to the second");
        const Datagram got = co_await second.receive();
        CHECK(got.data == "to the second");
    });
    CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("a simulated datagram takes the network's latency, and is lost where there is no room") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto& network = static_cast<sim::SimBackend&>(loop.backend()).network();
        network.set_latency(30ms);
        DatagramEndpoint receiver = co_await open_datagram_endpoint(on_loopback());
        DatagramEndpoint sender = co_await open_datagram_endpoint(DatagramOptions().remote_addr(*receiver.sockname()));
        const TimePoint before = loop.time();
        co_await sender.send("slow");
        const Datagram got = co_await receiver.receive();
        CHECK(got.data == "slow");
        CHECK(loop.time() - before == 30ms);
    });
}
