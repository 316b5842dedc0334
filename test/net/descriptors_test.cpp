#include "net/support.hpp"

#include <set>

using namespace weft;
using namespace weft::testing;

namespace {

std::set<int> descriptors_of_this_process() {
    std::set<int> result;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
        result.insert(std::stoi(entry.path().filename().string()));
    std::erase_if(result, [](int fd) { return ::fcntl(fd, F_GETFD) < 0; });  // that of the listing itself
    return result;
}

bool is_socket(int fd) {
    struct stat status{};
    return ::fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

}  // namespace

TEST_CASE("a server's socket options are set on its sockets: reuse_address, reuse_port, keep_alive") {
    run_real([]() -> Coro<> {
        for (const bool on : {false, true}) {
            int accepted = -1;
            const auto handler = [&accepted](StreamReader, StreamWriter writer) {
                int value = 0;
                socklen_t size = sizeof value;
                ::getsockopt(writer.transport().fileno(), SOL_SOCKET, SO_KEEPALIVE, &value, &size);
                accepted = value;
            };
            const ServerOptions options = ServerOptions().reuse_address(on).reuse_port(on).keep_alive(on);
            Server server = co_await start_server(handler, "127.0.0.1", 0, options);
            REQUIRE(server.filenos().size() == 1);
            const auto is_set = [&server](int option) {
                int value = 0;
                socklen_t size = sizeof value;
                REQUIRE(::getsockopt(server.filenos().front(), SOL_SOCKET, option, &value, &size) == 0);
                return value != 0;
            };
            CHECK(is_set(SO_REUSEADDR) == on);
            CHECK(is_set(SO_REUSEPORT) == on);
            auto [reader, writer] = co_await open_connection("127.0.0.1", server.sockets().front().port());
            while (accepted < 0)
                co_await sleep(1ms);
            CHECK((accepted != 0) == on);
            writer.close();
            server.close();
            co_await server.wait_closed();
        }
    });
}

TEST_CASE("children inherit no descriptor that the loop has opened, and none of its sockets blocks") {
    const std::set<int> before = descriptors_of_this_process();
    run_real([&]() -> Coro<> {
        const TemporaryDirectory directory;
        const std::string path = directory / "socket";
        Server server = co_await start_server(echo_stream, "127.0.0.1", 0);
        Server local_server = co_await start_unix_server(echo_stream, path);
        auto [reader, writer] = co_await open_connection("127.0.0.1", server.sockets().front().port());
        auto [local_reader, local_writer] = co_await open_unix_connection(path);
        DatagramEndpoint datagrams = co_await open_datagram_endpoint(DatagramOptions().local_addr("127.0.0.1", 0));
        CHECK(co_await ask_for_echo(reader, writer, "hello") == "hello");
        CHECK(co_await ask_for_echo(local_reader, local_writer, "hello") == "hello");

        std::size_t sockets = 0;
        for (const int fd : descriptors_of_this_process()) {
            if (before.contains(fd)) continue;
            CAPTURE(fd);
            CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
            if (!is_socket(fd)) continue;
            ++sockets;
            CHECK((::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
        }
        CHECK(sockets == 7);  // two servers, both ends of two connections, and the datagrams

        writer.close();
        local_writer.close();
        datagrams.close();
        server.close();
        local_server.close();
        co_await server.wait_closed();
        co_await local_server.wait_closed();
    });
}
