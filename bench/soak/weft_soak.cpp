// Connections that come and go, for soak_bench.py.
//     weft_soak server                       echoes; at SIGUSR1 it prints what it holds
//     weft_soak client PORT COUNT ROUNDS     in each round COUNT connections at once, each echoes and is closed; then
//     it
//                                            prints what it holds, and waits for a line
#include <weft/weft.hpp>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <malloc.h>
#include <signal.h>

using namespace weft;

namespace {

constexpr int opened_at_once = 100;
constexpr int connections_per_source = 5000;  // 127.0.0.1, .2, ...: each has about 28 000 ports

void print_held(EventLoop& loop) {
    const std::filesystem::directory_iterator descriptors("/proc/self/fd");
    std::printf("descriptors %ld tasks %zu heap %zu\n",
                static_cast<long>(std::distance(begin(descriptors), end(descriptors))), all_tasks(loop).size(),
                ::mallinfo2().uordblks);
    std::fflush(stdout);
}

Coro<> echo(StreamReader reader, StreamWriter writer) {
    try {
        while (true) {
            const Bytes data = co_await reader.read(65536);
            if (data.empty()) break;
            writer.write(data);
            co_await writer.drain();
        }
    } catch (const ConnectionError&) {
        // It was reset.
    }
}

Coro<int> serve() {
    EventLoop& loop = get_running_loop();
    loop.add_signal_handler(SIGUSR1, [&loop] { print_held(loop); });
    Server server = co_await start_server(echo, "127.0.0.1", 0, ServerOptions().backlog(4096));
    std::printf("port %d\n", server.sockets().front().port());
    std::fflush(stdout);
    co_await server.serve_forever();
    co_return 0;
}

class Connection {
public:
    StreamReader reader;
    StreamWriter writer;
};

Coro<> open_one(int port, int source, Semaphore opening, std::vector<Connection>& open) {
    const auto permit = co_await opening.scoped();
    ConnectionOptions options;
    options.local_addr(Address::parse("127.0.0." + std::to_string(source), 0).value());
    auto [reader, writer] = co_await open_connection("127.0.0.1", port, options);
    writer.write("hello");
    const Bytes back = co_await reader.readexactly(5);
    if (back != "hello") throw RuntimeError("the echo differs");
    open.push_back(Connection{std::move(reader), std::move(writer)});
}

Coro<> run_round(int port, int count) {
    std::vector<Connection> open;
    Semaphore opening(opened_at_once);
    co_await task_group([&](TaskGroup& group) -> Coro<> {
        for (int i = 0; i < count; ++i)
            group.create_task(open_one(port, 1 + i / connections_per_source, opening, open));
        co_return;
    });
    for (Connection& connection : open)
        connection.writer.close();
    for (Connection& connection : open)
        co_await connection.writer.wait_closed();
}

Coro<int> load(int port, int count, int rounds) {
    for (int i = 0; i < rounds; ++i) {
        co_await run_round(port, count);
        co_await sleep(std::chrono::milliseconds(100));
        print_held(get_running_loop());
        (void)std::getchar();
    }
    co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 2 && argv[1] == std::string_view("server")) return run(serve());
    if (argc == 5 && argv[1] == std::string_view("client"))
        return run(load(std::atoi(argv[2]), std::atoi(argv[3]), std::atoi(argv[4])));
    std::fputs("usage: weft_soak server | client PORT COUNT ROUNDS\n", stderr);
    return 2;
}
