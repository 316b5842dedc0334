#include "net/support.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

/// Every descriptor that this process may still have.
class AllDescriptors {
public:
    AllDescriptors() {
        for (int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC); fd >= 0; fd = ::dup(fd))
            held_.emplace_back(fd);
        error_ = errno;
    }
    int error() const noexcept { return error_; }
    void release() { held_.clear(); }

private:
    std::vector<Descriptor> held_;
    int error_ = 0;
};

/// Without the loop's help, so that nothing but accept needs a descriptor.
void connect_to(const Descriptor& socket, int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
}

}  // namespace

TEST_CASE("without a descriptor for it a connection waits: accepting reports, rests, and goes on") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Reports reports(loop);
        Server server = co_await start_server(echo_stream, "127.0.0.1", 0);
        std::vector<Descriptor> clients;
        for (int i = 0; i < 3; ++i)
            clients.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        co_await sleep(1ms);  // what the loop opens on its first wait is open
        AllDescriptors all;
        CHECK(all.error() == EMFILE);
        for (const Descriptor& client : clients)
            connect_to(client, server.sockets().front().port());
        while (reports.size() == 0)
            co_await sleep(1ms);
        co_await sleep(300ms);
        CHECK(reports.size() <= 3);  // one a second; a loop that spins makes thousands
        all.release();
        CHECK(reports[0].message == "socket.accept() out of system resource");
        CHECK(error_text(reports[0].exception) == "OSError: accept: Too many open files");

        for (const Descriptor& client : clients) {
            REQUIRE(::send(client.get(), "hello", 5, 0) == 5);
            std::array<std::byte, 5> back{};
            while (::recv(client.get(), back.data(), back.size(), MSG_DONTWAIT) < 0)
                co_await sleep(1ms);
            CHECK(Bytes(back) == "hello");
        }
        CHECK(reports.size() <= 3);
        clients.clear();
        server.close();
        co_await server.wait_closed();
        loop.set_exception_handler(nullptr);
    });
}

TEST_CASE("a server that is closed while accepting rests does not come back") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Reports reports(loop);
        Server server = co_await start_server(echo_stream, "127.0.0.1", 0);
        const Descriptor client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        co_await sleep(1ms);
        AllDescriptors all;
        connect_to(client, server.sockets().front().port());
        while (reports.size() == 0)
            co_await sleep(1ms);
        server.close();
        co_await server.wait_closed();
        all.release();
        const std::size_t before = open_descriptors();
        co_await sleep(1100ms);
        CHECK(open_descriptors() == before);
        // The system has reset what waited in the queue.
        std::byte none{};
        CHECK(::recv(client.get(), &none, 1, MSG_DONTWAIT) == -1);
        CHECK(errno == ECONNRESET);
        CHECK(reports.size() == 1);
        loop.set_exception_handler(nullptr);
    });
}
