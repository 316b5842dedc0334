#include <weft/io/unix.hpp>

namespace weft {

namespace io {

namespace {

/// True if the socket is given instead of a path.
bool uses_given_socket(const std::string& path, int descriptor) {
    if (descriptor >= 0) {
        if (!path.empty()) throw ValueError("path and sock can not be specified at the same time");
        return true;
    }
    if (path.empty()) throw ValueError("no path and sock were specified");
    return false;
}

}  // namespace

Coro<SocketRef> connect_path(std::string path, ConnectionOptions options) {
    if (uses_given_socket(path, options.sock())) co_return co_await adopt_connected(options.sock());
    if (options.local_addr() && options.local_addr()->family() != Family::local)
        throw ValueError("the local address of a Unix socket is a path, not " + options.local_addr()->to_string());
    Address address = Address::local(std::move(path));
    co_return co_await get_running_loop().backend().network().connect(std::move(address), options.local_addr());
}

Coro<Server> make_unix_server(ProtocolFactory factory, std::string path, ServerOptions options) {
    EventLoop& loop = get_running_loop();
    const bool given = uses_given_socket(path, options.sock());
    ListenOptions listen = listen_options(options);
    listen.cleanup_socket = options.cleanup_socket();
    auto state = detail::Ref<ServerState>::adopt(new ServerState(loop, std::move(factory)));
    if (given) {
        state->adopt(options.sock(), listen);
    } else {
        const std::vector<Address> addresses(1, Address::local(std::move(path)));
        state->listen(addresses, listen);
    }
    co_await begin_serving(state, options.start_serving());
    co_return Server(std::move(state));
}

Coro<Server> start_unix_stream_server(std::shared_ptr<StreamState::Connected> connected, std::string path,
                                      ServerOptions options) {
    ProtocolFactory factory = stream_factory(get_running_loop(), options.limit(), std::move(connected));
    co_return co_await make_unix_server(std::move(factory), std::move(path), options);
}

}  // namespace io

Coro<std::pair<StreamReader, StreamWriter>> open_unix_connection(std::string path, ConnectionOptions options) {
    const std::size_t limit = options.limit();
    return io::open_stream(limit, io::connect_path(std::move(path), std::move(options)));
}

}  // namespace weft
