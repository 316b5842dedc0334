#include "net/support.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

void write_file(const std::string& path, const std::string& text) {
    std::ofstream(path) << text;
}
bool is_socket(const std::string& path) {
    struct stat status{};
    return ::lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode);
}
bool exists(const std::string& path) {
    return std::filesystem::exists(std::filesystem::symlink_status(path));
}

class Recorder : public Protocol {
public:
    explicit Recorder(Trace& trace, bool echoes = true) : trace_(trace), echoes_(echoes) {}
    void connection_made(std::shared_ptr<Transport> transport) override {
        transport_ = std::move(transport);
        trace_("made");
    }
    void data_received(std::span<const std::byte> data) override {
        trace_(std::string(reinterpret_cast<const char*>(data.data()), data.size()));
        if (echoes_) transport_->write(data);
    }
    void connection_lost(std::exception_ptr error) override {
        trace_("lost:" + error_type(error));
        transport_ = nullptr;
        lost.set_result();
    }

    Future<> lost = get_running_loop().create_future<void>();

private:
    Trace& trace_;
    const bool echoes_;
    std::shared_ptr<Transport> transport_;
};

}  // namespace

TEST_CASE("an echo server at a path") {
    const TemporaryDirectory directory;
    const std::string path = directory / "echo";
    run_on_each_backend([path]() -> Coro<> {
        Server server = co_await start_unix_server(echo_stream, path);
        REQUIRE(server.sockets().size() == 1);
        CHECK(server.sockets().front() == Address::local(path));
        CHECK(server.repr() == "<Server sockets=[" + path + "]>");
        auto client = [path](std::string text) -> Coro<std::string> {
            auto [reader, writer] = co_await open_unix_connection(path);
            const std::string back = co_await ask_for_echo(reader, writer, std::move(text));
            writer.close();
            co_await writer.wait_closed();
            co_return back;
        };
        std::vector<Coro<std::string>> clients;
        for (int i = 0; i < 20; ++i)
            clients.push_back(client("message " + std::to_string(i)));
        const std::vector<std::string> answers = co_await gather(std::move(clients));
        for (int i = 0; i < 20; ++i)
            CHECK(answers[static_cast<std::size_t>(i)] == "message " + std::to_string(i));
        server.close();
        co_await server.wait_closed();
        const std::string gone = co_await ending(open_unix_connection(path));
        CHECK(gone == "FileNotFoundError");
    });
    CHECK_FALSE(exists(path));
}

TEST_CASE("a Unix stream's names: the server's path, and no name for a client that has none") {
    const TemporaryDirectory directory;
    const std::string path = directory / "names";
    run_on_each_backend([path]() -> Coro<> {
        std::string seen;
        auto handler = [&seen](StreamReader, StreamWriter writer) {
            seen = writer.get_extra_info("sockname").value_or("none") + " <- " +
                   writer.get_extra_info("peername").value_or("none") + ".";
            writer.write("x");
        };
        Server server = co_await start_unix_server(handler, path);
        auto [reader, writer] = co_await open_unix_connection(path);
        const Bytes data = co_await reader.read(10);
        CHECK(data == "x");
        CHECK(seen == path + " <- .");
        CHECK(writer.peername() == Address::local(path));
        CHECK(writer.sockname() == Address::local({}));
        writer.close();
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("a client whose name fills all the room there is for one is served, too") {
    const TemporaryDirectory directory;
    const std::string path = directory / "long";
    run_real([path]() -> Coro<> {
        Server server = co_await start_unix_server(echo_stream, path);
        Descriptor client(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        sockaddr_un name{};
        name.sun_family = AF_UNIX;
        std::fill(std::begin(name.sun_path) + 1, std::end(name.sun_path), 'n');  // abstract
        REQUIRE(::bind(client.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0);
        co_await get_running_loop().sock_connect(client.get(), Address::local(path));
        auto [reader, writer] = co_await open_unix_connection("", ConnectionOptions().sock(client.take()));
        const std::string back = co_await ask_for_echo(reader, writer, "in");
        CHECK(back == "in");
        writer.close();
        co_await writer.wait_closed();
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("a client's own path is seen by the server") {
    const TemporaryDirectory directory;
    const std::string path = directory / "server";
    const std::string own = directory / "client";
    run_on_each_backend([path, own]() -> Coro<> {
        std::optional<Address> seen;
        Server server = co_await start_unix_server(
            [&seen](StreamReader, StreamWriter writer) {
                seen = writer.peername();
                writer.write("x");
            },
            path);
        auto [reader, writer] =
            co_await open_unix_connection(path, ConnectionOptions().local_addr(Address::local(own)));
        co_await reader.read(1);
        CHECK(seen == Address::local(own));
        const std::string wrong = co_await ending(
            open_unix_connection(path, ConnectionOptions().local_addr(*Address::parse("127.0.0.1", 0))));
        CHECK(wrong == "ValueError");
        writer.close();
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("the protocol form, half-close and connection_lost") {
    const TemporaryDirectory directory;
    const std::string path = directory / "protocol";
    run_on_each_backend([path]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Trace served;
        Server server = co_await loop.create_unix_server([&] { return std::make_shared<Recorder>(served); }, path);
        Trace trace;
        auto [transport, protocol] =
            co_await loop.create_unix_connection([&] { return std::make_shared<Recorder>(trace, false); }, path);
        CHECK(trace.text() == "made");
        CHECK(transport->can_write_eof());
        transport->write("ping");
        transport->write_eof();
        co_await protocol->lost;
        CHECK(served.text() == "made ping lost:ok");
        CHECK(trace.text() == "made ping lost:ok");
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("megabytes through a Unix socket, against back-pressure") {
    const TemporaryDirectory directory;
    const std::string path = directory / "bulk";
    run_on_each_backend([path]() -> Coro<> {
        Server server = co_await start_unix_server(echo_stream, path);
        auto [reader, writer] = co_await open_unix_connection(path);
        std::string sent(3 << 20, '\0');
        for (std::size_t i = 0; i < sent.size(); ++i)
            sent[i] = static_cast<char>(i * 31 + i / 251);
        auto send = [&sent](StreamWriter to) -> Coro<> {
            for (std::size_t at = 0; at < sent.size(); at += 100'000) {
                to.write(std::string_view(sent).substr(at, 100'000));
                co_await to.drain();
            }
            to.write_eof();
        };
        Task<> sending = create_task(send(writer));
        const Bytes received = co_await reader.read(-1);
        co_await sending;
        CHECK((received == std::string_view(sent)));
        writer.close();
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("the data and the end of the stream that are there before the first read are both seen") {
    run_real([]() -> Coro<> {
        for (const bool half : {false, true}) {
            auto [near, far] = socket_pair();
            REQUIRE(::send(far.get(), "all of it", 9, 0) == 9);
            if (half)
                ::shutdown(far.get(), SHUT_WR);
            else
                far.reset();
            auto [reader, writer] = co_await open_unix_connection("", ConnectionOptions().sock(near.take()));
            const Bytes data = co_await reader.read(-1);
            CHECK(data == "all of it");
            writer.close();
        }
    });
}

TEST_CASE("a stale socket is replaced, another kind of file is not") {
    const TemporaryDirectory directory;
    const std::string path = directory / "stale";
    {
        const Descriptor old(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un name{};
        name.sun_family = AF_UNIX;
        path.copy(name.sun_path, sizeof name.sun_path - 1);
        REQUIRE(::bind(old.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) == 0);
    }
    REQUIRE(is_socket(path));
    run_real([path, &directory]() -> Coro<> {
        const std::string refused = co_await ending(open_unix_connection(path));
        CHECK(refused == "ConnectionRefusedError");
        Server server = co_await start_unix_server(echo_stream, path);
        auto [reader, writer] = co_await open_unix_connection(path);
        const std::string back = co_await ask_for_echo(reader, writer, "works");
        CHECK(back == "works");
        writer.close();
        server.close();
        co_await server.wait_closed();
        CHECK_FALSE(exists(path));

        const std::string file = directory / "precious";
        write_file(file, "data");
        const std::string in_use = co_await ending(start_unix_server(echo_stream, file));
        CHECK(in_use == "OSError");
        CHECK(std::filesystem::file_size(file) == 4);
        const std::string no_socket = co_await ending(open_unix_connection(file));
        CHECK(no_socket == "ConnectionRefusedError");
    });
}

TEST_CASE("close leaves a socket that has become another server's, and one that it was told to keep") {
    const TemporaryDirectory directory;
    const std::string path = directory / "shared";
    run_real([path]() -> Coro<> {
        Server first = co_await start_unix_server(echo_stream, path);
        Server second = co_await start_unix_server(echo_stream, path);
        first.close();
        co_await first.wait_closed();
        REQUIRE(is_socket(path));
        auto [reader, writer] = co_await open_unix_connection(path);
        const std::string back = co_await ask_for_echo(reader, writer, "second");
        CHECK(back == "second");
        writer.close();
        second.close();
        co_await second.wait_closed();
        CHECK_FALSE(exists(path));

        Server kept = co_await start_unix_server(echo_stream, path, ServerOptions().cleanup_socket(false));
        kept.close();
        co_await kept.wait_closed();
        CHECK(is_socket(path));
        // Somebody has put a file of his own there.
        Server gone = co_await start_unix_server(echo_stream, path);
        std::filesystem::remove(path);
        write_file(path, "mine");
        gone.close();
        co_await gone.wait_closed();
        CHECK(std::filesystem::file_size(path) == 4);
    });
}

TEST_CASE("a server that its loop closes removes its socket too") {
    const TemporaryDirectory directory;
    const std::string path = directory / "dropped";
    run_real([path]() -> Coro<> {
        (void)co_await start_unix_server(echo_stream, path);
        CHECK(is_socket(path));
    });
    CHECK_FALSE(exists(path));
}

TEST_CASE("abstract names leave no file and are free again once the server is gone") {
    const std::string name = std::string("\0weft-test-", 11) + std::to_string(::getpid());
    run_on_each_backend([name]() -> Coro<> {
        for (int i = 0; i < 2; ++i) {
            Server server = co_await start_unix_server(echo_stream, name);
            CHECK(server.sockets().front().to_string() == "@" + name.substr(1));
            const std::string twice = co_await ending(start_unix_server(echo_stream, name));
            CHECK(twice == "OSError");
            auto [reader, writer] = co_await open_unix_connection(name);
            CHECK(writer.peername()->path() == name);
            const std::string back = co_await ask_for_echo(reader, writer, "abstract");
            CHECK(back == "abstract");
            writer.close();
            server.close();
            co_await server.wait_closed();
        }
        const std::string refused = co_await ending(open_unix_connection(name));
        CHECK(refused == "ConnectionRefusedError");
    });
}

TEST_CASE("paths that cannot be are refused by name") {
    run_on_each_backend([]() -> Coro<> {
        const std::exception_ptr empty = co_await error_of(open_unix_connection(""));
        CHECK(error_text(empty) == "ValueError: no path and sock were specified");
        const std::exception_ptr server = co_await error_of(start_unix_server(echo_stream, ""));
        CHECK(error_text(server) == "ValueError: no path and sock were specified");
        const std::exception_ptr both = co_await error_of(open_unix_connection("/x", ConnectionOptions().sock(0)));
        CHECK(error_text(both) == "ValueError: path and sock can not be specified at the same time");
        const std::exception_ptr longer = co_await error_of(open_unix_connection(std::string(200, 'x')));
        CHECK(error_text(longer) == "ValueError: AF_UNIX path too long: 200 bytes, at most 107");
    });
}

TEST_CASE("options that mean nothing for a Unix socket are refused by name") {
    const TemporaryDirectory directory;
    const std::string path = directory / "options";
    run_on_each_backend([path]() -> Coro<> {
        const auto refused = [](auto coro) -> Coro<std::string> {
            try {
                (void)co_await std::move(coro);
            } catch (const ValueError& error) {
                co_return error.what();
            }
            co_return "taken";
        };
        const auto connecting = [&](ConnectionOptions options) { return refused(open_unix_connection(path, options)); };
        const auto serving = [&](ServerOptions options) {
            return refused(start_unix_server(echo_stream, path, options));
        };
        std::vector<Coro<std::string>> wrong;
        wrong.push_back(connecting(ConnectionOptions().family(Family::ipv4)));
        wrong.push_back(connecting(ConnectionOptions().happy_eyeballs_delay(250ms)));
        wrong.push_back(connecting(ConnectionOptions().interleave(1)));
        wrong.push_back(connecting(ConnectionOptions().all_errors(true)));
        wrong.push_back(serving(ServerOptions().family(Family::ipv6)));
        wrong.push_back(serving(ServerOptions().reuse_port(true)));
        wrong.push_back(serving(ServerOptions().keep_alive(true)));
        const std::vector<std::string> errors = co_await gather(std::move(wrong));
        const std::vector<std::string> expected{"family", "happy_eyeballs_delay", "interleave", "all_errors",
                                                "family", "reuse_port",           "keep_alive"};
        for (std::size_t i = 0; i < expected.size(); ++i)
            CHECK(errors[i] == expected[i] + " means nothing for a Unix socket");
        CHECK_FALSE(exists(path));
    });
}

TEST_CASE("sockets of another kind are refused, by Unix functions and by TCP's") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const auto socket_of = [](int family, int type) { return ::socket(family, type | SOCK_CLOEXEC, 0); };
        const auto factory = [] { return std::make_shared<Protocol>(); };
        const Descriptor inet(socket_of(AF_INET, SOCK_STREAM));
        const std::string client = co_await ending(open_unix_connection("", ConnectionOptions().sock(inet.get())));
        CHECK(client == "ValueError");
        const std::string server =
            co_await ending(start_unix_server(echo_stream, "", ServerOptions().sock(inet.get())));
        CHECK(server == "ValueError");
        CHECK(::fcntl(inet.get(), F_GETFD) >= 0);  // it stays the caller's
        const std::string udp =
            co_await ending(loop.create_server(factory, ServerOptions().sock(socket_of(AF_INET, SOCK_DGRAM))));
        CHECK(udp == "ValueError");
        const std::string datagrams =
            co_await ending(start_unix_server(echo_stream, "", ServerOptions().sock(socket_of(AF_UNIX, SOCK_DGRAM))));
        CHECK(datagrams == "ValueError");
    });
}

TEST_CASE("a directory that may not be written: PermissionError") {
    if (::geteuid() == 0) {
        // Nothing is forbidden to root: a directory that is none gives the same kind of error.
        run_real([]() -> Coro<> {
            const std::string nowhere = co_await ending(start_unix_server(echo_stream, "/dev/null/socket"));
            CHECK(nowhere == "OSError");
            const std::string missing = co_await ending(start_unix_server(echo_stream, "/nonexistent/socket"));
            CHECK(missing == "FileNotFoundError");
        });
        return;
    }
    run_real([]() -> Coro<> {
        const std::string denied = co_await ending(start_unix_server(echo_stream, "/proc/1/socket"));
        CHECK((denied == "PermissionError" || denied == "FileNotFoundError"));
    });
}

TEST_CASE("connecting waits while the listener's queue is full, and can be cancelled meanwhile") {
    const TemporaryDirectory directory;
    const std::string path = directory / "full";
    run_real([path]() -> Coro<> {
        Descriptor listener = full_listener(path);
        const std::size_t before = open_descriptors();
        std::vector<Task<std::pair<StreamReader, StreamWriter>>> clients;
        for (int i = 0; i < 6; ++i)
            clients.push_back(create_task(open_unix_connection(path)));
        co_await turns(20);
        CHECK_FALSE(clients.back().done());
        clients.back().cancel();
        const std::string cancelled = co_await ending(clients.back());
        CHECK(cancelled == "CancelledError");
        clients.pop_back();
        Server server = co_await start_unix_server(echo_stream, "", ServerOptions().sock(listener.take()));
        for (auto& client : clients) {
            auto [reader, writer] = co_await client;
            const std::string back = co_await ask_for_echo(reader, writer, "in");
            CHECK(back == "in");
            writer.close();
            co_await writer.wait_closed();
        }
        clients.clear();
        server.close();
        co_await server.wait_closed();
        CHECK(open_descriptors() <= before);  // less the listener; a reactor may have come
    });
}

TEST_CASE("sockets of the application: connected, listening, accepted") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto [near, far] = socket_pair();
        Trace trace;
        const int number = near.get();
        auto [transport, protocol] =
            co_await loop.connect_accepted_socket([&] { return std::make_shared<Recorder>(trace); }, near.take());
        CHECK(transport->fileno() == number);
        auto [reader, writer] = co_await open_connection("", 0, ConnectionOptions().sock(far.take()));
        const std::string back = co_await ask_for_echo(reader, writer, "pair");
        CHECK(back == "pair");
        writer.close();
        co_await writer.wait_closed();
        co_await protocol->lost;
        CHECK(trace.text() == "made pair lost:ok");

        // A listening socket of another owner: of TCP, and of Unix with a path.
        Descriptor listening(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in name{};
        name.sin_family = AF_INET;
        name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        REQUIRE(::bind(listening.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) == 0);
        Server server = co_await start_server(echo_stream, "", 0, ServerOptions().sock(listening.take()));
        auto [tcp_reader, tcp_writer] = co_await open_connection("127.0.0.1", server.sockets().front().port());
        const std::string tcp = co_await ask_for_echo(tcp_reader, tcp_writer, "tcp");
        CHECK(tcp == "tcp");
        tcp_writer.close();
        server.close();
        co_await server.wait_closed();

        const std::exception_ptr both =
            co_await error_of(open_connection("127.0.0.1", 80, ConnectionOptions().sock(0)));
        CHECK(error_text(both) == "ValueError: host/port and sock can not be specified at the same time");
        const std::exception_ptr server_both =
            co_await error_of(start_server(echo_stream, "127.0.0.1", 0, ServerOptions().sock(0)));
        CHECK(error_text(server_both) == "ValueError: host/port and sock can not be specified at the same time");
        // A descriptor that is no connected socket is closed, and the error says so.
        const int file = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
        const std::string no_socket = co_await ending(open_connection("", 0, ConnectionOptions().sock(file)));
        CHECK(no_socket == "OSError");
        CHECK(::fcntl(file, F_GETFD) == -1);
    });
    run_simulated([]() -> Coro<> {
        const std::string none = co_await ending(open_connection("", 0, ConnectionOptions().sock(0)));
        CHECK(none == "RuntimeError");
    });
}

TEST_CASE("a descriptor of a transport cannot be watched") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto [near, far] = socket_pair();
        const int number = near.get();
        auto [reader, writer] = co_await open_unix_connection("", ConnectionOptions().sock(near.take()));
        const std::string error = error_of_call([&] { loop.add_reader(number, [] {}); });
        CHECK(error.starts_with("RuntimeError: File descriptor " + std::to_string(number) +
                                " is used by transport <Transport fd=" + std::to_string(number)));
        CHECK(ending_of_call([&] { loop.add_writer(number, [] {}); }) == "RuntimeError");
        CHECK(ending_of_call([&] { loop.remove_reader(number); }) == "RuntimeError");
        CHECK(ending_of_call([&] { loop.remove_writer(number); }) == "RuntimeError");
        writer.close();
        co_await writer.wait_closed();
        // The number is free again, and may be another socket's by now.
        auto [third, fourth] = socket_pair();
        loop.add_reader(third.get(), [] {});
        CHECK(loop.remove_reader(third.get()));
    });
}

TEST_CASE("what is told of room in the same event as data may pause reading: the data was delivered before") {
    class Pausing : public Protocol {
    public:
        void connection_made(std::shared_ptr<Transport> to) override { transport = std::move(to); }
        void data_received(std::span<const std::byte>) override { late |= paused; }
        void resume_writing() override {
            transport->pause_reading();
            paused = true;
        }
        std::shared_ptr<Transport> transport;
        bool paused = false;
        bool late = false;
    };
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto [near, far] = socket_pair();
        const auto factory = [] { return std::make_shared<Pausing>(); };
        auto [transport, protocol] =
            co_await loop.create_unix_connection(factory, "", ConnectionOptions().sock(near.take()));
        transport->write(std::string(2'000'000, 'x'));
        // All of it is gone and something has come before the loop looks again.
        std::vector<std::byte> room(1 << 20);
        std::size_t got = 0;
        while (got < 2'000'000) {
            const ssize_t count = ::recv(far.get(), room.data(), room.size(), MSG_DONTWAIT);
            if (count > 0) got += static_cast<std::size_t>(count);
            if (transport->get_write_buffer_size() == 0) break;
            if (count > 0) continue;
            REQUIRE(::send(far.get(), "!", 1, MSG_DONTWAIT) == 1);
            co_await sleep(0s);
        }
        CHECK(protocol->paused);
        CHECK_FALSE(protocol->late);
        transport->abort();
        co_await turns(2);
    });
}

TEST_CASE("a BufferedProtocol over a Unix socket, which switches to a Protocol in the middle") {
    class Second : public Protocol {
    public:
        explicit Second(std::string& text) : text_(text) {}
        void data_received(std::span<const std::byte> data) override { text_ += Bytes(data).text(); }

    private:
        std::string& text_;
    };
    class First : public BufferedProtocol {
    public:
        First(std::string& text, std::string& rest) : text_(text), rest_(rest) {}
        void connection_made(std::shared_ptr<Transport> transport) override { transport_ = std::move(transport); }
        std::span<std::byte> get_buffer(std::size_t) override { return buffer_; }
        void buffer_updated(std::size_t count) override {
            text_ += Bytes(std::span(buffer_).first(count)).text();
            if (text_.size() >= 12) std::exchange(transport_, nullptr)->set_protocol(std::make_shared<Second>(rest_));
        }

    private:
        std::string& text_;
        std::string& rest_;
        std::array<std::byte, 4> buffer_{};
        std::shared_ptr<Transport> transport_;
    };
    const TemporaryDirectory directory;
    const std::string path = directory / "buffered";
    run_on_each_backend([path]() -> Coro<> {
        std::string text;
        std::string rest;
        Server server =
            co_await get_running_loop().create_unix_server([&] { return std::make_shared<First>(text, rest); }, path);
        auto [reader, writer] = co_await open_unix_connection(path);
        writer.write("0123456789abcdefghij");
        writer.write_eof();
        const Bytes end = co_await reader.read(-1);
        CHECK(end.empty());
        CHECK(text == "0123456789ab");
        CHECK(rest == "cdefghij");
        writer.close();
        server.close();
        co_await server.wait_closed();
    });
}
