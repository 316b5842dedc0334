#include "net/support.hpp"

#include <sys/syscall.h>

using namespace weft;
using namespace weft::testing;

namespace {

/// What accept4() fails with, `failures_left` times, in this program.
int failing_with = 0;
int failures_left = 0;

}  // namespace

/// In the place of the system's, which runs out of memory only where the whole machine does.
extern "C" int accept4(int socket, sockaddr* name, socklen_t* size, int flags) {
    if (failures_left > 0) {
        --failures_left;
        errno = failing_with;
        return -1;
    }
    return static_cast<int>(::syscall(SYS_accept4, socket, name, size, flags));
}

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

/// Makes a connection, which is echoed to, while accepting fails so often; what was reported meanwhile.
std::vector<std::string> reports_of_connection(int error, int failures) {
    std::vector<std::string> texts;
    run_real([&]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Reports reports(loop);
        Server server = co_await start_server(echo_stream, "127.0.0.1", 0);
        failing_with = error;
        failures_left = failures;
        auto [reader, writer] = co_await open_connection("127.0.0.1", server.sockets().front().port());
        const std::string back = co_await ask_for_echo(reader, writer, "hello");
        CHECK(back == "hello");
        CHECK(failures_left == 0);
        for (std::size_t i = 0; i < reports.size(); ++i)
            texts.push_back(reports[i].message + ": " + error_text(reports[i].exception));
        writer.close();
        server.close();
        co_await server.wait_closed();
        loop.set_exception_handler(nullptr);
    });
    return texts;
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

TEST_CASE("where the system has no memory or no file for it a connection waits, too") {
    for (const int error : {ENFILE, ENOBUFS, ENOMEM}) {
        CAPTURE(error);
        const TimePoint begin = Clock::now();
        const std::vector<std::string> reports = reports_of_connection(error, 1);
        CHECK(Clock::now() - begin >= 900ms);  // it has rested
        REQUIRE(reports.size() == 1);
        CHECK(reports[0] ==
              "socket.accept() out of system resource: OSError: accept: " + std::system_category().message(error));
    }
}

TEST_CASE("a connection that has gone before it was taken, or a signal, holds up no other") {
    for (const int error : {ECONNABORTED, EINTR}) {
        CAPTURE(error);
        CHECK(reports_of_connection(error, 3).empty());
    }
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
