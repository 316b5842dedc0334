// Transports and protocols by callbacks.
#include "support/harness.hpp"

#include <sys/socket.h>

#include <algorithm>

using namespace weft;
using namespace weft::testing;

namespace {

/// Records what is called, and completes futures that a test waits for.
class Recorder : public Protocol {
public:
    explicit Recorder(EventLoop& loop)
        : made(loop.create_future<void>()), lost(loop.create_future<void>()), ended(loop.create_future<void>()) {}

    void connection_made(std::shared_ptr<Transport> to) override {
        trace("made");
        transport = std::move(to);
        if (on_made) on_made(*this);
        made.set_result();
    }
    void data_received(std::span<const std::byte> data) override {
        if (received.empty()) trace("data");
        received.append(data);
        if (on_data) on_data(*this);
        if (wanted > 0 && received.size() >= wanted && got && !got.done()) got.set_result();
    }
    bool eof_received() override {
        trace("eof");
        if (!ended.done()) ended.set_result();
        return keep_open;
    }
    void connection_lost(std::exception_ptr error) override {
        trace(error ? "lost-" + error_type(error) : "lost");
        transport = nullptr;
        lost.set_result();
    }
    void pause_writing() override { trace("pause"); }
    void resume_writing() override { trace("resume"); }

    Future<> wait_for_bytes(std::size_t count) {
        wanted = count;
        got = made.get_loop().create_future<void>();
        if (received.size() >= count) got.set_result();
        return got;
    }

    Trace trace;
    Bytes received;
    std::shared_ptr<Transport> transport;
    bool keep_open = false;
    std::function<void(Recorder&)> on_made;
    std::function<void(Recorder&)> on_data;
    Future<> made;
    Future<> lost;
    Future<> ended;
    Future<> got;
    std::size_t wanted = 0;
};

using Setup = std::function<void(Recorder&)>;

/// A client and the server's end of one connection.
class Pair {
public:
    std::shared_ptr<Recorder> client;
    std::shared_ptr<Recorder> peer;
    Server server;
};

Coro<Pair> connect_pair(Setup client_setup = {}, Setup peer_setup = {}) {
    EventLoop& loop = get_running_loop();
    Pair pair;
    pair.client = std::make_shared<Recorder>(loop);
    pair.peer = std::make_shared<Recorder>(loop);
    if (client_setup) client_setup(*pair.client);
    if (peer_setup) peer_setup(*pair.peer);
    auto peer = pair.peer;
    auto client = pair.client;
    auto make_peer = [peer] { return peer; };
    auto make_client = [client] { return client; };
    pair.server = co_await loop.create_server(make_peer, "127.0.0.1", 0);
    auto connection = co_await loop.create_connection(make_client, "127.0.0.1", pair.server.sockets().front().port());
    CHECK(connection.protocol == client);
    co_await peer->made;
    co_return std::move(pair);
}
Coro<> finish(Pair& pair) {
    if (pair.client->transport) pair.client->transport->abort();
    if (pair.peer->transport) pair.peer->transport->abort();
    co_await pair.client->lost;
    co_await pair.peer->lost;
    pair.server.close();
    co_await pair.server.wait_closed();
}

}  // namespace

TEST_CASE("rule 94: connection_made comes before data, and create_connection returns after it") {
    run_on_each_backend([]() -> Coro<> {
        const Setup greet = [](Recorder& peer) { peer.on_made = [](Recorder& self) { self.transport->write("hi"); }; };
        Pair pair = co_await connect_pair(Setup(), greet);
        CHECK(pair.client->made.done());
        co_await pair.client->wait_for_bytes(2);
        CHECK(pair.client->trace.text() == "made data");
        CHECK(pair.client->received == "hi");
        co_await finish(pair);
    });
}

TEST_CASE("rule 94: pause_reading inside connection_made holds the data back") {
    run_on_each_backend([]() -> Coro<> {
        const Setup paused = [](Recorder& client) {
            client.on_made = [](Recorder& self) { self.transport->pause_reading(); };
        };
        const Setup greet = [](Recorder& peer) { peer.on_made = [](Recorder& self) { self.transport->write("hi"); }; };
        Pair pair = co_await connect_pair(paused, greet);
        CHECK_FALSE(pair.client->transport->is_reading());
        co_await turns(200);
        CHECK(pair.client->received.empty());
        pair.client->transport->pause_reading();
        pair.client->transport->resume_reading();
        pair.client->transport->resume_reading();
        CHECK(pair.client->transport->is_reading());
        co_await pair.client->wait_for_bytes(2);
        CHECK(pair.client->received == "hi");
        co_await finish(pair);
    });
}

TEST_CASE("rule 95: connection_lost is called once, through the loop, with null after close and abort") {
    run_on_each_backend([]() -> Coro<> {
        Pair pair = co_await connect_pair();
        const std::shared_ptr<Transport> transport = pair.client->transport;
        transport->close();
        CHECK(transport->is_closing());
        transport->close();
        transport->abort();
        CHECK(pair.client->trace.text() == "made");
        co_await pair.client->lost;
        co_await turns(3);
        CHECK(pair.client->trace.text() == "made lost");
        transport->abort();
        transport->write("dropped");
        co_await turns(3);
        CHECK(pair.client->trace.text() == "made lost");
        co_await finish(pair);
    });
}

TEST_CASE("rule 96: close flushes what is buffered") {
    run_on_each_backend([]() -> Coro<> {
        Pair pair = co_await connect_pair();
        const std::string chunk(3'000'000, 'x');
        std::size_t total = 0;
        while (pair.client->transport->get_write_buffer_size() == 0) {  // until the socket takes no more
            pair.client->transport->write(chunk);
            total += chunk.size();
        }
        pair.client->transport->close();
        pair.client->transport->write("tail");  // accepted while it still flushes
        co_await pair.peer->ended;
        CHECK(pair.peer->received.size() == total + 4);
        CHECK(pair.peer->received.text().ends_with("xtail"));
        co_await finish(pair);
    });
}

TEST_CASE("rule 96: abort drops what is buffered") {
    run_on_each_backend([]() -> Coro<> {
        const Setup paused = [](Recorder& peer) {
            peer.on_made = [](Recorder& self) { self.transport->pause_reading(); };
        };
        Pair pair = co_await connect_pair(Setup(), paused);
        const std::shared_ptr<Transport> transport = pair.client->transport;
        const std::string chunk(3'000'000, 'x');
        std::size_t total = 0;
        while (transport->get_write_buffer_size() == 0) {
            transport->write(chunk);
            total += chunk.size();
        }
        transport->abort();
        CHECK(transport->get_write_buffer_size() == 0);
        co_await pair.client->lost;
        CHECK(pair.client->trace.text() == "made pause lost");
        pair.peer->transport->resume_reading();
        co_await pair.peer->lost;
        CHECK(pair.peer->received.size() < total);
        co_await finish(pair);
    });
}

TEST_CASE("rule 97: after the peer's end of stream eof_received decides: false closes the connection") {
    run_on_each_backend([]() -> Coro<> {
        Pair pair = co_await connect_pair();
        pair.client->transport->write("last");
        pair.client->transport->write_eof();
        co_await pair.peer->lost;
        CHECK(pair.peer->trace.text() == "made data eof lost");
        CHECK(pair.peer->received == "last");
        co_await finish(pair);
    });
}

TEST_CASE("rule 97: true keeps it half open, and writing still works") {
    run_on_each_backend([]() -> Coro<> {
        const Setup half_open = [](Recorder& peer) { peer.keep_open = true; };
        Pair pair = co_await connect_pair(Setup(), half_open);
        pair.client->transport->write_eof();
        co_await pair.peer->ended;
        CHECK_FALSE(pair.peer->transport->is_closing());
        pair.peer->transport->write("answer");
        co_await pair.client->wait_for_bytes(6);
        CHECK(pair.client->received == "answer");
        CHECK(pair.peer->trace.text() == "made eof");
        co_await finish(pair);
    });
}

TEST_CASE("rule 98: a reset by the peer is connection_lost with the error, and not reported") {
    run_on_each_backend([]() -> Coro<> {
        Reports reports(get_running_loop());
        const Setup paused = [](Recorder& peer) {
            peer.on_made = [](Recorder& self) { self.transport->pause_reading(); };
        };
        Pair pair = co_await connect_pair(Setup(), paused);
        pair.client->transport->write("unread");
        co_await turns(200);
        pair.peer->transport->abort();  // with unread bytes: a reset
        co_await pair.client->lost;
        CHECK(pair.client->trace.text() == "made lost-ConnectionResetError");
        CHECK(reports.size() == 0);
        co_await finish(pair);
    });
}

TEST_CASE("an exception of data_received is reported and closes the connection with it") {
    run_on_each_backend([]() -> Coro<> {
        Reports reports(get_running_loop());
        const Setup throws = [](Recorder& peer) { peer.on_data = [](Recorder&) { throw ValueError("parser"); }; };
        Pair pair = co_await connect_pair(Setup(), throws);
        pair.client->transport->write("x");
        co_await pair.peer->lost;
        CHECK(pair.peer->trace.text() == "made data lost-ValueError");
        REQUIRE(reports.size() == 1);
        CHECK(reports[0].message == "Fatal error: protocol.data_received() call failed.");
        CHECK(error_text(reports[0].exception) == "ValueError: parser");
        CHECK(reports[0].protocol.ends_with("Recorder>"));
        CHECK(reports[0].transport.starts_with("<Transport fd="));
        co_await finish(pair);
    });
}

TEST_CASE("rule 100: write_eof ends the stream after the buffer has drained") {
    run_on_each_backend([]() -> Coro<> {
        const Setup half_open = [](Recorder& either) { either.keep_open = true; };
        Pair pair = co_await connect_pair(half_open, half_open);
        const std::string big(3'000'000, 'y');
        CHECK(pair.client->transport->can_write_eof());
        pair.client->transport->write(big);
        pair.client->transport->write_eof();
        pair.client->transport->write_eof();
        CHECK(error_of_call([&] { pair.client->transport->write("more"); }) ==
              "RuntimeError: Cannot call write() after write_eof()");
        co_await pair.peer->ended;
        CHECK(pair.peer->received.size() == big.size());
        pair.peer->transport->write("still");
        co_await pair.client->wait_for_bytes(5);
        CHECK(pair.client->received == "still");
        co_await finish(pair);
    });
}

TEST_CASE("writelines sends its pieces in order; an empty write does nothing") {
    run_on_each_backend([]() -> Coro<> {
        Pair pair = co_await connect_pair();
        const std::vector<std::span<const std::byte>> pieces{as_byte_span("one,"), as_byte_span(""),
                                                             as_byte_span("two")};
        pair.client->transport->write("");
        pair.client->transport->writelines(pieces);
        co_await pair.peer->wait_for_bytes(7);
        CHECK(pair.peer->received == "one,two");
        co_await finish(pair);
    });
}

TEST_CASE("addresses of both ends agree, and get_extra_info has them as text") {
    run_on_each_backend([]() -> Coro<> {
        Pair pair = co_await connect_pair();
        Transport& client = *pair.client->transport;
        Transport& peer = *pair.peer->transport;
        CHECK(client.peername() == peer.sockname());
        CHECK(client.sockname() == peer.peername());
        CHECK(client.peername() == pair.server.sockets().front());
        CHECK(client.get_extra_info("peername") == client.peername()->to_string());
        CHECK(client.get_extra_info("sockname") == client.sockname()->to_string());
        CHECK_FALSE(client.get_extra_info("cipher"));
        CHECK_FALSE(client.get_extra_info("sslcontext"));
        CHECK_FALSE(client.get_extra_info("pipe"));
        CHECK_FALSE(client.tls_context());
        CHECK_FALSE(client.is_pipe());
        CHECK(&client.get_loop() == &get_running_loop());
        co_await finish(pair);
    });
}

TEST_CASE("the addresses of a connection are known after its end, also if it was reset") {
    run_on_each_backend([]() -> Coro<> {
        std::optional<Address> seen_at_end;
        std::shared_ptr<Transport> kept;
        Pair pair = co_await connect_pair(
            [&](Recorder& client) { client.on_made = [&](Recorder& self) { kept = self.transport; }; });
        const auto peername = kept->peername();
        const auto sockname = kept->sockname();
        pair.peer->transport->pause_reading();
        kept->write("unread by the peer");
        co_await sleep(5ms);
        kept->write("and more");
        pair.peer->transport->abort();
        co_await pair.client->lost;
        co_await sleep(0s);
        CHECK(pair.client->trace.text() == "made lost-ConnectionResetError");
        REQUIRE(peername);
        CHECK(kept->peername() == peername);
        CHECK(kept->sockname() == sockname);
        CHECK(kept->get_extra_info("peername") == peername->to_string());
        CHECK(kept->fileno() == -1);
        co_await finish(pair);
    });
}

TEST_CASE("an exception of connection_made is reported with the name of the call") {
    run_on_each_backend([]() -> Coro<> {
        Reports reports(get_running_loop());
        const Setup throws = [](Recorder& peer) {
            peer.on_made = [](Recorder& self) {
                self.made.set_result();
                throw ValueError("made");
            };
        };
        Pair pair = co_await connect_pair(Setup(), throws);
        while (reports.size() == 0)
            co_await sleep(1ms);
        CHECK(reports[0].message == "Exception in callback protocol.connection_made()");
        CHECK(reports[0].protocol.ends_with("Recorder>"));
        co_await finish(pair);
        get_running_loop().set_exception_handler(nullptr);
    });
}

TEST_CASE("set_protocol takes effect with the next data") {
    run_on_each_backend([]() -> Coro<> {
        Pair pair = co_await connect_pair();
        auto other = std::make_shared<Recorder>(get_running_loop());
        pair.peer->transport->set_protocol(other);
        CHECK(pair.peer->transport->get_protocol() == other);
        pair.client->transport->write("to the other");
        co_await other->wait_for_bytes(12);
        CHECK(other->received == "to the other");
        CHECK(pair.peer->received.empty());
        CHECK(ending_of_call([&] { pair.peer->transport->set_protocol(nullptr); }) == "ValueError");
        pair.peer->transport->abort();
        co_await other->lost;
        CHECK(other->trace.text() == "data lost");
        pair.client->transport->abort();
        co_await pair.client->lost;
        pair.server.close();
        co_await pair.server.wait_closed();
    });
}

namespace {

class Buffered : public BufferedProtocol {
public:
    explicit Buffered(EventLoop& loop) : lost(loop.create_future<void>()) {}
    std::span<std::byte> get_buffer(std::size_t) override { return std::span(room).first(size); }
    void buffer_updated(std::size_t count) override { received.append(std::span<const std::byte>(room).first(count)); }
    void connection_lost(std::exception_ptr error) override {
        end = error_type(error);
        lost.set_result();
    }
    std::array<std::byte, 4> room{};
    std::size_t size = 4;
    Bytes received;
    std::string end;
    Future<> lost;
};

}  // namespace

TEST_CASE("a BufferedProtocol gets the data in its own memory; an empty buffer is fatal") {
    run_on_each_backend([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Reports reports(loop);
        for (const std::size_t size : {std::size_t(4), std::size_t(0)}) {
            auto peer = std::make_shared<Buffered>(loop);
            peer->size = size;
            auto client = std::make_shared<Recorder>(loop);
            auto make_peer = [peer] { return peer; };
            auto make_client = [client] { return client; };
            Server server = co_await loop.create_server(make_peer, "127.0.0.1", 0);
            co_await loop.create_connection(make_client, "127.0.0.1", server.sockets().front().port());
            client->transport->write("0123456789");
            client->transport->close();
            co_await peer->lost;
            CHECK(peer->received == (size ? "0123456789" : ""));
            CHECK(peer->end == (size ? "ok" : "RuntimeError"));
            if (!client->lost.done()) co_await client->lost;
            server.close();
            co_await server.wait_closed();
        }
        CHECK(reports.size() == 1);
    });
}

TEST_CASE("a BufferedProtocol that pauses in buffer_updated gets the rest on resuming, one that closes gets no more") {
    class Stopping : public Buffered {
    public:
        Stopping(EventLoop& loop, bool closes) : Buffered(loop), closes_(closes) {}
        void connection_made(std::shared_ptr<Transport> to) override { transport = std::move(to); }
        void buffer_updated(std::size_t count) override {
            Buffered::buffer_updated(count);
            ++calls;
            if (closes_)
                transport->close();
            else
                transport->pause_reading();
        }
        std::shared_ptr<Transport> transport;
        int calls = 0;

    private:
        bool closes_;
    };
    run_on_each_backend([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        for (const bool closes : {false, true}) {
            auto peer = std::make_shared<Stopping>(loop, closes);
            auto client = std::make_shared<Recorder>(loop);
            auto make_peer = [peer] { return peer; };
            auto make_client = [client] { return client; };
            Server server = co_await loop.create_server(make_peer, "127.0.0.1", 0);
            co_await loop.create_connection(make_client, "127.0.0.1", server.sockets().front().port());
            client->transport->write("0123456789");
            while (peer->calls == 0)
                co_await sleep(1ms);
            co_await turns(50);
            CHECK(peer->calls == 1);
            CHECK(peer->received == "0123");
            if (!closes) {
                client->transport->write("ab");
                co_await turns(50);
                for (int expected = 2; expected <= 4 && peer->received.size() < 12; ++expected) {
                    peer->transport->resume_reading();
                    while (peer->calls < expected)
                        co_await sleep(1ms);
                }
                CHECK(peer->received == "0123456789ab");
                peer->transport->close();
            }
            co_await peer->lost;
            CHECK(peer->end == "ok");
            if (client->transport) client->transport->abort();
            co_await client->lost;
            peer->transport = nullptr;
            server.close();
            co_await server.wait_closed();
        }
    });
}

TEST_CASE("an interrupt in buffer_updated: the rest is delivered when the loop is run again") {
    class Interrupted : public Buffered {
    public:
        explicit Interrupted(EventLoop& loop) : Buffered(loop) {}
        void buffer_updated(std::size_t count) override {
            Buffered::buffer_updated(count);
            if (++calls % 2 == 1) throw SystemExit(3);
        }
        int calls = 0;
    };
    for (const auto make : {+[] { return make_simulated_loop(); }, +[] { return make_real_loop(); }}) {
        auto loop = make();
        const auto visit = []() -> Coro<> {
            EventLoop& loop = get_running_loop();
            auto peer = std::make_shared<Interrupted>(loop);
            auto client = std::make_shared<Recorder>(loop);
            auto make_peer = [peer] { return peer; };
            auto make_client = [client] { return client; };
            Server server = co_await loop.create_server(make_peer, "127.0.0.1", 0);
            co_await loop.create_connection(make_client, "127.0.0.1", server.sockets().front().port());
            client->transport->write("0123456789abcdef");
            while (peer->received.size() < 16)
                co_await sleep(1ms);
            CHECK(peer->received == "0123456789abcdef");
            client->transport->close();
            co_await client->lost;
            co_await peer->lost;
            server.close();
            co_await server.wait_closed();
        };
        Task<> task = loop->create_task(visit());
        int interrupts = 0;
        while (ending_of_call([&] { loop->run_until_complete(task); }) == "SystemExit")
            ++interrupts;
        CHECK(interrupts == 2);
        CHECK(task.done());
        loop->close();
    }
}

TEST_CASE("set_protocol refuses what is no stream's protocol, and the one before goes on") {
    run_on_each_backend([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        class Neither : public BaseProtocol {};
        const auto neither = std::make_shared<Neither>();
        auto second = std::make_shared<Recorder>(loop);
        auto make_second = [second] { return second; };
        auto buffered = std::make_shared<Buffered>(loop);
        auto make_buffered = [buffered] { return buffered; };
        Server server = co_await loop.create_server(make_second, "127.0.0.1", 0);
        auto [transport, protocol] =
            co_await loop.create_connection(make_buffered, "127.0.0.1", server.sockets().front().port());
        const auto& own = transport;
        CHECK(ending_of_call([&] { own->set_protocol(neither); }) == "ValueError");
        co_await second->made;
        second->transport->write("still");
        while (buffered->received.size() < 5)
            co_await sleep(1ms);
        CHECK(buffered->received == "still");
        transport->close();
        co_await second->lost;
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("a protocol that puts another in its place lives until its callback has returned") {
    class First : public Protocol {
    public:
        explicit First(std::shared_ptr<Protocol> next) : next_(std::move(next)) {}
        void connection_made(std::shared_ptr<Transport> to) override { transport_ = std::move(to); }
        void data_received(std::span<const std::byte> data) override {
            const auto transport = transport_;
            transport->set_protocol(next_);
            text_.append(data);
            transport->write(text_.span());
        }

    private:
        std::shared_ptr<Protocol> next_;
        std::shared_ptr<Transport> transport_;
        Bytes text_ = Bytes("first: ");
    };
    run_on_each_backend([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto next = std::make_shared<Recorder>(loop);
        auto client = std::make_shared<Recorder>(loop);
        auto make_first = [next] { return std::make_shared<First>(next); };  // the transport's alone
        auto make_client = [client] { return client; };
        Server server = co_await loop.create_server(make_first, "127.0.0.1", 0);
        co_await loop.create_connection(make_client, "127.0.0.1", server.sockets().front().port());
        client->transport->write("hello");
        co_await client->wait_for_bytes(12);
        CHECK(client->received == "first: hello");
        client->transport->write("again");
        while (next->received.size() < 5)
            co_await sleep(1ms);
        CHECK(next->received == "again");
        client->transport->close();
        co_await client->lost;
        co_await next->lost;
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("closing the loop lets go of transports and protocols without calling them") {
    for (auto make : {+[] { return make_simulated_loop(); }, +[] { return make_real_loop(); }}) {
        std::weak_ptr<Recorder> watched;
        {
            auto loop = make();
            std::optional<Pair> pair = loop->run_until_complete(connect_pair());
            watched = pair->client;
            auto client = pair->client;
            loop->close();
            CHECK(client->trace.text() == "made");
            pair.reset();
        }
        CHECK(watched.expired());
    }
}

TEST_CASE("regression: a reset that comes together with data is told after the data") {
    class Slow : public Protocol {
    public:
        void data_received(std::span<const std::byte> data) override { count += data.size(); }
        void connection_lost(std::exception_ptr error) override {
            lost = true;
            reason = error;
        }
        std::size_t count = 0;
        bool lost = false;
        std::exception_ptr reason;
    };
    for (int round = 0; round < 20; ++round) {
        run_real([]() -> Coro<> {
            EventLoop& loop = get_running_loop();
            const auto rude = [](StreamReader reader, StreamWriter writer) -> Coro<> {
                (void)co_await reader.read(1000);
                writer.write("bye");
                writer.transport().abort();  // with bytes unread: a reset
            };
            Server server = co_await start_server(rude, "127.0.0.1", 0);
            const auto factory = [] { return std::make_shared<Slow>(); };
            auto [transport, protocol] =
                co_await loop.create_connection(factory, "127.0.0.1", server.sockets().front().port());
            transport->write(std::string(600'000, 'x'));
            while (!protocol->lost)
                co_await sleep(1ms);
            server.close();
            co_await server.wait_closed();
        });
    }
}

namespace {

Coro<> reset_by_peer(Pair& pair) {
    const linger reset{1, 0};
    REQUIRE(::setsockopt(pair.peer->transport->fileno(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset) == 0);
    pair.peer->transport->abort();
    co_await pair.peer->lost;
    co_await sleep(5ms);
}

}  // namespace

TEST_CASE("a reset that comes while reading is paused is told after the data that came before it") {
    run_real([]() -> Coro<> {
        Pair pair = co_await connect_pair();
        Transport& client = *pair.client->transport;
        client.pause_reading();
        pair.peer->transport->write("one,");
        co_await sleep(5ms);
        pair.peer->transport->write("two");
        co_await sleep(5ms);
        co_await reset_by_peer(pair);
        CHECK(pair.client->trace.text() == "made");
        client.resume_reading();
        co_await wait_for(pair.client->lost, 30s);
        CHECK(pair.client->trace.text() == "made data lost-ConnectionResetError");
        CHECK(pair.client->received == "one,two");
        co_await finish(pair);
    });
}

TEST_CASE("a reset that comes before anything was read, while only writing was waited for, is told after its data") {
    run_real([]() -> Coro<> {
        const Setup writes_only = [](Recorder& client) {
            client.on_made = [](Recorder& self) {
                self.transport->pause_reading();
                self.transport->write(std::string(8'000'000, 'x'));
            };
        };
        Pair pair = co_await connect_pair(writes_only);
        Transport& client = *pair.client->transport;
        co_await pair.peer->wait_for_bytes(8'000'000);
        while (client.get_write_buffer_size() > 0)
            co_await sleep(1ms);
        pair.peer->transport->write("bye");
        co_await reset_by_peer(pair);
        client.resume_reading();
        co_await wait_for(pair.client->lost, 30s);
        CHECK(pair.client->trace.text() == "made pause resume data lost-ConnectionResetError");
        CHECK(pair.client->received == "bye");
        co_await finish(pair);
    });
}

TEST_CASE("rule 22: in debug mode a protocol's callback that takes long is logged") {
    run_on_each_backend([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        std::vector<std::string> log;
        const Setup slow = [&loop](Recorder& peer) {
            peer.on_data = [&loop](Recorder&) {
                loop.slow_callback_duration = Duration::zero();  // everything is slow from here on
            };
        };
        Pair pair = co_await connect_pair(Setup(), slow);
        loop.set_logger([&log](std::string_view line) { log.emplace_back(line); });
        loop.slow_callback_duration = 1h;
        loop.set_debug(true);
        pair.client->transport->write("x");
        co_await pair.peer->wait_for_bytes(1);
        loop.set_debug(false);
        const auto tells = [](const std::string& line) {
            return line.starts_with("Executing <Protocol.data_received()> took ");
        };
        CHECK(std::count_if(log.begin(), log.end(), tells) == 1);
        loop.set_logger(nullptr);
        co_await finish(pair);
    });
}
