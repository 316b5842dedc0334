#include <weft/backends/asio/socket.hpp>

#include <weft/base/constants.hpp>

#include <boost/asio/post.hpp>
#include <boost/asio/socket_base.hpp>

#include <sys/socket.h>

#include <cerrno>

namespace weft::asio_backend {

namespace asio = boost::asio;

namespace {

/// A dummy for Asio's look at the size of a buffer that is not there yet.
std::byte no_buffer[1];

}  // namespace

class AsioStreamSocket::Kept {
public:
    Bytes data;
    bool ended = false;
    std::error_code error;
};

/// A buffer sequence that finds its memory when Asio makes the system call. (Asio's reactive sockets ask the sequence
/// then; its io_uring sockets ask when the operation is made.)
class AsioStreamSocket::LateBuffer {
public:
    explicit LateBuffer(AsioStreamSocket& socket) noexcept : socket_(&socket) {}
    using value_type = asio::mutable_buffer;
    using const_iterator = const asio::mutable_buffer*;
    const_iterator begin() const {
        buffer_ = socket_->lend();
        return &buffer_;
    }
    const_iterator end() const { return &buffer_ + 1; }

private:
    AsioStreamSocket* socket_;
    mutable asio::mutable_buffer buffer_;
};

class AsioStreamSocket::ReadDone {
public:
    explicit ReadDone(detail::Ref<AsioStreamSocket> socket) noexcept : socket_(std::move(socket)) {}
    using allocator_type = detail::PoolAllocator<void*>;
    allocator_type get_allocator() const noexcept { return {}; }
    void operator()(const boost::system::error_code& error, std::size_t count = 0) { socket_->read_done(error, count); }

private:
    detail::Ref<AsioStreamSocket> socket_;
};

AsioStreamSocket::AsioStreamSocket(TcpSocket socket, std::shared_ptr<ReadBuffers> buffers) noexcept
    : socket_(std::move(socket)), buffers_(std::move(buffers)) {}

AsioStreamSocket::~AsioStreamSocket() {
    give_back();
}

// Reading

asio::mutable_buffer AsioStreamSocket::lend() {
    if (starting_) {
        starting_ = false;
        return asio::mutable_buffer(no_buffer, sizeof no_buffer);
    }
    if (!lent_) lent_ = buffers_->borrow();
    return asio::mutable_buffer(lent_, constants::read_buffer_size);
}

void AsioStreamSocket::give_back() noexcept {
    if (lent_) buffers_->give_back(std::exchange(lent_, nullptr));
}

void AsioStreamSocket::start_reading() {
    wants_data_ = true;
    if (closed_ || delivering_) return;
    if (kept_) {
        // Not from inside the caller: it may be in the middle of something.
        delivering_ = true;
        asio::post(socket_.get_executor(), [self = detail::Ref<AsioStreamSocket>(this)] { self->deliver_kept(); });
    } else if (!reading_ && !ended_) {
        read();
    }
}

#ifdef BOOST_ASIO_HAS_IO_URING_AS_DEFAULT

/// io_uring would pin a buffer for as long as it waits: wait for readiness instead, and then read.
void AsioStreamSocket::read() {
    reading_ = true;
    socket_.async_wait(asio::socket_base::wait_read, ReadDone(detail::Ref<AsioStreamSocket>(this)));
}

void AsioStreamSocket::read_done(const boost::system::error_code& error, std::size_t) {
    reading_ = false;
    if (closed_) return;
    if (error) {
        deliver_end(to_std(error));
        return;
    }
    if (!lent_) lent_ = buffers_->borrow();
    const ssize_t count = ::recv(native_handle(), lent_, constants::read_buffer_size, MSG_DONTWAIT);
    if (count > 0) {
        deliver({lent_, static_cast<std::size_t>(count)});
        give_back();
    } else {
        give_back();
        if (count == 0) {
            deliver_end({});
            return;
        }
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
            deliver_end(std::error_code(errno, std::system_category()));
            return;
        }
    }
    if (wants_data_ && !closed_ && !reading_) read();
}

#else

void AsioStreamSocket::read() {
    reading_ = true;
    starting_ = true;
    errno = 0;
    socket_.async_read_some(LateBuffer(*this), ReadDone(detail::Ref<AsioStreamSocket>(this)));
    starting_ = false;
    // Asio may have tried to read at once. If there was nothing the buffer is free again; if there was something, it
    // stays borrowed until the completion delivers it.
    if (errno == EAGAIN || errno == EWOULDBLOCK) give_back();
}

void AsioStreamSocket::read_done(const boost::system::error_code& error, std::size_t count) {
    reading_ = false;
    if (closed_) {
        give_back();
        return;
    }
    if (error) {
        give_back();
        deliver_end(error == asio::error::eof ? std::error_code() : to_std(error));
        return;
    }
    deliver({lent_, count});
    give_back();
    if (wants_data_ && !closed_ && !reading_) read();
}

#endif

void AsioStreamSocket::deliver(std::span<const std::byte> data) {
    if (wants_data_ && !kept_) {
        events_->on_data(data);
        return;
    }
    if (!kept_) kept_ = std::make_unique<Kept>();
    kept_->data.append(data);
}

void AsioStreamSocket::deliver_end(std::error_code error) {
    ended_ = true;
    if (!wants_data_ || kept_) {
        if (!kept_) kept_ = std::make_unique<Kept>();
        kept_->ended = true;
        kept_->error = error;
    } else if (error) {
        events_->on_read_error(error);
    } else {
        events_->on_end_of_stream();
    }
}

void AsioStreamSocket::deliver_kept() {
    delivering_ = false;
    if (closed_ || !wants_data_ || !kept_) return;
    const std::unique_ptr<Kept> kept = std::move(kept_);
    if (!kept->data.empty()) events_->on_data(kept->data.span());
    if (closed_) return;
    if (kept->ended) {
        deliver_end(kept->error);
    } else if (wants_data_ && !reading_) {
        read();
    }
}

// Writing

std::size_t AsioStreamSocket::write_some(std::span<const std::byte> data, std::error_code& error) noexcept {
    for (;;) {
        const ssize_t count = ::send(native_handle(), data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count >= 0) return static_cast<std::size_t>(count);
        if (errno == EINTR) continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK) error = std::error_code(errno, std::system_category());
        return 0;
    }
}

void AsioStreamSocket::wait_writable() {
    socket_.async_wait(asio::socket_base::wait_write,
                       [self = detail::Ref<AsioStreamSocket>(this)](const boost::system::error_code&) {
                           // After an error the next write says which.
                           if (!self->closed_) self->events_->on_writable();
                       });
}

void AsioStreamSocket::shutdown_write() noexcept {
    boost::system::error_code ignored;  // the peer may be gone, which reading will tell
    socket_.shutdown(asio::socket_base::shutdown_send, ignored);
}

void AsioStreamSocket::close() noexcept {
    if (closed_) return;
    closed_ = true;
    wants_data_ = false;
    kept_ = nullptr;
    boost::system::error_code ignored;  // the descriptor is gone in any case
    socket_.close(ignored);
}

std::optional<Address> AsioStreamSocket::local_address() const {
    boost::system::error_code error;
    const auto endpoint = socket_.local_endpoint(error);
    if (error) return std::nullopt;
    return to_address(endpoint);
}

std::optional<Address> AsioStreamSocket::remote_address() const {
    boost::system::error_code error;
    const auto endpoint = socket_.remote_endpoint(error);
    if (error) return std::nullopt;
    return to_address(endpoint);
}

}  // namespace weft::asio_backend
