#include <weft/backends/asio/set_watch.hpp>

#ifdef WEFT_ASIO_EPOLL

#include <weft/backends/asio/network.hpp>
#include <weft/loop/event_loop.hpp>

#include <boost/asio/posix/stream_descriptor.hpp>

#include <fcntl.h>

namespace weft::asio_backend {

/// The handler holds it, and may come after the watch.
class SetWatch::State {
public:
    State(IoContext& io, EventLoop& loop, EpollSet& set) : loop(loop), set(&set), descriptor(io) {}
    void handle_events() {
        waiting = false;
        if (set && detail::running_loop == &loop) set->handle_all();
    }

    EventLoop& loop;
    EpollSet* set;  // null once the watch is gone
    boost::asio::posix::stream_descriptor descriptor;
    bool waiting = false;
};

SetWatch::SetWatch(IoContext& io, EventLoop& loop, EpollSet& set) : state_(std::make_shared<State>(io, loop, set)) {
    // Asio closes what it has.
    io::OwnedDescriptor copy(io::check_call(::fcntl(set.native_handle(), F_DUPFD_CLOEXEC, 0), "epoll"));
    boost::system::error_code error;
    state_->descriptor.assign(copy.get(), error);
    if (error) throw_os_error(to_std(error), "cannot watch an epoll set");
    copy.take();
}

SetWatch::~SetWatch() {
    state_->set = nullptr;
    boost::system::error_code ignored;
    state_->descriptor.close(ignored);
}

void SetWatch::wait() {
    if (state_->waiting) return;
    state_->descriptor.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                                  [state = state_](const boost::system::error_code&) { state->handle_events(); });
    state_->waiting = true;
}

}  // namespace weft::asio_backend

#endif
