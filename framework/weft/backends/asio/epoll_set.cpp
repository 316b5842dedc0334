#include <weft/backends/asio/hang_up.hpp>

#ifdef WEFT_ASIO_HANG_UP

#include <sys/epoll.h>

namespace weft::asio_backend {

namespace {

using Reactor = boost::asio::detail::epoll_reactor;
using State = Reactor::descriptor_state;
using Operation = boost::asio::detail::scheduler_operation;

}  // namespace

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
struct RegisteredEvents {
    using Member = std::uint32_t State::*;
    friend Member member(RegisteredEvents) noexcept;
};
struct Events {
    using Member = unsigned int Operation::*;
    friend Member member(Events) noexcept;
};
template struct Expose<EpollFd, &Reactor::epoll_fd_>;
template struct Expose<RegisteredEvents, &State::registered_events_>;
template struct Expose<Events, &Operation::task_result_>;

}  // namespace exposed

bool watch_hang_up(Reactor& reactor, int descriptor, DescriptorState state) noexcept {
    std::uint32_t& registered = state->*member(exposed::RegisteredEvents());
    epoll_event event{};
    event.events = registered | EPOLLRDHUP;
    event.data.ptr = state;
    if (::epoll_ctl(reactor.*member(exposed::EpollFd()), EPOLL_CTL_MOD, descriptor, &event) != 0) return false;
    registered = event.events;
    return true;
}

namespace {

unsigned int events(DescriptorState state) noexcept {
    // (A cast of this kind may use the private base.)
    const auto* operation = (const Operation*)state;
    return operation->*member(exposed::Events());
}

}  // namespace

bool saw_hang_up(DescriptorState state) noexcept {
    return (events(state) & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
}

bool saw_failure(DescriptorState state) noexcept {
    return (events(state) & (EPOLLHUP | EPOLLERR)) != 0;
}

}  // namespace weft::asio_backend

#endif
