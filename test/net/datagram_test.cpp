#include "net/datagrams.hpp"

using namespace weft;
using namespace weft::testing;

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
        CHECK(transport->sockname() == Address::local({}));
    });
}

TEST_CASE("what a protocol throws is reported, and the socket goes on") {
    run_on_each_backend([]() -> Coro<> {
        class Thrower : public DatagramRecorder {
        public:
            void datagram_received(std::span<const std::byte> data, const Address& from) override {
                DatagramRecorder::datagram_received(data, from);
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
        class Once : public DatagramRecorder {
        public:
            void connection_made(std::shared_ptr<DatagramTransport> transport) override {
                own = transport.get();
                DatagramRecorder::connection_made(std::move(transport));
            }
            void datagram_received(std::span<const std::byte> data, const Address& from) override {
                DatagramRecorder::datagram_received(data, from);
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
