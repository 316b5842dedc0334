#include <weft/backends/asio/name_lookup.hpp>

#include <weft/base/constants.hpp>
#include <weft/base/exceptions.hpp>
#include <weft/io/socket_name.hpp>

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace weft::asio_backend {

namespace {

class GaiCategory final : public std::error_category {
public:
    const char* name() const noexcept override { return "getaddrinfo"; }
    std::string message(int code) const override { return ::gai_strerror(code); }
};

std::error_code gai_code(int code) noexcept {
    static const GaiCategory category;
    return code == EAI_SYSTEM ? std::error_code(errno, std::system_category()) : std::error_code(code, category);
}

int kind_number(SocketKind kind) noexcept {
    switch (kind) {
    case SocketKind::stream: return SOCK_STREAM;
    case SocketKind::datagram: return SOCK_DGRAM;
    case SocketKind::any: break;
    }
    return 0;
}

std::vector<AddrInfo> look_up(const std::string& host, const std::string& service, const AddrInfoHints& hints) {
    addrinfo wanted{};
    wanted.ai_family = io::system_family(hints.family());
    wanted.ai_socktype = kind_number(hints.kind());
    wanted.ai_protocol = hints.protocol();
    wanted.ai_flags = hints.flags();
    addrinfo* answer = nullptr;
    const int error = ::getaddrinfo(host.empty() ? nullptr : host.c_str(), service.empty() ? nullptr : service.c_str(),
                                    &wanted, &answer);
    if (error != 0) throw GaiError(gai_code(error), "getaddrinfo '" + host + "'");
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(answer, &::freeaddrinfo);
    std::vector<AddrInfo> found;
    for (const addrinfo* entry = answer; entry; entry = entry->ai_next) {
        const bool stream = entry->ai_socktype == SOCK_STREAM;
        if (!stream && entry->ai_socktype != SOCK_DGRAM) continue;  // raw sockets are not for here
        const Address address = io::SocketName::read(entry->ai_addr, entry->ai_addrlen);
        if (address.family() == Family::unspecified) continue;
        found.emplace_back(address, stream ? SocketKind::stream : SocketKind::datagram, entry->ai_protocol,
                           entry->ai_canonname ? entry->ai_canonname : "");
    }
    return found;
}

std::pair<std::string, std::string> look_up_address(const Address& address, int flags) {
    const io::SocketName system(address);
    char host[NI_MAXHOST] = "";
    char service[NI_MAXSERV] = "";
    const int error = ::getnameinfo(system.data(), system.size(), host, sizeof host, service, sizeof service, flags);
    if (error != 0) throw GaiError(gai_code(error), "getnameinfo " + address.to_string());
    return {host, service};
}

}  // namespace

ThreadPoolExecutor& NameLookup::threads() {
    if (!threads_) threads_ = std::make_unique<ThreadPoolExecutor>(constants::resolver_threads, "weft-resolver");
    return *threads_;
}

Coro<std::vector<AddrInfo>> NameLookup::getaddrinfo(EventLoop& loop, std::string host, std::string service,
                                                    AddrInfoHints hints) {
    const bool debug = loop.get_debug();
    const std::string what = debug ? "'" + host + ":" + service + "'" : std::string();
    const TimePoint begin = loop.time();
    Future<std::vector<AddrInfo>> found =
        loop.run_in_executor(&threads(), &look_up, std::move(host), std::move(service), hints);
    std::vector<AddrInfo> addresses = co_await std::move(found);
    const std::chrono::duration<double, std::milli> taken = loop.time() - begin;
    if (debug && taken >= loop.slow_callback_duration)
        loop.log("Getting address info " + what + " took " + std::to_string(taken.count()) + " ms");
    co_return std::move(addresses);
}

Coro<std::pair<std::string, std::string>> NameLookup::getnameinfo(EventLoop& loop, Address address, int flags) {
    auto found = loop.run_in_executor(&threads(), &look_up_address, std::move(address), flags);
    co_return co_await std::move(found);
}

void NameLookup::close() noexcept {
    try {
        if (threads_) threads_->shutdown(false, true);
    } catch (...) {
        // No memory to leave the threads to themselves: the pool waits for them now.
    }
    threads_ = nullptr;
}

}  // namespace weft::asio_backend
