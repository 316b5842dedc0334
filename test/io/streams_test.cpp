#include "support/harness.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

/// Both ends of one connection as streams.
class Ends {
public:
    StreamReader reader;
    StreamWriter writer;
    StreamReader peer_reader;
    StreamWriter peer_writer;
    Server server;
};

Coro<Ends> connect_ends(std::size_t limit = 64 * 1024) {
    EventLoop& loop = get_running_loop();
    Ends ends;
    Future<> accepted = loop.create_future<void>();
    auto handler = [&ends, accepted](StreamReader reader, StreamWriter writer) mutable {
        ends.peer_reader = std::move(reader);
        ends.peer_writer = std::move(writer);
        accepted.set_result();
    };
    ends.server = co_await start_server(handler, "127.0.0.1", 0);
    auto [reader, writer] =
        co_await open_connection("127.0.0.1", ends.server.sockets().front().port(), ConnectionOptions().limit(limit));
    ends.reader = reader;
    ends.writer = writer;
    co_await accepted;
    co_return std::move(ends);
}
Coro<> finish(Ends& ends) {
    ends.writer.close();
    ends.peer_writer.close();
    (void)co_await ending(ends.writer.wait_closed());
    (void)co_await ending(ends.peer_writer.wait_closed());
    ends.server.close();
    co_await ends.server.wait_closed();
}

}  // namespace

TEST_CASE("read gives what is there, up to the count; then the rest; then nothing at the end") {
    run_on_each_backend([]() -> Coro<> {
        Ends ends = co_await connect_ends();
        ends.peer_writer.write("hello world");
        const Bytes none = co_await ends.reader.read(0);
        CHECK(none.empty());
        const Bytes first = co_await ends.reader.readexactly(5);
        CHECK(first == "hello");
        const Bytes second = co_await ends.reader.read(3);
        CHECK(second == " wo");
        CHECK_FALSE(ends.reader.at_eof());
        ends.peer_writer.write("!");
        ends.peer_writer.write_eof();
        const Bytes rest = co_await ends.reader.read(-1);
        CHECK(rest == "rld!");
        CHECK(ends.reader.at_eof());
        const Bytes end = co_await ends.reader.read(10);
        CHECK(end.empty());
        co_await finish(ends);
    });
}

TEST_CASE("readexactly at the end of the stream throws what was there") {
    run_on_each_backend([]() -> Coro<> {
        Ends ends = co_await connect_ends();
        ends.peer_writer.write("abc");
        ends.peer_writer.write_eof();
        std::string partial;
        std::optional<std::size_t> expected;
        try {
            (void)co_await ends.reader.readexactly(5);
        } catch (const IncompleteReadError& error) {
            partial = error.partial().str();
            expected = error.expected();
        }
        CHECK(partial == "abc");
        CHECK(expected == 5);
        CHECK(ends.reader.at_eof());
        const Bytes nothing = co_await ends.reader.readexactly(0);
        CHECK(nothing.empty());
        co_await finish(ends);
    });
}

TEST_CASE("readexactly of a negative number is a ValueError") {
    run_simulated([]() -> Coro<> {
        StreamReader reader(1000);
        const int length = 3;
        CHECK(error_of_call([&] { (void)reader.readexactly(static_cast<std::size_t>(length - 4)); }) ==
              "ValueError: readexactly size can not be less than zero");
        co_return;
    });
}

TEST_CASE("an error that comes behind what a read waits for is the next read's") {
    run_simulated([]() -> Coro<> {
        StreamReader reader(1000);
        Task<Bytes> waiting = create_task(reader.readexactly(4));
        co_await sleep(0s);
        reader.feed_data("data");
        reader.set_exception(ValueError("later"));
        const Bytes data = co_await waiting;
        CHECK(data == "data");
        const std::string next = co_await ending(reader.read(1));
        CHECK(next == "ValueError");
    });
}

TEST_CASE("readuntil: of separators that end together the shortest decides about the limit, in any order") {
    run_simulated([]() -> Coro<> {
        for (int order = 0; order < 2; ++order) {
            StreamReader reader(3);
            reader.feed_data("some dataA");
            Coro<Bytes> reading =
                order == 0 ? reader.readuntil({"ome dataA", "A"}) : reader.readuntil({"A", "ome dataA"});
            const std::string over = co_await ending(std::move(reading));
            CHECK(over == "LimitOverrunError");
        }
    });
}

TEST_CASE("what the application tells a reader is not how its connection ended") {
    run_on_each_backend([]() -> Coro<> {
        Ends ends = co_await connect_ends();
        ends.reader.set_exception(ValueError("mine"));
        const std::string read = co_await ending(ends.reader.read(1));
        CHECK(read == "ValueError");
        ends.writer.close();
        const std::string closed = co_await ending(ends.writer.wait_closed());
        CHECK(closed == "ok");
        co_await finish(ends);
    });
}

TEST_CASE("readexactly is not bounded by the limit") {
    run_on_each_backend([]() -> Coro<> {
        Ends ends = co_await connect_ends(16);
        const std::string text(100'000, 'q');
        ends.peer_writer.write(text);
        const Bytes all = co_await ends.reader.readexactly(text.size());
        CHECK(all.size() == text.size());
        co_await finish(ends);
    });
}

TEST_CASE("readline gives lines, a partial one at the end, and then nothing") {
    run_on_each_backend([]() -> Coro<> {
        Ends ends = co_await connect_ends();
        ends.peer_writer.write("one\ntw");
        const Bytes one = co_await ends.reader.readline();
        CHECK(one == "one\n");
        ends.peer_writer.write("o\n\nlast");
        ends.peer_writer.write_eof();
        const Bytes two = co_await ends.reader.readline();
        const Bytes empty = co_await ends.reader.readline();
        const Bytes last = co_await ends.reader.readline();
        const Bytes end = co_await ends.reader.readline();
        CHECK(two == "two\n");
        CHECK(empty == "\n");
        CHECK(last == "last");
        CHECK(end.empty());
        co_await finish(ends);
    });
}

TEST_CASE("readuntil finds separators across packets; of several the one that ends first") {
    run_on_each_backend([]() -> Coro<> {
        Ends ends = co_await connect_ends();
        ends.peer_writer.write("headers\r");
        co_await turns(100);
        ends.peer_writer.write("\n\r");
        co_await turns(100);
        ends.peer_writer.write("\nbody;x,");
        const Bytes head = co_await ends.reader.readuntil("\r\n\r\n");
        CHECK(head == "headers\r\n\r\n");
        std::vector<std::string> separators{",", ";", "dy;x,"};
        const Bytes part = co_await ends.reader.readuntil(std::move(separators));
        CHECK(part == "body;");
        ends.peer_writer.write_eof();
        const std::exception_ptr error = co_await error_of(ends.reader.readuntil("|"));
        CHECK(error_text(error) == "IncompleteReadError: 2 bytes read on a total of undefined expected bytes");
        const std::string empty = co_await ending(ends.reader.readuntil(""));
        CHECK(empty == "ValueError");
        co_await finish(ends);
    });
}

TEST_CASE("rule 102: readuntil over the limit keeps the data") {
    run_on_each_backend([]() -> Coro<> {
        Ends ends = co_await connect_ends(8);
        ends.peer_writer.write("0123456789;tail;");
        ends.peer_writer.write_eof();
        std::size_t consumed = 0;
        try {
            (void)co_await ends.reader.readuntil(";");
        } catch (const LimitOverrunError& error) {
            consumed = error.consumed();
        }
        CHECK(consumed == 10);
        const Bytes skipped = co_await ends.reader.readexactly(consumed + 1);
        CHECK(skipped == "0123456789;");
        const Bytes tail = co_await ends.reader.readuntil(";");
        CHECK(tail == "tail;");
        co_await finish(ends);
    });
}

TEST_CASE("rule 102: readline over the limit discards the line, or all that is buffered if its end is not there") {
    run_on_each_backend([]() -> Coro<> {
        Ends ends = co_await connect_ends(8);
        ends.peer_writer.write("a line that is long\nnext\n");
        const std::string found = co_await ending(ends.reader.readline());
        CHECK(found == "ValueError");
        const Bytes next = co_await ends.reader.readline();
        CHECK(next == "next\n");
        ends.peer_writer.write("no end in sight so far");
        const std::string missing = co_await ending(ends.reader.readline());
        CHECK(missing == "ValueError");
        ends.peer_writer.write("ok\n");
        ends.peer_writer.write_eof();
        const Bytes rest = co_await ends.reader.readline();
        CHECK(rest == "ok\n");
        co_await finish(ends);
    });
}

TEST_CASE("rule 103: two coroutines cannot read at the same time") {
    run_on_each_backend([]() -> Coro<> {
        Ends ends = co_await connect_ends();
        auto read = [&]() -> Coro<Bytes> { co_return co_await ends.reader.read(10); };
        Task<Bytes> first = create_task(read());
        co_await turns(1);
        const std::exception_ptr second = co_await error_of(ends.reader.readline());
        CHECK(error_type(second) == "RuntimeError");
        CHECK(error_text(second).find("called while another coroutine is already waiting") != std::string::npos);
        ends.peer_writer.write("x");
        const Bytes data = co_await first;
        CHECK(data == "x");
        co_await finish(ends);
    });
}

TEST_CASE("a read that is cancelled loses no byte") {
    run_on_each_backend([]() -> Coro<> {
        Ends ends = co_await connect_ends();
        for (int round = 0; round < 5; ++round) {
            auto read = [&]() -> Coro<Bytes> { co_return co_await ends.reader.readexactly(100); };
            Task<Bytes> task = create_task(read());
            co_await turns(1);
            ends.peer_writer.write("ab");
            if (round % 2) co_await turns(100);
            task.cancel();
            const std::string text = co_await ending(task);
            CHECK(text == "CancelledError");
        }
        const Bytes all = co_await ends.reader.readexactly(10);
        CHECK(all == "ababababab");
        const std::string late = co_await ending(wait_for(ends.reader.read(1), 1ms));
        CHECK(late == "TimeoutError");
        ends.peer_writer.write("z");
        const Bytes z = co_await ends.reader.read(1);
        CHECK(z == "z");
        co_await finish(ends);
    });
}

TEST_CASE("rule 101: drain on a lost connection is ConnectionResetError") {
    run_on_each_backend([]() -> Coro<> {
        Ends ends = co_await connect_ends();
        ends.writer.write("x");
        co_await ends.writer.drain();  // nothing is buffered: at once
        ends.writer.transport().abort();
        co_await ends.writer.wait_closed();
        const std::exception_ptr error = co_await error_of(ends.writer.drain());
        CHECK(error_type(error) == "ConnectionResetError");
        CHECK(error_text(error).find("Connection lost") != std::string::npos);
        co_await finish(ends);
    });
}

TEST_CASE("rule 101: the connection's own error is raised by drain and by reads, before buffered data") {
    run_on_each_backend([]() -> Coro<> {
        Ends ends = co_await connect_ends();
        ends.peer_writer.transport().pause_reading();
        ends.writer.write("unread by the peer");
        ends.peer_writer.write("buffered");
        const Bytes first = co_await ends.reader.readexactly(1);
        CHECK(first == "b");
        ends.writer.write("and more");         // a paused socket may have read once, not twice
        ends.peer_writer.transport().abort();  // with unread bytes: a reset
        const std::string closed = co_await ending(ends.writer.wait_closed());
        const std::string drained = co_await ending(ends.writer.drain());
        const std::string read = co_await ending(ends.reader.read(1));
        CHECK(closed == "ConnectionResetError");
        CHECK(drained == "ConnectionResetError");
        CHECK(read == "ConnectionResetError");
        CHECK(error_type(ends.reader.exception()) == "ConnectionResetError");
        co_await finish(ends);
    });
}

TEST_CASE(
    "rule 101: a drain that meets the end of the connection is ConnectionResetError, a later one the error itself") {
    run_real([]() -> Coro<> {
        Ends ends = co_await connect_ends();
        ends.peer_writer.transport().pause_reading();
        ends.writer.transport().pause_reading();  // it is the write that meets the reset
        ends.writer.write("unread by the peer");
        co_await sleep(5ms);
        ends.writer.write("and more");
        ends.peer_writer.transport().abort();
        co_await sleep(5ms);
        ends.writer.write("x");
        REQUIRE(ends.writer.is_closing());
        const std::exception_ptr met = co_await error_of(ends.writer.drain());
        CHECK(error_text(met).starts_with("ConnectionResetError: Connection lost"));
        const std::exception_ptr later = co_await error_of(ends.writer.drain());
        CHECK(error_text(later).find("Connection lost") == std::string::npos);
        CHECK(error_type(later) != "ok");
        co_await finish(ends);
    });
}

TEST_CASE("rule 101: several coroutines may drain at once") {
    run_on_each_backend([]() -> Coro<> {
        Ends ends = co_await connect_ends();
        const std::string big(20'000'000, 'b');
        ends.writer.write(big);
        CHECK(ends.writer.transport().get_write_buffer_size() > 64 * 1024);
        auto drain = [&]() -> Coro<> { co_await ends.writer.drain(); };
        Task<> one = create_task(drain());
        Task<> two = create_task(drain());
        Task<> gone = create_task(drain());
        co_await turns(1);
        CHECK_FALSE(one.done());
        gone.cancel();
        const std::string text = co_await ending(gone);
        CHECK(text == "CancelledError");
        const Bytes all = co_await ends.peer_reader.readexactly(big.size());
        CHECK(all.size() == big.size());
        co_await gather(one, two);
        co_await finish(ends);
    });
}

TEST_CASE("rule 101: drainers that wait when the connection is aborted are let go, as in asyncio") {
    run_on_each_backend([]() -> Coro<> {
        Ends ends = co_await connect_ends();
        const std::string big(20'000'000, 'b');
        ends.writer.write(big);
        auto drain = [&]() -> Coro<> { co_await ends.writer.drain(); };
        Task<> waiting = create_task(drain());
        co_await turns(1);
        CHECK_FALSE(waiting.done());
        ends.writer.transport().abort();
        const std::string text = co_await ending(waiting);
        CHECK(text == "ok");
        const std::string next = co_await ending(ends.writer.drain());
        CHECK(next == "ConnectionResetError");
        co_await finish(ends);
    });
}

TEST_CASE("closing a writer flushes; wait_closed ends with the connection; is_closing tells") {
    run_on_each_backend([]() -> Coro<> {
        Ends ends = co_await connect_ends();
        const std::string big(1'000'000, 'c');
        ends.writer.write(big);
        CHECK_FALSE(ends.writer.is_closing());
        ends.writer.close();
        CHECK(ends.writer.is_closing());
        const Bytes all = co_await ends.peer_reader.read(-1);
        CHECK(all.size() == big.size());
        co_await ends.writer.wait_closed();
        co_await ends.writer.wait_closed();
        co_await finish(ends);
    });
}

TEST_CASE("a connection whose last writer goes is closed") {
    run_on_each_backend([]() -> Coro<> {
        Ends ends = co_await connect_ends();
        ends.writer.write("bye");
        StreamWriter copy = ends.writer;
        ends.writer = StreamWriter();
        CHECK_FALSE(copy.is_closing());
        copy = StreamWriter();
        const Bytes all = co_await ends.peer_reader.read(-1);
        CHECK(all == "bye");
        ends.peer_writer.close();
        co_await ends.peer_writer.wait_closed();
        ends.server.close();
        co_await ends.server.wait_closed();
    });
}

TEST_CASE("writelines writes all lines") {
    run_on_each_backend([]() -> Coro<> {
        Ends ends = co_await connect_ends();
        const std::vector<std::string> lines{"a\n", "b\n"};
        ends.writer.writelines(lines);
        const Bytes all = co_await ends.peer_reader.readexactly(4);
        CHECK(all == "a\nb\n");
        co_await finish(ends);
    });
}

TEST_CASE("an exception of a connection's coroutine is reported and closes it; a cancelled one closes it silently") {
    run_on_each_backend([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Reports reports(loop);
        bool fail = true;
        auto handler = [&](StreamReader reader, StreamWriter) -> Coro<> {
            (void)co_await reader.readexactly(1);
            if (fail) throw ValueError("handler");
            throw CancelledError();
        };
        Server server = co_await start_server(handler, "127.0.0.1", 0);
        for (int i = 0; i < 2; ++i) {
            auto [reader, writer] = co_await open_connection("127.0.0.1", server.sockets().front().port());
            writer.write("x");
            const Bytes end = co_await reader.read(-1);
            CHECK(end.empty());
            fail = false;
            writer.close();
            co_await writer.wait_closed();
        }
        REQUIRE(reports.size() == 1);
        CHECK(reports[0].message == "Unhandled exception in client_connected_cb");
        CHECK(error_text(reports[0].exception) == "ValueError: handler");
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("a limit of 0 is a ValueError, and the connection made for it is closed") {
    run_simulated([]() -> Coro<> {
        auto drop = [](StreamReader, StreamWriter) {};
        Server server = co_await start_server(drop, "127.0.0.1", 0);
        const std::string text = co_await ending(
            open_connection("127.0.0.1", server.sockets().front().port(), ConnectionOptions().limit(0)));
        CHECK(text == "ValueError");
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("a reader is iterated over line by line until the stream ends") {
    run_on_each_backend([]() -> Coro<> {
        const auto handler = [](StreamReader, StreamWriter writer) -> Coro<> {
            writer.write("one\ntwo\n\nlast");
            co_await writer.drain();
            writer.close();
        };
        Server server = co_await start_server(handler, "127.0.0.1", 0);
        auto [reader, writer] = co_await open_connection("127.0.0.1", server.sockets().front().port());
        std::vector<std::string> lines;
        while (auto line = co_await reader.next())
            lines.push_back(line->str());
        CHECK(lines == std::vector<std::string>{"one\n", "two\n", "\n", "last"});
        writer.close();
        co_await writer.wait_closed();
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("a reader that is fed by hand") {
    run_simulated([]() -> Coro<> {
        StreamReader reader(8);
        auto waiting = create_task(reader.readexactly(6));
        co_await turns(2);
        reader.feed_data("abc");
        co_await turns(2);
        CHECK_FALSE(waiting.done());
        reader.feed_data("defgh");
        const Bytes six = co_await waiting;
        CHECK(six.str() == "abcdef");
        reader.feed_eof();
        CHECK(error_of_call([&] { reader.feed_data("x"); }) == "RuntimeError: feed_data after feed_eof");
        const Bytes rest = co_await reader.read(-1);
        CHECK(rest.str() == "gh");
        CHECK(reader.at_eof());
        reader.set_exception(ValueError("bad"));
        const auto error = co_await error_of(reader.read(1));
        CHECK(error_text(error) == "ValueError: bad");
        CHECK(ending_of_call([] { StreamReader none(std::size_t{0}); }) == "ValueError");
    });
}

TEST_CASE("StreamReaderProtocol puts a reader of one's own on a transport") {
    run_on_each_backend([]() -> Coro<> {
        const auto handler = [](StreamReader reader, StreamWriter writer) -> Coro<> {
            const Bytes line = co_await reader.readline();
            writer.write(line);
            co_await writer.drain();
            writer.close();
        };
        EventLoop& loop = get_running_loop();
        Server server = co_await start_server(handler, "127.0.0.1", 0);
        StreamReader reader(65536);
        bool called = false;
        auto protocol = std::make_shared<StreamReaderProtocol>(
            reader, [&called](StreamReader, StreamWriter writer) { called = writer.transport().is_reading(); });
        auto factory = [protocol] { return protocol; };
        auto connection = co_await loop.create_connection(factory, "127.0.0.1", server.sockets().front().port());
        CHECK(called);
        CHECK(connection.transport->is_closing());  // the callback's writer was the only one
        auto second = std::make_shared<StreamReaderProtocol>(StreamReader(65536));
        auto second_factory = [second] { return second; };
        auto other = co_await loop.create_connection(second_factory, "127.0.0.1", server.sockets().front().port());
        StreamWriter writer(other.transport, second);
        writer.write("hello\n");
        StreamReader answers = second->reader();
        const Bytes answer = co_await answers.readline();
        CHECK(answer.str() == "hello\n");
        writer.close();
        co_await writer.wait_closed();
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("an empty reader or writer throws wherever it is used") {
    StreamReader reader;
    StreamWriter writer;
    const std::string no_reader = "RuntimeError: the StreamReader is empty: it belongs to no connection";
    const std::string no_writer = "RuntimeError: the StreamWriter is empty: it belongs to no connection";
    CHECK(error_of_call([&] { (void)reader.read(1); }) == no_reader);
    CHECK(error_of_call([&] { (void)reader.readexactly(1); }) == no_reader);
    CHECK(error_of_call([&] { (void)reader.readline(); }) == no_reader);
    CHECK(error_of_call([&] { (void)reader.at_eof(); }) == no_reader);
    CHECK(error_of_call([&] { reader.feed_eof(); }) == no_reader);
    CHECK(error_of_call([&] { writer.write("x"); }) == no_writer);
    CHECK(error_of_call([&] { (void)writer.drain(); }) == no_writer);
    CHECK(error_of_call([&] { writer.close(); }) == no_writer);
    CHECK(error_of_call([&] { (void)writer.is_closing(); }) == no_writer);
    CHECK(error_of_call([&] { (void)writer.wait_closed(); }) == no_writer);
    CHECK(error_of_call([&] { StreamReaderProtocol protocol{StreamReader()}; }) == no_reader);
    auto loop = make_simulated_loop();
    CHECK(error_of_call([&] { loop->run_until_complete(writer.start_tls(TlsContext())); }) == no_writer);
    CHECK(reader.repr() == "<StreamReader>");
    CHECK(writer.repr() == "<StreamWriter transport=None>");
}
