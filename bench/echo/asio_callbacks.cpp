// TCP echo on plain Boost.Asio with callbacks, written for speed: io_context(1), concrete executor types (no
// any_io_executor), one shared_ptr session per connection with its own aligned buffer.
//
//     asio_callbacks PORT      (0 = any; prints `port N`, runs until SIGTERM)

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
using boost::system::error_code;
using Executor = asio::io_context::executor_type;
using Socket = asio::basic_stream_socket<tcp, Executor>;
using Acceptor = asio::basic_socket_acceptor<tcp, Executor>;

class Session : public std::enable_shared_from_this<Session> {
public:
    // Not defaulted: std::make_shared would then clear the buffer, and touch all its pages.
    explicit Session(Socket socket) : socket_(std::move(socket)) {}

    void read() {
        socket_.async_read_some(asio::buffer(buffer_), [self = shared_from_this()](error_code error, std::size_t size) {
            if (!error) self->write(size);
        });
    }

private:
    void write(std::size_t size) {
        asio::async_write(socket_, asio::buffer(buffer_.data(), size),
                          [self = shared_from_this()](error_code error, std::size_t) {
                              if (!error) self->read();
                          });
    }

    Socket socket_;
    alignas(64) std::array<char, 64 * 1024> buffer_;
};

void accept(Acceptor& acceptor) {
    acceptor.async_accept([&acceptor](error_code error, Socket socket) {
        if (error && error != asio::error::connection_aborted) {
            std::fprintf(stderr, "accept: %s\n", error.message().c_str());
            std::exit(1);
        }
        if (!error) {
            socket.set_option(tcp::no_delay(true), error);
            std::make_shared<Session>(std::move(socket))->read();
        }
        accept(acceptor);
    });
}

}  // namespace

int main(int argc, char** argv) {
    const auto port = static_cast<unsigned short>(argc > 1 ? std::atoi(argv[1]) : 0);
    asio::io_context io(1);
    Acceptor acceptor(io, tcp::endpoint(asio::ip::address_v4::loopback(), port));
    std::printf("port %d\n", acceptor.local_endpoint().port());
    std::fflush(stdout);
    accept(acceptor);
    io.run();
}
