// How what a peer sends comes into a StreamReader: small pieces are copied, large ones are read where they stay.
#include "net/support.hpp"

#include <numeric>

using namespace weft;
using namespace weft::testing;

namespace {

/// Bytes that tell where they are in the stream.
std::string pattern(std::size_t begin, std::size_t size) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i)
        text[i] = static_cast<char>((begin + i) * 2654435761U >> 13);
    return text;
}

class Ends {
public:
    StreamReader reader;
    StreamWriter writer;
    StreamReader far_reader;
    StreamWriter far_writer;
};

Coro<Ends> connect_ends() {
    auto [near, far] = socket_pair();
    auto [reader, writer] = co_await open_unix_connection("", ConnectionOptions().sock(near.take()));
    auto [far_reader, far_writer] = co_await open_unix_connection("", ConnectionOptions().sock(far.take()));
    Ends ends;
    ends.reader = reader;
    ends.writer = writer;
    ends.far_reader = far_reader;
    ends.far_writer = far_writer;
    co_return std::move(ends);
}

/// What one read gives of a message of this size, which has been sent whole.
Coro<Bytes> read_message(Ends& ends, std::size_t begin, std::size_t size) {
    ends.far_writer.write(pattern(begin, size));
    Bytes data = co_await ends.reader.read(1 << 20);
    const bool right = data.text() == pattern(begin, size);
    CHECK(right);
    co_return std::move(data);
}

}  // namespace

TEST_CASE("messages of one size are read where they stay, from the second on") {
    run_real([]() -> Coro<> {
        for (const std::size_t size : {std::size_t{512}, std::size_t{4096}, std::size_t{16384}, std::size_t{50000}}) {
            Ends ends = co_await connect_ends();
            // Of the first the size is learnt; it is copied, into no more than it needs.
            const Bytes first = co_await read_message(ends, 0, size);
            CHECK(first.capacity() == size);
            for (std::size_t i = 1; i < 5; ++i) {
                const Bytes next = co_await read_message(ends, i, size);
                CHECK(next.capacity() > size);
                CHECK(next.capacity() <= 2 * size);
            }
            ends.writer.close();
            ends.far_writer.close();
        }
    });
}

TEST_CASE("what is given to the application keeps no more than twice its size, whatever came before") {
    run_real([]() -> Coro<> {
        Ends ends = co_await connect_ends();
        std::size_t begin = 0;
        for (const std::size_t size :
             {1U, 40000U, 40000U, 1U, 100U, 40000U, 15000U, 15000U, 6000U, 3000U, 40000U, 600U, 100000U, 7U}) {
            const Bytes data = co_await read_message(ends, begin, size);
            CHECK(data.capacity() <= 2 * size + 64);
            begin += size;
        }
        ends.writer.close();
        ends.far_writer.close();
    });
}

TEST_CASE("a message that is larger than those before comes whole") {
    run_real([]() -> Coro<> {
        Ends ends = co_await connect_ends();
        std::size_t begin = 0;
        for (const std::size_t size : {600U, 600U, 5000U, 600U, 600U, 200000U, 750U, 1500U, 3000U, 6000U}) {
            const Bytes data = co_await read_message(ends, begin, size);
            CHECK(data.size() == size);
            begin += size;
        }
        // Also if it fills the room exactly; then nothing but the end follows.
        std::size_t room = 0;
        for (int i = 0; i < 3; ++i)
            room = (co_await read_message(ends, begin, 1000)).capacity();
        CHECK(room > 1000);
        CHECK((co_await read_message(ends, begin, room)).size() == room);
        ends.far_writer.close();
        CHECK((co_await ends.reader.read()).empty());
        ends.writer.close();
    });
}

TEST_CASE("an error behind data that fills the room exactly is the connection's error") {
    run_real([]() -> Coro<> {
        Ends ends = co_await connect_ends();
        std::size_t room = 0;
        for (int i = 0; i < 3; ++i)
            room = (co_await read_message(ends, 0, 1000)).capacity();
        CHECK(room > 1000);
        // A Unix socket that is closed with something unread resets its peer.
        ends.writer.write("never read");
        ends.far_writer.write(pattern(0, room));
        ends.far_writer.transport().abort();
        co_await turns(2);
        const Bytes data = co_await ends.reader.readexactly(room);
        CHECK(data.size() == room);
        const std::string ended = co_await ending(ends.reader.read());
        CHECK(ended == "ConnectionResetError");
        const std::string closed = co_await ending(ends.writer.wait_closed());
        CHECK(closed == "ConnectionResetError");
    });
}

TEST_CASE("wait_closed of a writer may be awaited when the writer has gone") {
    run_real([]() -> Coro<> {
        Ends ends = co_await connect_ends();
        Coro<> closed = ends.writer.wait_closed();
        Task<> waiting = create_task(ends.far_writer.wait_closed());
        ends = Ends();
        co_await turns(5);
        co_await std::move(closed);
        co_await waiting;
    });
}

TEST_CASE("a stream that is read in all sizes, faster and slower than it is written, loses and doubles nothing") {
    run_real([]() -> Coro<> {
        Ends ends = co_await connect_ends();
        constexpr std::size_t total = 3'000'000;
        const auto write_all = [&]() -> Coro<> {
            std::size_t at = 0;
            for (std::size_t step = 1; at < total; step = step * 7 % 99'991) {
                const std::size_t size = std::min(step, total - at);
                ends.far_writer.write(pattern(at, size));
                at += size;
                if (step % 3 == 0) co_await sleep(0s);
                co_await ends.far_writer.drain();
            }
            ends.far_writer.write_eof();
        };
        Task<> writing = create_task(write_all());
        std::size_t at = 0;
        bool right = true;
        for (std::ptrdiff_t step = 1;; step = step * 5 % 70'001) {
            const Bytes data = co_await ends.reader.read(step);
            if (data.empty()) break;
            right = right && data.text() == pattern(at, data.size());
            at += data.size();
            if (step % 4 == 0) co_await sleep(0s);
        }
        CHECK(right);
        CHECK(at == total);
        co_await writing;
        ends.writer.close();
        ends.far_writer.close();
    });
}

TEST_CASE("lines and exact counts are found across what was copied and what was read in place") {
    run_real([]() -> Coro<> {
        Ends ends = co_await connect_ends();
        for (int round = 0; round < 20; ++round) {
            const std::string body = pattern(static_cast<std::size_t>(round), 20'000);
            ends.far_writer.write("length 20000\n");
            if (round % 2 == 0) co_await sleep(1ms);
            ends.far_writer.write(body);
            const Bytes head = co_await ends.reader.readline();
            CHECK(head == "length 20000\n");
            const Bytes data = co_await ends.reader.readexactly(20'000);
            const bool right = data == std::string_view(body);
            CHECK(right);
        }
        ends.far_writer.write_eof();
        const Bytes rest = co_await ends.reader.read();
        CHECK(rest.empty());
        CHECK(ends.reader.at_eof());
        ends.writer.close();
        ends.far_writer.close();
    });
}
