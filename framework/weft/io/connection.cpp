#include <weft/io/connection.hpp>

#include <weft/io/socket_transport.hpp>

#include <algorithm>

namespace weft::io {

namespace {

/// One error as it is, also when all say the same; else one OSError that lists them.
[[noreturn]] void throw_combined(const std::vector<std::exception_ptr>& errors) {
    std::vector<std::string> texts;
    for (const auto& error : errors)
        texts.push_back(describe_exception(error));
    if (std::all_of(texts.begin(), texts.end(), [&texts](const std::string& text) { return text == texts.front(); }))
        std::rethrow_exception(errors.front());
    std::string all = "Multiple exceptions: ";
    for (std::size_t i = 0; i < texts.size(); ++i)
        all += (i ? ", " : "") + texts[i];
    std::error_code code = std::make_error_code(std::errc::io_error);
    try {
        std::rethrow_exception(errors.front());
    } catch (const OSError& error) {
        code = error.code();
    } catch (...) {}
    throw OSError(code, all);
}

}  // namespace

Coro<SocketRef> adopt_connected(int descriptor) {
    if (descriptor < 0)
        throw ValueError("file descriptor cannot be a negative integer (" + std::to_string(descriptor) + ")");
    co_return get_running_loop().backend().network().adopt_stream(descriptor);
}

Coro<SocketRef> connect_any(std::string host, int port, ConnectionOptions options) {
    if (options.sock() >= 0) {
        if (!host.empty() || port != 0) throw ValueError("host/port and sock can not be specified at the same time");
        co_return co_await adopt_connected(options.sock());
    }
    const std::vector<Address> addresses = co_await resolve_all(std::move(host), port, options.family(), false);
    Network& network = get_running_loop().backend().network();
    std::vector<std::exception_ptr> errors;
    for (const Address& address : addresses) {
        const auto& local = options.local_addr();
        if (local && local->family() != address.family()) continue;
        try {
            co_return co_await network.connect(address, local);
        } catch (const OSError&) {
            errors.push_back(std::current_exception());
        }
    }
    if (errors.empty())
        throw OSError(std::make_error_code(std::errc::address_family_not_supported),
                      "no matching local address found for the peer's addresses");
    throw_combined(errors);
}

Coro<std::shared_ptr<Transport>> open_transport(SocketGuard& socket, std::shared_ptr<BaseProtocol> protocol) {
    EventLoop& loop = get_running_loop();
    Future<> ready = loop.create_future<void>();
    std::shared_ptr<SocketTransport> transport =
        SocketTransport::open(loop, socket.take(), std::move(protocol), nullptr, [ready]() mutable {
            if (!ready.done()) ready.set_result();
        });
    std::exception_ptr cancelled;
    try {
        co_await ready;
    } catch (const CancelledError&) {
        cancelled = std::current_exception();
    }
    if (cancelled) {
        transport->close();
        std::rethrow_exception(cancelled);
    }
    co_return std::move(transport);
}

}  // namespace weft::io
