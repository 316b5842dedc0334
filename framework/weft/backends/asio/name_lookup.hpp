#pragma once
// NameLookup: getaddrinfo(3) and getnameinfo(3) on a small pool of threads of their own.

#include <weft/io/resolver.hpp>
#include <weft/services/executor.hpp>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace weft::asio_backend {

class NameLookup {
public:
    Coro<std::vector<AddrInfo>> getaddrinfo(EventLoop& loop, std::string host, std::string service,
                                            AddrInfoHints hints);
    Coro<std::pair<std::string, std::string>> getnameinfo(EventLoop& loop, Address address, int flags);
    /// Look-ups that have not begun never do; those that have are left to end by themselves.
    void close() noexcept;

private:
    ThreadPoolExecutor& threads();
    std::unique_ptr<ThreadPoolExecutor> threads_;  // made by the first look-up
};

}  // namespace weft::asio_backend
