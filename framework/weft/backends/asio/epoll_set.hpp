#pragma once
// The epoll set of Asio's reactor, for descriptors that have an operation of their own in it.
//
// To the reactor the pointer that comes with an event is a record of its own, whose base class is an operation: it
// stores the events there and queues it, and the scheduler completes it. So another operation may stand there: a
// descriptor then costs no record (176 bytes), no lock, and no operation of each wait. It uses private members of the
// version in Debian 12.

#include <weft/backends/asio/socket_context.hpp>

#ifdef WEFT_ASIO_EPOLL
#include <boost/asio/detail/scheduler_operation.hpp>

namespace weft::asio_backend {

using Operation = boost::asio::detail::scheduler_operation;

/// epoll_ctl(2). The operation is completed after each of the events, which are in its task_result_; it must not be
/// destroyed while there are any. 0, or the error.
int control_epoll(Reactor& reactor, int command, int descriptor, std::uint32_t events, Operation* operation) noexcept;

}  // namespace weft::asio_backend

#endif
