#pragma once
// WakeUp: ends a poll from another thread, without an allocation and without failing.
//
// Asio's own way is to post a handler, under its scheduler's lock: the thread that wakes up is likely to find it held.
// With the epoll reactor this is a descriptor of an eventfd(2) instead, whose event is all that is needed. The select
// reactor waits on unless an operation completes, so there one is queued, as it is. Where Asio's internals are not
// known it is a posted handler after all.

#include <weft/backends/asio/socket_context.hpp>
#include <weft/io/descriptor.hpp>

#include <memory>

namespace weft::asio_backend {

#ifdef WEFT_ASIO_EPOLL

class WakeUp {
public:
    explicit WakeUp(IoContext& context);
    WakeUp(const WakeUp&) = delete;
    WakeUp& operator=(const WakeUp&) = delete;
    ~WakeUp();
    /// Any thread.
    void post() noexcept;

private:
    Reactor& reactor_;
    io::OwnedDescriptor event_;
    Reactor::per_descriptor_data registration_{};
};

#elif defined(WEFT_ASIO_INTERNALS)

class WakeUp {
public:
    explicit WakeUp(IoContext& context);
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
    explicit WakeUp(IoContext& context) : context_(context) {}
    void post() noexcept;

private:
    IoContext& context_;
};

#endif

}  // namespace weft::asio_backend
