#include "net/support.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

Descriptor listening_socket(sockaddr_in& name) {
    Descriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    name = {};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof name;
    REQUIRE(::bind(listener.get(), reinterpret_cast<sockaddr*>(&name), size) == 0);
    REQUIRE(::listen(listener.get(), 16) == 0);
    REQUIRE(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&name), &size) == 0);
    return listener;
}
Address address_of(const sockaddr_in& name) {
    return *Address::parse("127.0.0.1", ntohs(name.sin_port));
}
Descriptor tcp_socket() {
    return Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}
Descriptor udp_socket() {
    return Descriptor(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

}  // namespace

TEST_CASE("connect, accept, send and receive by descriptors") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        sockaddr_in name{};
        const Descriptor listener = listening_socket(name);
        Task<std::pair<int, Address>> accepting = create_task(loop.sock_accept(listener.get()));
        const Descriptor client = tcp_socket();
        co_await loop.sock_connect(client.get(), address_of(name));
        const auto accepted = co_await accepting;
        const Descriptor server(accepted.first);
        CHECK(accepted.second.host() == "127.0.0.1");
        CHECK(accepted.second.port() != 0);

        Task<Bytes> reading = create_task(loop.sock_recv(server.get(), 100));
        co_await turns(2);
        co_await loop.sock_sendall(client.get(), "hello");
        const Bytes hello = co_await reading;
        CHECK(hello == "hello");
        std::array<std::byte, 3> buffer{};
        co_await loop.sock_sendall(server.get(), "world");
        const std::size_t three = co_await loop.sock_recv_into(client.get(), buffer);
        CHECK(three == 3);
        const Bytes rest = co_await loop.sock_recv(client.get(), 100);
        CHECK(rest == "ld");
        ::shutdown(client.get(), SHUT_WR);
        const Bytes end = co_await loop.sock_recv(server.get(), 100);
        CHECK(end.empty());
    });
}

TEST_CASE("sock_sendall sends megabytes against back-pressure") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto [near, far] = socket_pair();
        std::string sent(4 << 20, '\0');
        for (std::size_t i = 0; i < sent.size(); ++i)
            sent[i] = static_cast<char>(i * 7 + i / 253);
        Task<> sending = create_task(loop.sock_sendall(near.get(), sent));
        std::string received;
        while (received.size() < sent.size()) {
            const Bytes piece = co_await loop.sock_recv(far.get(), 50'000);
            received += piece.text();
        }
        co_await sending;
        CHECK((received == sent));
        // A peer that is gone is an error, not a signal.
        far.reset();
        const std::string gone = co_await ending(loop.sock_sendall(near.get(), "x"));
        CHECK(gone == "BrokenPipeError");
    });
}

TEST_CASE("datagrams by descriptors: one that is longer than asked for is cut") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const Descriptor receiver = udp_socket();
        sockaddr_in name{};
        name.sin_family = AF_INET;
        name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof name;
        REQUIRE(::bind(receiver.get(), reinterpret_cast<sockaddr*>(&name), size) == 0);
        REQUIRE(::getsockname(receiver.get(), reinterpret_cast<sockaddr*>(&name), &size) == 0);
        const Descriptor sender = udp_socket();
        Task<std::pair<Bytes, Address>> receiving = create_task(loop.sock_recvfrom(receiver.get(), 4));
        co_await turns(2);
        const std::size_t count = co_await loop.sock_sendto(sender.get(), "truncated", address_of(name));
        CHECK(count == 9);
        const auto [data, from] = co_await receiving;
        CHECK(data == "trun");
        CHECK(from.host() == "127.0.0.1");
        co_await loop.sock_sendto(receiver.get(), "back", from);
        std::array<std::byte, 16> buffer{};
        const auto [length, origin] = co_await loop.sock_recvfrom_into(sender.get(), buffer);
        CHECK(length == 4);
        CHECK(origin == address_of(name));
    });
}

TEST_CASE("sock_connect: refused by name, and to a Unix socket whose queue is full") {
    const TemporaryDirectory directory;
    const std::string path = directory / "full";
    run_real([path]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        sockaddr_in name{};
        listening_socket(name).reset();
        const Descriptor socket = tcp_socket();
        const std::exception_ptr refused = co_await error_of(loop.sock_connect(socket.get(), address_of(name)));
        CHECK(error_text(refused).starts_with("ConnectionRefusedError: Connect call failed 127.0.0.1:"));
        Descriptor listener = full_listener(path);
        std::vector<Descriptor> sockets;
        std::vector<Task<>> connecting;
        for (int i = 0; i < 5; ++i) {
            sockets.emplace_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
            connecting.push_back(create_task(loop.sock_connect(sockets.back().get(), Address::local(path))));
        }
        co_await turns(5);
        CHECK_FALSE(connecting.back().done());
        Server server = co_await start_unix_server(echo_stream, "", ServerOptions().sock(listener.take()));
        for (auto& task : connecting)
            co_await task;
        co_await loop.sock_sendall(sockets.back().get(), "in");
        const Bytes back = co_await loop.sock_recv(sockets.back().get(), 10);
        CHECK(back == "in");
        sockets.clear();
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE(
    "a connection that was reset before it is handed over tells so by its protocol; a socket without one is refused") {
    class Witness : public Protocol {
    public:
        void connection_made(std::shared_ptr<Transport>) override { trace("made"); }
        void connection_lost(std::exception_ptr error) override {
            trace(error_type(error));
            lost.set_result();
        }
        Trace trace;
        Future<> lost = get_running_loop().create_future<void>();
    };
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        sockaddr_in name{};
        const Descriptor listener = listening_socket(name);
        Descriptor client = tcp_socket();
        co_await loop.sock_connect(client.get(), address_of(name));
        auto [accepted, from] = co_await loop.sock_accept(listener.get());
        const linger reset{1, 0};
        REQUIRE(::setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset) == 0);
        client.reset();
        const auto factory = [] { return std::make_shared<Witness>(); };
        auto [transport, protocol] = co_await loop.connect_accepted_socket(factory, accepted);
        CHECK_FALSE(transport->peername());
        co_await wait_for(protocol->lost, 30s);
        CHECK(protocol->trace.text() == "made ConnectionResetError");
        const std::string unconnected = co_await ending(loop.connect_accepted_socket(factory, tcp_socket().take()));
        CHECK(unconnected == "OSError");
    });
}

TEST_CASE("rule 109: cancelling unregisters at once, so that the number may be used again") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        for (const bool reads : {true, false}) {
            auto [near, far] = socket_pair();
            const std::string much(16 << 20, 'x');
            auto receive = [](int fd) -> Coro<> { (void)co_await get_running_loop().sock_recv(fd, 10); };
            Task<> waiting = create_task(reads ? receive(near.get()) : loop.sock_sendall(near.get(), much));
            co_await turns(2);
            REQUIRE_FALSE(waiting.done());
            waiting.cancel();
            // Nothing has run since: the watch is gone already.
            CHECK_FALSE((reads ? loop.remove_reader(near.get()) : loop.remove_writer(near.get())));
            // Another socket under the same number is watched by its own waiter alone.
            const int number = near.get();
            near.reset();
            auto [third, fourth] = socket_pair();
            const Descriptor again(third.get() == number ? third.take() : ::dup3(third.get(), number, O_CLOEXEC));
            REQUIRE(again.get() == number);
            Task<Bytes> reading = create_task(loop.sock_recv(again.get(), 10));
            co_await turns(2);
            co_await loop.sock_sendall(fourth.get(), "new");
            const Bytes data = co_await reading;
            CHECK(data == "new");
            const std::string cancelled = co_await ending(waiting);
            CHECK(cancelled == "CancelledError");
        }
    });
}

TEST_CASE("rule 109: a cancelled sock_accept drops no connection") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        sockaddr_in name{};
        const Descriptor listener = listening_socket(name);
        for (int delay = 0; delay < 12; ++delay) {
            Task<std::pair<int, Address>> accepting = create_task(loop.sock_accept(listener.get()));
            co_await turns(2);
            const Descriptor client = tcp_socket();
            Task<> connecting = create_task(loop.sock_connect(client.get(), address_of(name)));
            // Somewhere between the connection's arrival and the accepting task's step.
            co_await turns(delay);
            accepting.cancel();
            const std::string how = co_await ending(connecting);
            CHECK(how == "ok");
            std::optional<int> accepted;
            try {
                accepted = (co_await accepting).first;
            } catch (const CancelledError&) {}
            if (!accepted) accepted = (co_await loop.sock_accept(listener.get())).first;
            const Descriptor server(*accepted);
            co_await loop.sock_sendall(client.get(), "here");
            const Bytes data = co_await loop.sock_recv(server.get(), 10);
            CHECK(data == "here");
        }
    });
}

TEST_CASE("rule 109: cancelling sock_recv, sock_recvfrom, sock_connect and sock_sendto") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto cancel_waiting = [&]() -> Coro<> {
            auto [near, far] = socket_pair(SOCK_DGRAM);
            std::array<std::byte, 10> buffer{};
            Task<Bytes> receiving = create_task(loop.sock_recv(near.get(), 10));
            co_await turns(1);
            co_await loop.sock_sendall(far.get(), "kept");
            receiving.cancel();
            const std::string first = co_await ending(receiving);
            CHECK(first == "CancelledError");
            const std::size_t count = co_await loop.sock_recv_into(near.get(), buffer);
            CHECK(count == 4);
            Task<std::pair<Bytes, Address>> from = create_task(loop.sock_recvfrom(near.get(), 10));
            co_await turns(1);
            from.cancel();
            const std::string second = co_await ending(from);
            CHECK(second == "CancelledError");
            // A task whose coroutine is dropped while it waits leaves nothing either.
            auto waits = create_task(loop.sock_recv_into(near.get(), buffer));
            co_await turns(1);
            waits.cancel();
            const std::string third = co_await ending(waits);
            CHECK(third == "CancelledError");
            CHECK_FALSE(loop.remove_reader(near.get()));
            CHECK_FALSE(loop.remove_writer(near.get()));
        };
        auto cancel_connecting = [&]() -> Coro<> {
            // A listener with no room left: the handshake does not end.
            sockaddr_in name{};
            const Descriptor listener = listening_socket(name);
            REQUIRE(::listen(listener.get(), 0) == 0);
            std::vector<Descriptor> sockets;
            std::vector<Task<>> connecting;
            for (int i = 0; i < 4; ++i) {
                sockets.push_back(tcp_socket());
                connecting.push_back(create_task(loop.sock_connect(sockets.back().get(), address_of(name))));
            }
            co_await sleep(5ms);
            CHECK_FALSE(connecting.back().done());
            for (auto& task : connecting)
                task.cancel();
            for (auto& task : connecting)
                (void)co_await ending(task);
            for (auto& socket : sockets)
                CHECK_FALSE(loop.remove_writer(socket.get()));
        };
        co_await cancel_waiting();
        const std::size_t before = open_descriptors();  // with what the loop opens for its first wait
        co_await cancel_waiting();
        co_await cancel_connecting();
        CHECK(open_descriptors() == before);
    });
}

TEST_CASE("a second coroutine that has to wait for the same event is refused; a reader and a writer are not") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto [near, far] = socket_pair();
        Task<Bytes> first = create_task(loop.sock_recv(near.get(), 10));
        co_await turns(1);
        const std::exception_ptr second = co_await error_of(loop.sock_recv(near.get(), 10));
        CHECK(error_text(second) ==
              "RuntimeError: another coroutine waits to read from descriptor " + std::to_string(near.get()));
        co_await loop.sock_sendall(near.get(), "other way");
        co_await loop.sock_sendall(far.get(), "for the first");
        const Bytes data = co_await first;
        CHECK(data == "for the fi");
    });
}

TEST_CASE("descriptors that may not be used: blocking in debug mode, a transport's, and in a simulated loop") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto [near, far] = socket_pair();
        loop.set_debug(true);
        ::fcntl(near.get(), F_SETFL, 0);
        const std::exception_ptr blocking = co_await error_of(loop.sock_recv(near.get(), 1));
        loop.set_debug(false);
        CHECK(error_text(blocking) == "ValueError: the socket must be non-blocking");
        const std::string negative = co_await ending(loop.sock_recv(-1, 1));
        CHECK(negative == "ValueError");
        auto [reader, writer] = co_await open_unix_connection("", ConnectionOptions().sock(far.take()));
        const int number = writer.transport().fileno();
        const std::exception_ptr owned = co_await error_of(loop.sock_sendall(number, "x"));
        CHECK(error_text(owned).starts_with("RuntimeError: File descriptor " + std::to_string(number) +
                                            " is used by transport"));
        writer.close();
    });
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto [near, far] = socket_pair();
        const std::string none = co_await ending(loop.sock_sendall(near.get(), "x"));
        CHECK(none == "RuntimeError");
    });
}
