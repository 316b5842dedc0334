#pragma once
// Waiter: a descriptor that is waited for, an event at a time; reading and writing are system calls of its owner's.
//
// With epoll it is an entry of the loop's set, else an Asio descriptor, except with io_uring: Boost 1.81's frees its
// record of a descriptor that is closed even if a wait is still in it, and who gets the record next never hears of
// anything. So with io_uring and that version Waiter has the record itself, by Asio's internal interface, and keeps it
// until the last wait has ended.

#include <weft/backends/asio/socket_context.hpp>

#ifdef WEFT_ASIO_EPOLL
#include <weft/backends/asio/epoll_set.hpp>
#include <weft/base/unique_function.hpp>

#include <array>
#else
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#endif

#if defined(WEFT_ASIO_INTERNALS) && defined(BOOST_ASIO_HAS_IO_URING_AS_DEFAULT)
#define WEFT_ASIO_URING_WAITER 1
#include <boost/asio/detail/io_uring_service.hpp>
#include <boost/asio/detail/io_uring_wait_op.hpp>

#include <poll.h>
#include <unistd.h>
#endif

#include <cstdint>
#include <utility>

namespace weft::asio_backend {

enum class Wait : std::uint8_t { read, write };

#ifdef WEFT_ASIO_EPOLL

class Waiter : private EpollEntry {
public:
    using Handler = UniqueFunction<void(const boost::system::error_code&)>;

    /// The context outlives it.
    explicit Waiter(SocketContext& context) noexcept : set_(context.events) {}
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;
    ~Waiter() { close(); }

    /// Unless it fails the descriptor is owned. What cannot be watched, as a file, is taken, too.
    boost::system::error_code assign(int descriptor) noexcept;
    int release() noexcept;
    bool is_open() const noexcept { return descriptor_ >= 0; }
    int native_handle() const noexcept { return descriptor_; }

    /// At most one of each kind at a time. The handler, called with an error_code, may hold whatever this is part of;
    /// of what cannot be watched the error is operation_not_supported.
    void async_wait(Wait kind, Handler handler);
    /// What waits is not called any more (Asio's descriptors tell it operation_aborted, soon); the handlers are
    /// destroyed last.
    void close() noexcept;

private:
    void handle_events(std::uint32_t events) override;
    /// The set tells of the next event that somebody waits for.
    int watch() noexcept;

    EpollSet& set_;
    int descriptor_ = -1;
    bool cannot_be_watched_ = false;
    std::array<Handler, 2> handlers_;  // by Wait
};

#elif defined(WEFT_ASIO_URING_WAITER)

class Waiter {
public:
    /// The context outlives it.
    explicit Waiter(SocketContext& context)
        : context_(context),
          io_(context.io),
          service_(boost::asio::use_service<boost::asio::detail::io_uring_service>(context.io)) {
        service_.init_task();
    }
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;
    ~Waiter() {
        close();
        give_record_back();
    }

    /// Unless it fails the descriptor is owned.
    boost::system::error_code assign(int descriptor) {
        service_.register_io_object(record_);
        descriptor_ = descriptor;
        return {};
    }
    int release() noexcept { return std::exchange(descriptor_, -1); }
    bool is_open() const noexcept { return descriptor_ >= 0; }
    int native_handle() const noexcept { return descriptor_; }

    /// At most one of each kind at a time. The handler, called with an error_code, holds whatever this is part of.
    template <class Handler>
    void async_wait(Wait kind, Handler handler) {
        using Service = boost::asio::detail::io_uring_service;
        auto ended = [this, handler = std::move(handler)](const boost::system::error_code& error) mutable {
            --waits_;
            if (!is_open()) give_record_back();
            context_.call(std::move(handler), error);
        };
        using Operation = boost::asio::detail::io_uring_wait_op<decltype(ended), IoContext::executor_type>;
        typename Operation::ptr owned = {std::addressof(ended), Operation::ptr::allocate(ended), nullptr};
        owned.p = new (owned.v) Operation(boost::system::error_code(), descriptor_,
                                          kind == Wait::read ? POLLIN : POLLOUT, ended, io_.get_executor());
        service_.start_op(kind == Wait::read ? Service::read_op : Service::write_op, record_, owned.p, false);
        owned.v = owned.p = nullptr;
        ++waits_;
    }
    /// Waits end by themselves, soon.
    void close() noexcept {
        if (!is_open()) return;
        if (waits_ > 0) service_.cancel_ops(record_);
        ::close(release());
        give_record_back();
    }

private:
    void give_record_back() noexcept {
        if (waits_ > 0 || !record_) return;
        service_.deregister_io_object(record_);
        service_.cleanup_io_object(record_);
    }

    SocketContext& context_;
    IoContext& io_;
    boost::asio::detail::io_uring_service& service_;
    boost::asio::detail::io_uring_service::per_io_object_data record_{};
    int descriptor_ = -1;
    unsigned waits_ = 0;
};

#else

class Waiter {
public:
    /// The context outlives it.
    explicit Waiter(SocketContext& context) : context_(context), descriptor_(context.io) {}

    /// Unless it fails the descriptor is owned.
    boost::system::error_code assign(int descriptor) {
        boost::system::error_code error;
        descriptor_.assign(descriptor, error);
        return error;
    }
    int release() { return descriptor_.release(); }
    bool is_open() const noexcept { return descriptor_.is_open(); }
    int native_handle() { return descriptor_.native_handle(); }

    /// At most one of each kind at a time. The handler, called with an error_code, holds whatever this is part of.
    template <class Handler>
    void async_wait(Wait kind, Handler handler) {
        auto ended = [context = &context_, handler = std::move(handler)](
                         const boost::system::error_code& error) mutable { context->call(std::move(handler), error); };
        descriptor_.async_wait(kind == Wait::read ? Descriptor::wait_read : Descriptor::wait_write, std::move(ended));
    }
    /// Waits end by themselves, soon.
    void close() noexcept {
        boost::system::error_code ignored;  // the descriptor is gone in any case
        descriptor_.close(ignored);
    }

private:
    using Descriptor = boost::asio::posix::basic_stream_descriptor<IoContext::executor_type>;
    SocketContext& context_;
    Descriptor descriptor_;
};

#endif

}  // namespace weft::asio_backend
