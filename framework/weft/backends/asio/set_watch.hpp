#pragma once
// SetWatch: an EpollSet as a descriptor of an io_context. Where the io_context has handlers that are not Weft's, the
// loop waits in Asio's reactor, and there for its own set.

#include <weft/backends/asio/epoll_set.hpp>

#ifdef WEFT_ASIO_EPOLL
#include <memory>

namespace weft::asio_backend {

class SetWatch {
public:
    /// The set outlives this. Throws the typed OS error.
    SetWatch(IoContext& io, EpollSet& set);
    SetWatch(const SetWatch&) = delete;
    SetWatch& operator=(const SetWatch&) = delete;
    ~SetWatch();
    /// Who runs the io_context next handles the set's events as soon as there are any.
    void wait();

private:
    class State;
    std::shared_ptr<State> state_;
};

}  // namespace weft::asio_backend

#endif
