#pragma once
// WakeUp: ends a poll from another thread, without an allocation and without failing.
//
// With epoll it is an eventfd(2) in the loop's set, whose event is all that is needed. Asio's own way is to post a
// handler, under its scheduler's lock: the thread that wakes up is likely to find it held. The select reactor waits on
// unless an operation completes, so there one is queued, as it is. Where Asio's internals are not known it is a posted
// handler after all.

#include <weft/backends/asio/epoll_set.hpp>
#include <weft/backends/asio/socket_context.hpp>
#include <weft/io/descriptor.hpp>

#include <memory>

namespace weft::asio_backend {

#ifdef WEFT_ASIO_EPOLL

class WakeUp : private EpollEntry {
public:
    /// The context outlives it.
    explicit WakeUp(SocketContext& context);
    WakeUp(const WakeUp&) = delete;
    WakeUp& operator=(const WakeUp&) = delete;
    ~WakeUp() { set_.remove(event_.get(), *this); }
    /// Any thread.
    void post() noexcept;

private:
    void handle_events(std::uint32_t) override {}

    EpollSet& set_;
    const io::OwnedDescriptor event_;
};

#elif defined(WEFT_ASIO_INTERNALS)

class WakeUp {
public:
    explicit WakeUp(SocketContext& context);
    void post() noexcept;

private:
    class Operation;
    /// If it is still queued when its backend ends, it frees itself when its turn comes.
    struct Retire {
        void operator()(Operation* operation) const noexcept;
    };
    std::unique_ptr<Operation, Retire> operation_;
};

#else

class WakeUp {
public:
    explicit WakeUp(SocketContext& context) : context_(context.io) {}
    void post() noexcept;

private:
    IoContext& context_;
};

#endif

}  // namespace weft::asio_backend
