// What a read of a Unix socket may meet: descriptors along with the data, ends of all kinds, more than one read holds.
#include "net/support.hpp"

#include <cstring>

using namespace weft;
using namespace weft::testing;

namespace {

/// Sends `text` and a copy of the descriptor `passed`.
void send_with_descriptor(int socket, std::string text, int passed) {
    iovec piece{text.data(), text.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &passed, sizeof passed);
    REQUIRE(::sendmsg(socket, &message, 0) == static_cast<ssize_t>(text.size()));
}

class Listener : public Protocol {
public:
    explicit Listener(Trace& trace) : trace_(trace) {}
    void connection_made(std::shared_ptr<Transport> transport) override { transport->write("never read"); }
    void data_received(std::span<const std::byte> data) override {
        trace_(std::string(reinterpret_cast<const char*>(data.data()), data.size()));
    }
    void connection_lost(std::exception_ptr error) override {
        trace_(error_type(error));
        lost.set_result();
    }
    Future<> lost = get_running_loop().create_future<void>();

private:
    Trace& trace_;
};

}  // namespace

TEST_CASE("descriptors that a peer sends along do not stay in this process, and split no data off") {
    run_real([]() -> Coro<> {
        auto [near, far] = socket_pair();
        auto [reader, writer] = co_await open_unix_connection("", ConnectionOptions().sock(near.take()));
        const Descriptor passed(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        REQUIRE(passed.get() >= 0);
        co_await turns(1);
        const std::size_t before = open_descriptors();
        for (int i = 0; i < 20; ++i) {
            // The kernel ends a read behind each piece that came with descriptors.
            send_with_descriptor(far.get(), "one ", passed.get());
            send_with_descriptor(far.get(), "two ", passed.get());
            REQUIRE(::send(far.get(), "three", 5, 0) == 5);
            const Bytes data = co_await reader.readexactly(13);
            CHECK(data == "one two three");
        }
        CHECK(open_descriptors() == before);
        far.reset();
        const Bytes end = co_await reader.read(-1);
        CHECK(end.empty());
        writer.close();
    });
}

TEST_CASE("a Unix peer that closes without reading: its last words, then ConnectionResetError") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Trace trace;
        auto [near, far] = socket_pair();
        auto factory = [&trace] { return std::make_shared<Listener>(trace); };
        auto connection = co_await loop.create_unix_connection(factory, "", ConnectionOptions().sock(near.take()));
        REQUIRE(::send(far.get(), "last words", 10, 0) == 10);
        far.reset();
        co_await connection.protocol->lost;
        CHECK(trace.text() == "last words ConnectionResetError");
    });
}

TEST_CASE("a Unix peer that ends its direction together with its words, at once or later: both are told") {
    run_real([]() -> Coro<> {
        for (const int earlier : {0, 1, 5}) {
            auto [near, far] = socket_pair();
            auto [reader, writer] = co_await open_unix_connection("", ConnectionOptions().sock(near.take()));
            for (int i = 0; i < earlier; ++i) {
                REQUIRE(::send(far.get(), "before", 6, 0) == 6);
                const Bytes word = co_await reader.readexactly(6);
                CHECK(word == "before");
                writer.write("answer");  // the other direction goes on
                co_await writer.drain();
            }
            REQUIRE(::send(far.get(), "last", 4, 0) == 4);
            REQUIRE(::shutdown(far.get(), SHUT_WR) == 0);
            const Bytes last = co_await reader.read(-1);
            CHECK(last == "last");
            writer.write("still");
            std::array<char, 100> room{};
            const ssize_t count = ::recv(far.get(), room.data(), room.size(), 0);
            CHECK(std::string_view(room.data(), static_cast<std::size_t>(count)).ends_with("still"));
            writer.close();
            co_await writer.wait_closed();
        }
    });
}

TEST_CASE("a Unix peer that ends its direction in pieces, while much is on its way both ways, loses nothing") {
    run_real([]() -> Coro<> {
        auto [near, far] = socket_pair();
        auto [reader, writer] = co_await open_unix_connection("", ConnectionOptions().sock(near.take()));
        auto [far_reader, far_writer] = co_await open_unix_connection("", ConnectionOptions().sock(far.take()));
        const std::string much(2'000'000, 'x');
        writer.write(much);  // so that there is a wait for room, too
        for (int i = 0; i < 200; ++i) {
            far_writer.write("0123456789");
            if (i % 7 == 0) co_await sleep(0s);
        }
        far_writer.write_eof();
        const Bytes received = co_await reader.read(-1);
        CHECK(received.size() == 2000);
        writer.write_eof();
        const Bytes other = co_await far_reader.read(-1);
        CHECK(other.size() == much.size());
        writer.close();
        far_writer.close();
    });
}

TEST_CASE("a Unix stream that is fed more than one read holds, and in the midst of its end, loses nothing") {
    run_real([]() -> Coro<> {
        constexpr std::size_t total = 3 * 1024 * 1024 + 17;
        auto [near, far] = socket_pair();
        auto [reader, writer] = co_await open_unix_connection("", ConnectionOptions().sock(near.take()));
        auto [far_reader, far_writer] = co_await open_unix_connection("", ConnectionOptions().sock(far.take()));
        Bytes sent;
        sent.resize(total);
        for (std::size_t i = 0; i < total; ++i)
            sent[i] = static_cast<std::byte>(i * 7 + i / 251);
        far_writer.write(sent.span());
        far_writer.close();  // flushes
        const Bytes received = co_await reader.read(-1);
        CHECK(received.size() == total);
        CHECK(received == sent);
        writer.close();
    });
}
