#include "net/datagrams.hpp"

using namespace weft;
using namespace weft::testing;

TEST_CASE("Python's asyncio as the other end of UDP") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto [server, served] = co_await loop.create_datagram_endpoint(make_echo, on_loopback());
        const std::string script = R"(
import asyncio, sys
class Client(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport, self.got = transport, []
        transport.sendto(b'0' * 1000)
    def datagram_received(self, data, addr):
        self.got.append(data)
        if len(self.got) == 20: done.set_result(None)
        else: self.transport.sendto(str(len(self.got)).encode() * 1000)
async def main():
    global done
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    transport, client = await loop.create_datagram_endpoint(Client, remote_addr=('127.0.0.1', int(sys.argv[1])))
    await asyncio.wait_for(done, 20)
    sys.exit(0 if client.got == [str(i).encode() * 1000 for i in range(20)] else 3)
asyncio.run(main())
)";
        Child client({"/usr/bin/python3", "-c", script, std::to_string(server->sockname()->port())});
        const int status = co_await client.wait();
        CHECK(status == 0);
        server->close();
        const std::string all = co_await served->after(22);
        CHECK(all.ends_with("lost:ok"));
    });
}
TEST_CASE("Python's asyncio as the client of a TCP server: echo, half-close, a line at a time") {
    run_real([]() -> Coro<> {
        Server server = co_await start_server(echo_stream, "127.0.0.1", 0);
        const std::string script = R"(
import asyncio, sys
async def main():
    reader, writer = await asyncio.open_connection('127.0.0.1', int(sys.argv[1]))
    for i in range(50):
        writer.write(b'line %d\n' % i)
        if await reader.readline() != b'line %d\n' % i: sys.exit(3)
    data = bytes(range(256)) * 8192
    async def send():
        writer.write(data); await writer.drain(); writer.write_eof()
    sending = asyncio.ensure_future(send())
    back = await reader.read(-1)
    await sending
    sys.exit(0 if back == data else 4)
asyncio.run(main())
)";
        Child client({"/usr/bin/python3", "-c", script, std::to_string(server.sockets().front().port())});
        const int status = co_await client.wait();
        CHECK(status == 0);
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("Python's asyncio as the server of TCP: a long answer, then the end of the stream") {
    const TemporaryDirectory directory;
    const std::string port_file = directory / "port";
    run_real([port_file]() -> Coro<> {
        const std::string script = R"(
import asyncio, os, sys
async def serve(reader, writer):
    data = await reader.read(-1)
    writer.write(data[::-1])
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    done.set()
async def main():
    global done
    done = asyncio.Event()
    server = await asyncio.start_server(serve, '127.0.0.1', 0)
    with open(sys.argv[1] + '.new', 'w') as file: file.write(str(server.sockets[0].getsockname()[1]))
    os.rename(sys.argv[1] + '.new', sys.argv[1])
    await done.wait()
asyncio.run(main())
)";
        Child peer({"/usr/bin/python3", "-c", script, port_file});
        int port = 0;
        while (!(std::ifstream(port_file) >> port))
            co_await sleep(2ms);
        auto [reader, writer] = co_await open_connection("127.0.0.1", port);
        std::string sent;
        for (int i = 0; sent.size() < 1'000'000; ++i)
            sent += std::to_string(i) + " ";
        writer.write(sent);
        writer.write_eof();
        const Bytes answer = co_await reader.read(-1);
        CHECK((answer.str() == std::string(sent.rbegin(), sent.rend())));
        writer.close();
        co_await writer.wait_closed();
        const int status = co_await peer.wait();
        CHECK(status == 0);
    });
}

TEST_CASE("Python's asyncio as the other end of a Unix socket") {
    const TemporaryDirectory directory;
    const std::string path = directory / "python";
    run_real([path]() -> Coro<> {
        Server server = co_await start_unix_server(echo_stream, path);
        const std::string script = R"(
import asyncio, sys
async def main():
    reader, writer = await asyncio.open_unix_connection(sys.argv[1])
    data = bytes(range(256)) * 4096
    async def send():
        writer.write(data); await writer.drain(); writer.write_eof()
    sending = asyncio.ensure_future(send())
    back = await reader.read(-1)
    await sending
    sys.exit(0 if back == data else 3)
asyncio.run(main())
)";
        Child client({"/usr/bin/python3", "-c", script, path});
        const int status = co_await client.wait();
        CHECK(status == 0);
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("Python's asyncio as the server of a Unix socket") {
    const TemporaryDirectory directory;
    const std::string path = directory / "python-server";
    run_real([path]() -> Coro<> {
        const std::string script = R"(
import asyncio, sys
async def serve(reader, writer):
    writer.write((await reader.readline()).upper())
    await writer.drain()
    writer.close()
    done.set()
async def main():
    global done
    done = asyncio.Event()
    await asyncio.start_unix_server(serve, sys.argv[1])
    await done.wait()
asyncio.run(main())
)";
        Child peer({"/usr/bin/python3", "-c", script, path});
        std::string answer;
        while (answer.empty()) {
            try {
                auto [reader, writer] = co_await open_unix_connection(path);
                writer.write("hello\n");
                const Bytes data = co_await reader.read(-1);
                answer = data.str();
            } catch (const FileNotFoundError&) {
            } catch (const ConnectionRefusedError&) {}
            co_await sleep(2ms);
        }
        CHECK(answer == "HELLO\n");
        const int status = co_await peer.wait();
        CHECK(status == 0);
    });
}

TEST_CASE("netcat as the other end of a Unix socket") {
    const TemporaryDirectory directory;
    const std::string path = directory / "netcat";
    const std::string output = directory / "output";
    run_real([path, output]() -> Coro<> {
        Server server = co_await start_unix_server(echo_stream, path);
        Child client({"/bin/sh", "-c", "printf 'from netcat' | nc -N -U \"$0\" > \"$1\"", path, output});
        const int status = co_await client.wait();
        CHECK(status == 0);
        std::string text;
        std::getline(std::ifstream(output), text);
        CHECK(text == "from netcat");
        server.close();
        co_await server.wait_closed();
    });
}

namespace {

/// What socat gets back from `address` for a few words.
Coro<std::string> ask_by_socat(std::string address) {
    const TemporaryDirectory directory;
    const std::string output = directory / "output";
    Child client({"/bin/sh", "-c", "printf 'from socat' | socat -t 1 - \"$0\" > \"$1\"", address, output});
    const int status = co_await client.wait();
    CHECK(status == 0);
    std::ifstream file(output);
    co_return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

TEST_CASE("socat as the client of TCP, of a Unix socket with an abstract name, and of UDP") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Server tcp = co_await start_server(echo_stream, "127.0.0.1", 0);
        const int port = tcp.sockets().front().port();
        const std::string by_tcp = co_await ask_by_socat("TCP:127.0.0.1:" + std::to_string(port));
        CHECK(by_tcp == "from socat");
        tcp.close();
        co_await tcp.wait_closed();

        const std::string name = "weft-test-" + std::to_string(::getpid());
        Server local = co_await start_unix_server(echo_stream, std::string(1, '\0') + name);
        const std::string by_name = co_await ask_by_socat("ABSTRACT-CONNECT:" + name);
        CHECK(by_name == "from socat");
        local.close();
        co_await local.wait_closed();

        auto [udp, served] = co_await loop.create_datagram_endpoint(make_echo, on_loopback());
        const std::string by_udp = co_await ask_by_socat("UDP:127.0.0.1:" + std::to_string(udp->sockname()->port()));
        CHECK(by_udp == "from socat");
        udp->close();
    });
}

TEST_CASE("socat as the server of a Unix socket") {
    const TemporaryDirectory directory;
    const std::string path = directory / "socat";
    run_real([path]() -> Coro<> {
        Child server({"socat", "UNIX-LISTEN:" + path, "EXEC:cat"});
        // Until it listens.
        std::optional<std::pair<StreamReader, StreamWriter>> ends;
        while (!ends) {
            try {
                ends = co_await open_unix_connection(path);
            } catch (const OSError&) {}
            if (!ends) co_await sleep(2ms);
        }
        auto& [reader, writer] = *ends;
        const std::string back = co_await ask_for_echo(reader, writer, "through cat");
        CHECK(back == "through cat");
        writer.write_eof();
        const Bytes rest = co_await reader.read(-1);
        CHECK(rest.empty());
        writer.close();
        co_await writer.wait_closed();
        const int status = co_await server.wait();
        CHECK(status == 0);
    });
}
