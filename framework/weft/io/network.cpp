#include <weft/io/network.hpp>

namespace weft::io {

namespace {

[[noreturn]] void throw_unsupported(const char* what) {
    throw RuntimeError(std::string("this event loop's backend has no ") + what);
}

}  // namespace

std::size_t StreamSocket::send_file(int, std::uint64_t, std::size_t, std::error_code& error) noexcept {
    error = std::make_error_code(std::errc::operation_not_supported);
    return 0;
}

DatagramRef Network::open_datagram(const std::optional<Address>&, const std::optional<Address>&,
                                   const DatagramSocketOptions&) {
    throw_unsupported("datagram sockets");
}

SocketRef Network::adopt_stream(int) {
    throw_unsupported("sockets of the system");
}

DatagramRef Network::adopt_datagram(int) {
    throw_unsupported("sockets of the system");
}

std::unique_ptr<Listener> Network::adopt_listener(int, const ListenOptions&, ListenerEvents&) {
    throw_unsupported("sockets of the system");
}

SocketRef Network::adopt_pipe(int, PipeEnd) {
    throw_unsupported("pipes of the system");
}

}  // namespace weft::io
