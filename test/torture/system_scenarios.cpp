#include "torture/torture.hpp"

#include "net/support.hpp"
#include "tls/tls_support.hpp"

#include <weft/io/no_sigpipe.hpp>

namespace weft::testing {

namespace {

Coro<> descriptors() {
    EventLoop& loop = get_running_loop();
    const auto [left, right] = socket_pair();
    const int in = right.get();
    auto receive = [in]() -> Coro<std::string> {
        const Bytes first = co_await get_running_loop().sock_recv(in, 100);
        co_return first.str();
    };
    Task<std::string> waiting = create_task(receive());
    co_await sleep(0s);
    co_await loop.sock_sendall(left.get(), "over the wire");
    const std::string text = co_await waiting;
    require(text == "over the wire", "descriptors: wrong bytes");

    auto calls = std::make_shared<int>(0);
    loop.add_reader(in, [calls, in] {
        std::array<char, 10> room{};
        *calls += ::recv(in, room.data(), room.size(), 0) > 0 ? 1 : 0;
    });
    struct Removed {
        EventLoop& loop;
        int fd;
        ~Removed() { loop.remove_reader(fd); }
    } const removed{loop, in};
    co_await loop.sock_sendall(left.get(), "x");
    for (int waited = 0; *calls == 0 && waited < 1000; ++waited)
        co_await sleep(1ms);
    require(*calls == 1, "descriptors: the watcher was not called");
}

Coro<> unix_streams() {
    // An abstract name: a file could not be removed without memory.
    const std::string name = std::string(1, '\0') + "weft-torture-" + std::to_string(::getpid());
    Server server = co_await start_unix_server(echo_stream, name);
    auto [reader, writer] = co_await open_unix_connection(name);
    const std::string back = co_await ask_for_echo(reader, writer, "by a name");
    require(back == "by a name", "unix: wrong echo");
    writer.close();
    co_await writer.wait_closed();
    server.close();
    co_await server.wait_closed();
}

Coro<> datagrams() {
    DatagramEndpoint one = co_await open_datagram_endpoint(DatagramOptions().local_addr("127.0.0.1", 0));
    DatagramEndpoint other =
        co_await open_datagram_endpoint(DatagramOptions().remote_addr("127.0.0.1", one.sockname()->port()));
    co_await other.send("there");
    const Datagram there = co_await wait_for(one.receive(), 10s);
    co_await one.send("back", there.from);
    const Datagram back = co_await wait_for(other.receive(), 10s);
    require(there.data == "there" && back.data == "back", "datagrams: wrong bytes");
}

Coro<> tls_streams() {
    Server server = co_await start_server(tls_echo, "127.0.0.1", 0, ServerOptions().tls(server_tls()));
    {
        auto [reader, writer] =
            co_await open_connection("localhost", server.sockets().front().port(),
                                     ConnectionOptions().tls(client_tls()).tls_shutdown_timeout(1s));
        const std::string back = co_await echo_of(reader, writer, "under cover");
        require(back == "under cover", "tls: wrong echo");
        writer.close();
        co_await writer.wait_closed();
    }
    server.close();
    server.close_clients();
    co_await server.wait_closed();
}

Coro<> pipes() {
    std::array<int, 2> ends{};
    require(::pipe2(ends.data(), O_CLOEXEC) == 0, "pipes: none");
    Descriptor in(ends[0]);
    Descriptor out(ends[1]);
    EventLoop& loop = get_running_loop();
    StreamReader reader(65536);
    auto protocol = std::make_shared<StreamReaderProtocol>(reader);
    auto make_protocol = [protocol] { return protocol; };
    auto connection = co_await loop.connect_read_pipe(make_protocol, in.take());
    {
        io::NoSigpipe no_signal;  // the reading end may be gone
        if (::write(out.get(), "through", 7) < 0) no_signal.consume();
    }
    out.reset();
    const Bytes all = co_await reader.read(-1);
    require(all == "through", "pipes: wrong bytes");
    connection.transport->close();
}

Coro<> processes() {
    Process process = co_await create_subprocess_exec("cat", SubprocessOptions().stdin(PIPE).stdout(PIPE));
    const auto [output, errors] = co_await process.communicate("for the cat");
    require(output == "for the cat", "processes: wrong output");
}

Coro<> threads() {
    EventLoop& loop = get_running_loop();
    const int sum = co_await to_thread([](int a, int b) { return a + b; }, 1, 2);
    Future<int> future = loop.create_future<int>();
    loop.call_soon_threadsafe([future]() mutable { future.set_result(3); });
    const int other = co_await future;
    require(sum == 3 && other == 3, "threads: wrong sum");
    const auto found = co_await loop.getaddrinfo("127.0.0.1", "80");
    require(!found.empty(), "threads: no address");
}

}  // namespace

const std::vector<Scenario>& system_scenarios() {
    static const std::vector<Scenario> scenarios{
        Scenario("descriptors", descriptors),
        Scenario("unix streams", unix_streams),
        Scenario("datagrams", datagrams),
        Scenario("tls streams", tls_streams),
        Scenario("pipes", pipes),
        Scenario("processes", processes),
        Scenario("threads", threads),
    };
    return scenarios;
}

}  // namespace weft::testing
