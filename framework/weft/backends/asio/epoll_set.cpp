#include <weft/backends/asio/epoll_set.hpp>

#ifdef WEFT_ASIO_EPOLL

#include <sys/epoll.h>

#include <cerrno>

namespace weft::asio_backend {

// An explicit instantiation may name what is private.
namespace exposed {

template <class Tag, typename Tag::Member Pointer>
struct Expose {
    friend typename Tag::Member member(Tag) noexcept { return Pointer; }
};
struct EpollFd {
    using Member = int Reactor::*;
    friend Member member(EpollFd) noexcept;
};
template struct Expose<EpollFd, &Reactor::epoll_fd_>;

}  // namespace exposed

int control_epoll(Reactor& reactor, int command, int descriptor, std::uint32_t events, Operation* operation) noexcept {
    epoll_event event{};
    event.events = events;
    event.data.ptr = operation;
    return ::epoll_ctl(reactor.*member(exposed::EpollFd()), command, descriptor, &event) == 0 ? 0 : errno;
}

}  // namespace weft::asio_backend

#endif
