#include <weft/io/connection.hpp>

#include <weft/io/descriptor.hpp>
#include <weft/io/resolver.hpp>
#include <weft/io/socket_name.hpp>
#include <weft/io/socket_transport.hpp>
#include <weft/io/tls_layer.hpp>
#include <weft/tasks/shield.hpp>
#include <weft/tasks/wait.hpp>

#include <algorithm>
#include <iterator>

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

/// Unless somebody has cancelled it.
void settle(Future<>& future, const std::exception_ptr& error) {
    if (future.done()) return;
    if (error)
        future.set_exception(error);
    else
        future.set_result();
}

/// `first` addresses of the first family, then the families by turns; each family keeps its order.
std::vector<Address> interleaved(std::vector<Address> addresses, std::size_t first) {
    if (first == 0) return addresses;
    std::vector<Address> same;
    std::vector<Address> other;
    for (Address& address : addresses) {
        auto& family = same.empty() || address.family() == same.front().family() ? same : other;
        family.push_back(std::move(address));
    }
    std::vector<Address> order;
    std::size_t taken = std::min(first - 1, same.size());
    std::move(same.begin(), same.begin() + static_cast<std::ptrdiff_t>(taken), std::back_inserter(order));
    for (std::size_t i = 0; taken < same.size() || i < other.size(); ++i) {
        if (taken < same.size()) order.push_back(std::move(same[taken++]));
        if (i < other.size()) order.push_back(std::move(other[i]));
    }
    return order;
}

/// Attempts to connect that overlap (asyncio's staggered_race): the first to succeed ends the others.
class Race {
public:
    Race(const std::vector<Address>& addresses, const std::optional<Address>& local, Duration delay)
        : addresses_(addresses), local_(local), delay_(delay) {}

    /// The winner's socket, or null if none succeeds. What was started must be ended by settle().
    Coro<SocketRef> run() {
        EventLoop& loop = get_running_loop();
        while (true) {
            if (attempts_.size() < addresses_.size() &&
                (attempts_.empty() || last_has_failed() || loop.time() >= next_)) {
                start(loop);
                continue;
            }
            std::vector<Task<SocketRef>> running;
            for (const Task<SocketRef>& attempt : attempts_)
                if (!attempt.done()) running.push_back(attempt);
            if (running.empty()) co_return nullptr;
            WaitOptions options;
            options.return_when(ReturnWhen::first_completed);
            if (attempts_.size() < addresses_.size()) options.timeout(next_ - loop.time());
            (void)co_await wait(running, options);
            for (const Task<SocketRef>& attempt : attempts_)
                if (succeeded(attempt)) co_return attempt.result();
        }
    }
    /// Cancels what still runs, waits for it, and closes each socket but the winner's; adds the errors in the order of
    /// the attempts.
    Coro<> settle(SocketRef winner, std::vector<std::exception_ptr>& errors) {
        for (Task<SocketRef>& attempt : attempts_)
            attempt.cancel();
        for (Task<SocketRef>& attempt : attempts_) {
            while (!attempt.done()) {
                std::vector<Task<SocketRef>> one;
                one.push_back(attempt);
                (void)co_await wait(one);
            }
            if (succeeded(attempt)) {
                if (attempt.result() != winner) attempt.result()->close();
            } else if (!attempt.cancelled()) {
                errors.push_back(attempt.exception());
            }
        }
    }

private:
    static bool succeeded(const Task<SocketRef>& attempt) {
        return attempt.done() && !attempt.cancelled() && !attempt.exception();
    }
    bool last_has_failed() const { return attempts_.back().done(); }
    void start(EventLoop& loop) {
        attempts_.push_back(loop.create_task(loop.backend().network().connect(addresses_[attempts_.size()], local_)));
        next_ = loop.after(delay_);
    }

    const std::vector<Address>& addresses_;
    const std::optional<Address>& local_;
    const Duration delay_;
    std::vector<Task<SocketRef>> attempts_;
    TimePoint next_{};
};

Coro<SocketRef> race(const std::vector<Address>& addresses, const std::optional<Address>& local, Duration delay,
                     std::vector<std::exception_ptr>& errors) {
    Race race(addresses, local, delay);
    SocketRef winner;
    std::exception_ptr ended;
    try {
        winner = co_await race.run();
    } catch (...) {
        ended = std::current_exception();
    }
    Task<> settling = create_task(race.settle(winner, errors));
    while (!settling.done()) {
        // A cancellation meanwhile waits until the attempts have ended: they are this coroutine's.
        try {
            co_await shield(settling);
        } catch (const CancelledError&) {
            ended = std::current_exception();
        }
    }
    if (ended) {
        if (winner) winner->close();
        std::rethrow_exception(ended);
    }
    if (!winner) {
        for (const std::exception_ptr& error : errors)
            if (!detail::holds<OSError>(error)) std::rethrow_exception(error);
    }
    co_return std::move(winner);
}

}  // namespace

Coro<SocketRef> connect_any(std::string host, int port, ConnectionOptions options) {
    if (options.sock()) {
        if (!host.empty() || port != 0) throw ValueError("host/port and sock can not be specified at the same time");
        co_return get_running_loop().backend().network().adopt_stream(*options.sock());
    }
    if (host.empty()) throw ValueError("host and port was not specified and no sock specified");
    AddrInfoHints hints;
    hints.family(options.family()).kind(SocketKind::stream);
    std::vector<Address> addresses = co_await resolve(std::move(host), checked_port(port), hints);
    if (const auto& local = options.local_addr())
        std::erase_if(addresses, [&local](const Address& address) { return address.family() != local->family(); });
    if (addresses.empty())
        throw OSError(std::make_error_code(std::errc::address_family_not_supported),
                      "no matching local address found for the peer's addresses");
    addresses = interleaved(std::move(addresses), options.interleave());
    std::vector<std::exception_ptr> errors;
    if (options.happy_eyeballs_delay()) {
        if (SocketRef socket = co_await race(addresses, options.local_addr(), *options.happy_eyeballs_delay(), errors))
            co_return std::move(socket);
    } else {
        Network& network = get_running_loop().backend().network();
        for (const Address& address : addresses) {
            try {
                co_return co_await network.connect(address, options.local_addr());
            } catch (const OSError&) {
                errors.push_back(std::current_exception());
            }
        }
    }
    if (options.all_errors()) throw ExceptionGroup("create_connection failed", std::move(errors));
    throw_combined(errors);
}

void check_unix_socket(int fd) {
    SocketName name;
    if (::getsockname(fd, name.data(), name.size_address()) != 0)
        throw_os_error(last_error(), "file descriptor " + std::to_string(fd));
    if (name.data()->sa_family != AF_UNIX)
        throw ValueError("a Unix socket was expected: file descriptor " + std::to_string(fd));
}

Coro<SocketRef> connect_unix(std::string path, ConnectionOptions options) {
    if (path.empty() == !options.sock())
        throw ValueError(path.empty() ? "no path and sock were specified"
                                      : "path and sock can not be specified at the same time");
    options.check_unix();
    Network& network = get_running_loop().backend().network();
    if (options.sock()) {
        check_unix_socket(*options.sock());
        co_return network.adopt_stream(*options.sock());
    }
    if (options.local_addr() && options.local_addr()->family() != Family::local)
        throw ValueError("the local address of a Unix socket is a path, not " + options.local_addr()->to_string());
    co_return co_await network.connect(Address::local(std::move(path)), options.local_addr());
}

Coro<SocketRef> adopt_accepted(int fd) {
    co_return get_running_loop().backend().network().adopt_stream(fd);
}

std::optional<TlsParameters> tls_parameters(const ConnectionOptions& options, const std::optional<std::string>& host) {
    const std::optional<std::string>& name = options.server_hostname();
    options.check_tls();
    if (!options.tls()) {
        if (name) throw ValueError("server_hostname is only meaningful with tls");
        return std::nullopt;
    }
    TlsParameters tls;
    tls.context = options.tls();
    tls.server_side = !host;
    if (host) tls.server_hostname = name.value_or(*host);
    if (host && !name && host->empty()) throw ValueError("You must set server_hostname when using tls without a host");
    tls.handshake_timeout = options.tls_handshake_timeout();
    tls.shutdown_timeout = options.tls_shutdown_timeout();
    check_tls_parameters(tls);
    return tls;
}

Coro<std::shared_ptr<Transport>> open_transport(SocketGuard& socket, std::shared_ptr<BaseProtocol> protocol,
                                                std::optional<TlsParameters> tls) {
    EventLoop& loop = get_running_loop();
    Future<> ready = loop.create_future<void>();
    std::shared_ptr<Transport> transport;
    if (tls) {
        auto layer = TlsLayer::make(loop, std::move(protocol), std::move(*tls), true,
                                    [ready](const std::exception_ptr& error) mutable { settle(ready, error); });
        transport = layer;
        try {
            (void)SocketTransport::open(loop, socket.take(), layer, nullptr, nullptr);
        } catch (...) {
            layer->abandon();
            throw;
        }
    } else {
        transport = SocketTransport::open(loop, socket.take(), std::move(protocol), nullptr,
                                          [ready]() mutable { settle(ready, nullptr); });
    }
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
