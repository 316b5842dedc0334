#include "net/support.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

std::string text_of(std::span<const std::byte> data) {
    return {reinterpret_cast<const char*>(data.data()), data.size()};
}

/// Keeps what happens; waits for a number of events.
class Recorder : public DatagramProtocol {
public:
    void connection_made(std::shared_ptr<DatagramTransport> transport) override {
        transport_ = std::move(transport);
        note("made");
    }
    void datagram_received(std::span<const std::byte> data, const Address& from) override {
        last_from = from;
        note("'" + text_of(data) + "'");
        if (echoes) transport_->sendto(data, from);
    }
    void error_received(std::exception_ptr error) override { note(error_type(error)); }
    void connection_lost(std::exception_ptr error) override {
        note("lost:" + error_type(error));
        transport_ = nullptr;
    }
    void pause_writing() override { note("pause"); }
    void resume_writing() override { note("resume"); }

    Coro<std::string> after(std::size_t count) {
        while (trace.events().size() < count) {
            happened_ = get_running_loop().create_future<void>();
            co_await happened_;
        }
        co_return trace.text();
    }

    Trace trace;
    Address last_from;
    bool echoes = false;

private:
    void note(std::string event) {
        trace(std::move(event));
        if (happened_ && !happened_.done()) happened_.set_result();
    }
    std::shared_ptr<DatagramTransport> transport_;
    Future<> happened_;
};

auto make_recorder = [] { return std::make_shared<Recorder>(); };
auto make_echo = [] {
    auto recorder = std::make_shared<Recorder>();
    recorder->echoes = true;
    return recorder;
};

DatagramOptions on_loopback() {
    return DatagramOptions().local_addr("127.0.0.1", 0);
}

int option_of(const DatagramEndpoint& endpoint, int option) {
    int value = -1;
    socklen_t size = sizeof value;
    REQUIRE(::getsockopt(endpoint.transport().fileno(), IPPROTO_IP, option, &value, &size) == 0);
    return value;
}

/// A port of loopback that nobody has: it was the system's choice a moment ago.
Coro<int> unused_port() {
    DatagramEndpoint endpoint = co_await open_datagram_endpoint(on_loopback());
    const int port = endpoint.sockname()->port();
    endpoint.close();
    co_await endpoint.wait_closed();
    co_return port;
}

}  // namespace

TEST_CASE("a UDP echo by protocols, unconnected and connected") {
    run_on_each_backend([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto [server, served] = co_await loop.create_datagram_endpoint(make_echo, on_loopback());
        const Address at = *server->sockname();
        CHECK(at.host() == "127.0.0.1");
        CHECK(at.port() != 0);
        CHECK_FALSE(server->peername());
        CHECK(served->trace.text() == "made");

        auto [free, free_protocol] =
            co_await loop.create_datagram_endpoint(make_recorder, DatagramOptions().family(Family::ipv4));
        free->sendto("one", at);
        const std::string one = co_await free_protocol->after(2);
        CHECK(one == "made 'one'");
        CHECK(free_protocol->last_from == at);

        DatagramOptions options = DatagramOptions().remote_addr("127.0.0.1", at.port());
        auto [connected, protocol] = co_await loop.create_datagram_endpoint(make_recorder, options);
        CHECK(connected->peername() == at);
        connected->sendto("two");
        connected->sendto("three", at);
        connected->sendto("");
        const std::string rest = co_await protocol->after(4);
        CHECK(rest == "made 'two' 'three' ''");
        CHECK(served->last_from == *connected->sockname());

        const std::string error = error_of_call([&, to = connected] { to->sendto("x", at.with_port(1)); });
        CHECK(error.starts_with("ValueError: Invalid address: must be None or 127.0.0.1:"));
        for (auto& transport : {server, free, connected})
            transport->close();
        const std::string ended = co_await protocol->after(5);
        CHECK(ended == "made 'two' 'three' '' lost:ok");
    });
}

TEST_CASE("rule 110: errors go to error_received and the connected socket goes on") {
    run_on_each_backend([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const int port = co_await unused_port();
        DatagramOptions options = on_loopback().remote_addr("127.0.0.1", port);
        auto [transport, protocol] = co_await loop.create_datagram_endpoint(make_recorder, options);
        transport->sendto("anybody?");
        const std::string refused = co_await protocol->after(2);
        CHECK(refused == "made ConnectionRefusedError");
        CHECK_FALSE(transport->is_closing());
        // Somebody comes to that port: the same socket reaches him.
        auto [server, served] =
            co_await loop.create_datagram_endpoint(make_echo, DatagramOptions().local_addr("127.0.0.1", port));
        transport->sendto("now");
        const std::string answered = co_await protocol->after(3);
        CHECK(answered == "made ConnectionRefusedError 'now'");
        server->close();
        transport->close();
    });
}

TEST_CASE("rule 110: a datagram that is too long is an error of sending") {
    run_on_each_backend([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto [transport, protocol] = co_await loop.create_datagram_endpoint(make_recorder, on_loopback());
        const std::string huge(70'000, 'x');
        transport->sendto(huge, *transport->sockname());
        CHECK(protocol->trace.text() == "made OSError");
        transport->sendto("fits", *transport->sockname());
        const std::string after = co_await protocol->after(3);
        CHECK(after == "made OSError 'fits'");
        transport->close();
    });
}

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
        const Address at = Address::local(directory.file("server"));
        const Address own = Address::local(directory.file("client"));
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
        const std::string missing = co_await ending(
            open_datagram_endpoint(DatagramOptions().remote_addr(Address::local(directory.file("no")))));
        CHECK(missing == "FileNotFoundError");
    });
    CHECK(std::filesystem::is_empty(std::filesystem::path(directory.file("x")).parent_path()));
}

TEST_CASE("a stale datagram socket is replaced") {
    const TemporaryDirectory directory;
    const std::string path = directory.file("stale");
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

TEST_CASE("a full socket: sending pauses at the high-water mark, resumes, and everything arrives in order") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto [near, far] = socket_pair(SOCK_DGRAM);
        auto [transport, protocol] =
            co_await loop.create_datagram_endpoint(make_recorder, DatagramOptions().sock(near.take()));
        transport->set_write_buffer_limits(4000, 1000);
        CHECK(transport->get_write_buffer_limits() == std::pair<std::size_t, std::size_t>(1000, 4000));
        const std::string piece(900, 'p');
        int sent = 0;
        while (protocol->trace.text() == "made") {
            transport->sendto(std::to_string(sent++) + piece);
            REQUIRE(sent < 10'000);
        }
        CHECK(protocol->trace.text() == "made pause");
        // Each counts for 8 bytes more than it has.
        CHECK(transport->get_write_buffer_size() > 4000);
        CHECK(transport->get_write_buffer_size() <= 4000 + 912);
        CHECK(transport->repr().starts_with("<DatagramTransport fd="));
        CHECK(transport->repr().find("write=<polling, bufsize=") != std::string::npos);
        transport->close();  // flushes first
        std::string buffer(2000, '\0');
        int received = 0;
        while (received < sent) {
            const ssize_t count = ::recv(far.get(), buffer.data(), buffer.size(), 0);
            if (count < 0) {
                co_await turns(1);
                continue;
            }
            CHECK(buffer.substr(0, static_cast<std::size_t>(count)) == std::to_string(received++) + piece);
        }
        const std::string all = co_await protocol->after(4);
        CHECK(all == "made pause resume lost:ok");
    });
}

TEST_CASE("abort drops what is buffered; sending after the end is silent") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto [near, far] = socket_pair(SOCK_DGRAM);
        auto [transport, protocol] =
            co_await loop.create_datagram_endpoint(make_recorder, DatagramOptions().sock(near.take()));
        const std::string piece(900, 'p');
        while (transport->get_write_buffer_size() == 0)
            transport->sendto(piece);
        transport->abort();
        transport->abort();
        transport->close();
        CHECK(transport->get_write_buffer_size() == 0);
        CHECK(protocol->trace.text() == "made");
        const std::string ended = co_await protocol->after(2);
        CHECK(ended == "made lost:ok");
        std::vector<std::string> lines;
        loop.set_logger([&lines](std::string_view line) { lines.emplace_back(line); });
        for (int i = 0; i < 8; ++i)
            transport->sendto("into the void");
        CHECK(lines.size() == 1);
        loop.set_logger(nullptr);
        CHECK(transport->fileno() == -1);
        CHECK_FALSE(transport->sockname());
    });
}

TEST_CASE("what a protocol throws is reported, and the socket goes on") {
    run_on_each_backend([]() -> Coro<> {
        class Thrower : public Recorder {
        public:
            void datagram_received(std::span<const std::byte> data, const Address& from) override {
                Recorder::datagram_received(data, from);
                if (text_of(data) == "throw") throw ValueError("mine");
            }
        };
        EventLoop& loop = get_running_loop();
        const auto factory = [] { return std::make_shared<Thrower>(); };
        auto [transport, protocol] = co_await loop.create_datagram_endpoint(factory, on_loopback());
        Reports reports(loop);
        transport->sendto("throw", *transport->sockname());
        transport->sendto("on", *transport->sockname());
        const std::string all = co_await protocol->after(3);
        CHECK(all == "made 'throw' 'on'");
        CHECK(reports.messages() == "Exception in callback protocol.datagram_received()");
        loop.set_exception_handler(nullptr);
        const std::string wrong =
            ending_of_call([&, to = transport] { to->set_protocol(std::make_shared<Protocol>()); });
        CHECK(wrong == "ValueError");
        transport->close();
    });
}

TEST_CASE("a socket closed in the middle of a batch gets nothing more") {
    run_real([]() -> Coro<> {
        class Once : public Recorder {
        public:
            void connection_made(std::shared_ptr<DatagramTransport> transport) override {
                own = transport.get();
                Recorder::connection_made(std::move(transport));
            }
            void datagram_received(std::span<const std::byte> data, const Address& from) override {
                Recorder::datagram_received(data, from);
                own->close();
            }
            DatagramTransport* own = nullptr;
        };
        EventLoop& loop = get_running_loop();
        const auto factory = [] { return std::make_shared<Once>(); };
        auto [transport, protocol] = co_await loop.create_datagram_endpoint(factory, on_loopback());
        for (int i = 0; i < 3; ++i)
            transport->sendto(std::to_string(i), *transport->sockname());
        const std::string all = co_await protocol->after(3);
        CHECK(all == "made '0' lost:ok");
    });
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

TEST_CASE("Python's asyncio as the other end of UDP") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto [server, served] = co_await loop.create_datagram_endpoint(make_echo, on_loopback());
        const std::string script = R"(
import asyncio, sys
class Client(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport, self.got = transport, []
        transport.sendto(b'0' * 1000)
    def datagram_received(self, data, addr):
        self.got.append(data)
        if len(self.got) == 20: done.set_result(None)
        else: self.transport.sendto(str(len(self.got)).encode() * 1000)
async def main():
    global done
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    transport, client = await loop.create_datagram_endpoint(Client, remote_addr=('127.0.0.1', int(sys.argv[1])))
    await asyncio.wait_for(done, 20)
    sys.exit(0 if client.got == [str(i).encode() * 1000 for i in range(20)] else 3)
asyncio.run(main())
)";
        Child client({"/usr/bin/python3", "-c", script, std::to_string(server->sockname()->port())});
        const int status = co_await client.wait();
        CHECK(status == 0);
        server->close();
        const std::string all = co_await served->after(22);
        CHECK(all.ends_with("lost:ok"));
    });
}
