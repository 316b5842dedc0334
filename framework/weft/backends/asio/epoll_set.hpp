#pragma once
// Half-closes of Unix sockets, and errors of all, told by epoll's events.
//
// A read that gets less than it asked for has emptied the socket, and what comes later is another event; but the end of
// the stream may have come with the data, in the same event. Asio asks epoll for no EPOLLRDHUP and hands events to
// nobody, so without this each message costs a system call that asks. TCP has TCP_INQ. It uses private members of the
// version in Debian 12.

#include <weft/backends/asio/socket_context.hpp>

#if defined(WEFT_ASIO_REACTOR_CHANNEL) && defined(BOOST_ASIO_HAS_EPOLL)
#define WEFT_ASIO_HANG_UP 1

namespace weft::asio_backend {

using DescriptorState = boost::asio::detail::epoll_reactor::per_descriptor_data;

/// From now on the events of a registered descriptor tell of half-closes; false if the system does not want to.
bool watch_hang_up(boost::asio::detail::epoll_reactor& reactor, int descriptor, DescriptorState state) noexcept;
/// While an event is handled: the peer has ended its direction, or the whole connection.
bool saw_hang_up(DescriptorState state) noexcept;
/// The same of errors and the end of both directions, which every descriptor's events tell.
bool saw_failure(DescriptorState state) noexcept;

}  // namespace weft::asio_backend

#endif
