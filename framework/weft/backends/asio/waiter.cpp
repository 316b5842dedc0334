#include <weft/backends/asio/waiter.hpp>

#ifdef WEFT_ASIO_EPOLL

#include <weft/base/exceptions.hpp>

#include <boost/asio/error.hpp>

#include <unistd.h>

#include <cerrno>

namespace weft::asio_backend {

namespace {

constexpr std::uint32_t failures = EPOLLERR | EPOLLHUP;
constexpr std::array<std::uint32_t, 2> event_of{EPOLLIN, EPOLLOUT};  // by Wait

}  // namespace

boost::system::error_code Waiter::assign(int descriptor) noexcept {
    const int error = set_.add(descriptor, EPOLLONESHOT, *this);
    cannot_be_watched_ = error == EPERM;
    if (error != 0 && !cannot_be_watched_) return {error, boost::system::system_category()};
    descriptor_ = descriptor;
    return {};
}

int Waiter::release() noexcept {
    if (is_open()) set_.remove(descriptor_, *this);
    return std::exchange(descriptor_, -1);
}

void Waiter::async_wait(Wait kind, Handler handler) {
    if (!is_open()) throw_os_error(std::make_error_code(std::errc::bad_file_descriptor), "cannot watch descriptor");
    if (cannot_be_watched_) set_.note(*this, event_of[static_cast<std::size_t>(kind)]);
    Handler& place = handlers_[static_cast<std::size_t>(kind)];
    place = std::move(handler);
    if (cannot_be_watched_) return;
    if (const int error = watch()) {
        place = nullptr;
        throw_os_error(std::error_code(error, std::system_category()), "cannot watch descriptor");
    }
}

int Waiter::watch() noexcept {
    std::uint32_t events = EPOLLONESHOT;
    for (std::size_t kind = 0; kind < handlers_.size(); ++kind)
        if (handlers_[kind]) events |= event_of[kind];
    return set_.change(descriptor_, events, *this);
}

void Waiter::handle_events(std::uint32_t events) {
    // Who waits for room first: it waits again only when there is none, while a reading end may stay readable.
    for (std::size_t kind : {std::size_t{1}, std::size_t{0}}) {
        if (!handlers_[kind] || (events & (event_of[kind] | failures)) == 0) continue;
        Handler handler = std::exchange(handlers_[kind], nullptr);
        boost::system::error_code error;
        if (cannot_be_watched_)
            error = boost::asio::error::operation_not_supported;
        else if (handlers_[1 - kind])
            watch();  // what the other waits for is told by the next poll
        handler(error);
        return;
    }
}

void Waiter::close() noexcept {
    if (!is_open()) return;
    const std::array<Handler, 2> dropped = std::move(handlers_);
    ::close(release());
}

}  // namespace weft::asio_backend

#endif
