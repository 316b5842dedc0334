#include "support/harness.hpp"
#include "support/temporary_directory.hpp"

#include <filesystem>
#include <fstream>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace weft;
using namespace weft::testing;

namespace {

Coro<> echo(StreamReader reader, StreamWriter writer) {
    while (true) {
        const Bytes data = co_await reader.read(65536);
        if (data.empty()) break;
        writer.write(data);
        co_await writer.drain();
    }
    writer.close();
}

Coro<std::string> ask(std::string path, std::string question) {
    auto [reader, writer] = co_await open_unix_connection(path);
    writer.write(question);
    writer.write_eof();
    const Bytes answer = co_await reader.read(-1);
    writer.close();
    co_await writer.wait_closed();
    co_return answer.str();
}

Coro<> close_server(Server server) {
    server.close();
    co_await server.wait_closed();
}

}  // namespace

TEST_CASE("streams over a Unix socket, with a path as the address") {
    const TemporaryDirectory directory;
    const std::string path = directory / "echo.sock";
    run_on_each_backend([&]() -> Coro<> {
        Server server = co_await start_unix_server(echo, path);
        CHECK(server.sockets().front() == Address::local(path));
        CHECK(server.repr() == "<Server sockets=[" + path + "]>");
        const std::string answer = co_await ask(path, "hello");
        CHECK(answer == "hello");
        auto [reader, writer] = co_await open_unix_connection(path);
        CHECK(writer.peername() == Address::local(path));
        CHECK(writer.get_extra_info("peername") == path);
        CHECK(writer.sockname() == Address::local(""));
        writer.close();
        co_await writer.wait_closed();
        co_await close_server(server);
        const std::string gone = co_await ending(ask(path, "?"));
        CHECK(gone == "FileNotFoundError");
    });
}

TEST_CASE("a megabyte each way over a Unix socket, with the end of the stream right behind it") {
    const TemporaryDirectory directory;
    run_on_each_backend([&]() -> Coro<> {
        const std::string path = directory / "big.sock";
        Server server = co_await start_unix_server(echo, path);
        const std::string much(1 << 20, 'x');
        const std::string answer = co_await ask(path, much);
        CHECK((answer == much));
        co_await close_server(server);
    });
}

TEST_CASE("protocols over a Unix socket, on both ends") {
    class Recorder : public Protocol {
    public:
        void connection_made(std::shared_ptr<Transport> transport) override { transport_ = transport; }
        void data_received(std::span<const std::byte> data) override {
            received += std::string(reinterpret_cast<const char*>(data.data()), data.size());
            if (received == "ping") transport_->write("pong");
            if (received == "pong") transport_->close();
        }
        void connection_lost(std::exception_ptr) override { lost = true; }
        std::string received;
        bool lost = false;

    private:
        std::shared_ptr<Transport> transport_;
    };
    const TemporaryDirectory directory;
    run_on_each_backend([&]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const std::string path = directory / "protocol.sock";
        const auto factory = [] { return std::make_shared<Recorder>(); };
        Server server = co_await loop.create_unix_server(factory, path);
        auto [transport, protocol] = co_await loop.create_unix_connection(factory, path);
        transport->write("ping");
        while (!protocol->lost)
            co_await sleep(1ms);
        CHECK(protocol->received == "pong");
        co_await close_server(server);
    });
}

TEST_CASE("a stale socket is replaced, another file is not, and both errors name the path") {
    const TemporaryDirectory directory;
    run_real([&]() -> Coro<> {
        const std::string path = directory / "stale.sock";
        Server first = co_await start_unix_server(echo, path, ServerOptions().cleanup_socket(false));
        co_await close_server(first);
        CHECK(std::filesystem::is_socket(path));
        Server second = co_await start_unix_server(echo, path);
        const std::string answer = co_await ask(path, "again");
        CHECK(answer == "again");
        co_await close_server(second);
        CHECK_FALSE(std::filesystem::exists(path));

        const std::string file = directory / "file";
        std::ofstream(file) << "precious";
        const auto error = co_await error_of(start_unix_server(echo, file));
        CHECK(error_text(error).find(file) != std::string::npos);
        CHECK(std::filesystem::file_size(file) == 8);
        const std::string nowhere = co_await ending(start_unix_server(echo, directory / "no/such.sock"));
        CHECK(nowhere == "FileNotFoundError");
    });
}

TEST_CASE("on close the file goes only if it is still the server's own") {
    const TemporaryDirectory directory;
    run_real([&]() -> Coro<> {
        const std::string path = directory / "owned.sock";
        Server first = co_await start_unix_server(echo, path);
        Server second = co_await start_unix_server(echo, path);  // replaces the first one's file
        co_await close_server(first);
        CHECK(std::filesystem::is_socket(path));
        const std::string answer = co_await ask(path, "second");
        CHECK(answer == "second");
        co_await close_server(second);
        CHECK_FALSE(std::filesystem::exists(path));
    });
}

TEST_CASE("a name in the abstract namespace is no file") {
    run_on_each_backend([]() -> Coro<> {
        const std::string name = std::string(1, '\0') + "weft-test-" + std::to_string(::getpid());
        Server server = co_await start_unix_server(echo, name);
        CHECK(server.sockets().front().path() == name);
        CHECK(server.sockets().front().to_string() == "@" + name.substr(1));
        const std::string answer = co_await ask(name, "abstract");
        CHECK(answer == "abstract");
        co_await close_server(server);
    });
}

TEST_CASE("paths that cannot be are a ValueError") {
    run_on_each_backend([]() -> Coro<> {
        const std::string too_long = co_await ending(open_unix_connection(std::string(200, 'x')));
        CHECK(too_long == "ValueError");
        const std::string none = co_await ending(open_unix_connection(""));
        CHECK(none == "ValueError");
        const std::string both = co_await ending(open_unix_connection("/x", ConnectionOptions().sock(3)));
        CHECK(both == "ValueError");
        const std::string server = co_await ending(start_unix_server(echo, ""));
        CHECK(server == "ValueError");
    });
}

TEST_CASE("a Unix server that is slow to accept: connecting waits for room and can be cancelled") {
    const TemporaryDirectory directory;
    run_real([&]() -> Coro<> {
        const std::string path = directory / "crowded.sock";
        Server server = co_await start_unix_server(echo, path, ServerOptions().backlog(1).start_serving(false));
        std::vector<Task<std::string>> tasks;
        for (int i = 0; i < 8; ++i)
            tasks.push_back(create_task(ask(path, std::to_string(i))));
        co_await sleep(5ms);
        tasks.back().cancel();
        co_await server.start_serving();
        for (int i = 0; i < 7; ++i) {
            const std::string answer = co_await tasks[static_cast<std::size_t>(i)];
            CHECK(answer == std::to_string(i));
        }
        const std::string end = co_await ending(tasks.back());
        CHECK(end == "CancelledError");
        co_await close_server(server);
    });
}

TEST_CASE("a socket of one's own in place of an address: connected, listening and accepted ones") {
    run_real([]() -> Coro<> {
        int pair[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
        EventLoop& loop = get_running_loop();
        auto accepted_factory = [] { return std::make_shared<StreamReaderProtocol>(StreamReader(65536)); };
        auto accepted = co_await loop.connect_accepted_socket(accepted_factory, pair[0]);
        auto [reader, writer] = co_await open_connection("", 0, ConnectionOptions().sock(pair[1]));
        writer.write("line\n");
        StreamReader far = accepted.protocol->reader();
        const Bytes line = co_await far.readline();
        CHECK(line.str() == "line\n");
        accepted.transport->close();
        const Bytes end = co_await reader.read(-1);
        CHECK(end.empty());
        writer.close();
        co_await writer.wait_closed();

        const int listening = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in any{};
        any.sin_family = AF_INET;
        any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        REQUIRE(::bind(listening, reinterpret_cast<const sockaddr*>(&any), sizeof any) == 0);
        Server server = co_await start_server(echo, "", 0, ServerOptions().sock(listening));
        auto [reader2, writer2] = co_await open_connection("127.0.0.1", server.sockets().front().port());
        writer2.write("x");
        const Bytes x = co_await reader2.readexactly(1);
        CHECK(x.str() == "x");
        writer2.close();
        co_await close_server(server);

        const std::string both = co_await ending(open_connection("127.0.0.1", 1, ConnectionOptions().sock(0)));
        CHECK(both == "ValueError");
        const int datagram = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        const std::string kind = co_await ending(open_connection("", 0, ConnectionOptions().sock(datagram)));
        CHECK(kind == "ValueError");
    });
}
