// TCP echo on plain Boost.Asio with coroutines, written for speed: io_context(1), concrete executor types (no
// any_io_executor), one coroutine per connection with its own aligned buffer.
//
//     asio_awaitable PORT      (0 = any; prints `port N`, runs until SIGTERM)

#include <boost/asio.hpp>

#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Executor = asio::io_context::executor_type;
using Socket = asio::basic_stream_socket<tcp, Executor>;
using Acceptor = asio::basic_socket_acceptor<tcp, Executor>;
using Awaitable = asio::awaitable<void, Executor>;

constexpr asio::use_awaitable_t<Executor> use_awaitable;

// On the heap: g++ 12 does not over-align coroutine frames.
struct alignas(64) Buffer {
    std::array<char, 64 * 1024> bytes;
};

Awaitable echo(Socket socket) {
    const auto buffer = std::make_unique_for_overwrite<Buffer>();
    try {
        while (true) {
            const std::size_t size = co_await socket.async_read_some(asio::buffer(buffer->bytes), use_awaitable);
            co_await asio::async_write(socket, asio::buffer(buffer->bytes.data(), size), use_awaitable);
        }
    } catch (const boost::system::system_error&) {
        // End of file or a reset: the connection is over.
    }
}

Awaitable serve(Acceptor& acceptor) {
    while (true) {
        Socket socket = co_await acceptor.async_accept(use_awaitable);
        boost::system::error_code ignored;
        socket.set_option(tcp::no_delay(true), ignored);
        asio::co_spawn(acceptor.get_executor(), echo(std::move(socket)), asio::detached);
    }
}

}  // namespace

int main(int argc, char** argv) {
    const auto port = static_cast<unsigned short>(argc > 1 ? std::atoi(argv[1]) : 0);
    asio::io_context io(1);
    Acceptor acceptor(io, tcp::endpoint(asio::ip::address_v4::loopback(), port));
    std::printf("port %d\n", acceptor.local_endpoint().port());
    std::fflush(stdout);
    asio::co_spawn(io.get_executor(), serve(acceptor), [](std::exception_ptr error) {
        if (error) std::rethrow_exception(error);
    });
    io.run();
}
