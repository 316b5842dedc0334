#pragma once
// SetWatch: an EpollSet as a descriptor of an io_context. Where the io_context has handlers that are not Weft's, the
// loop waits in Asio's reactor, and there for its own set.

#include <weft/backends/asio/epoll_set.hpp>

#ifdef WEFT_ASIO_EPOLL
#include <memory>

namespace weft {
class EventLoop;
}

namespace weft::asio_backend {

class SetWatch {
public:
    /// The set and the loop outlive this. Throws what the system or Asio says.
    SetWatch(IoContext& io, EventLoop& loop, EpollSet& set);
    SetWatch(const SetWatch&) = delete;
    SetWatch& operator=(const SetWatch&) = delete;
    ~SetWatch();
    /// As soon as there are events the io_context handles them, if the loop runs then; else the next wait() tells of
    /// them again.
    void wait();

private:
    class State;
    std::shared_ptr<State> state_;
};

}  // namespace weft::asio_backend

#endif
