#include <weft/backends/asio/socket.hpp>

#include <weft/base/constants.hpp>

#include <boost/asio/post.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <new>

namespace weft::asio_backend {

namespace asio = boost::asio;

class AsioStreamSocket::Kept {
public:
    Bytes data;
    bool ended = false;
    std::error_code error;
};

AsioStreamSocket::AsioStreamSocket(SocketContext& context, int descriptor)
    : context_(context), descriptor_(descriptor), channel_(context.io, descriptor, *this) {
    context_.add_ref();
    const int on = 1;
    ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    // Each read then tells how much is left, and the end of the stream too; without it reads go on until EAGAIN.
    ::setsockopt(descriptor, IPPROTO_TCP, TCP_INQ, &on, sizeof on);
}

AsioStreamSocket::~AsioStreamSocket() {
    give_back();
    close();
    context_.release();
}

// Reading

void AsioStreamSocket::give_back() noexcept {
    if (lent_) context_.buffers.give_back(std::exchange(lent_, nullptr));
}

void AsioStreamSocket::start_reading() {
    wants_data_ = true;
    if (closed_ || delivering_) return;
    if (kept_) {
        // Not from inside the caller: it may be in the middle of something.
        delivering_ = true;
        asio::post(context_.io, [self = detail::Ref<AsioStreamSocket>(this)] { self->deliver_kept(); });
    } else if (!waiting_ && !rearm_queued_ && !ended_) {
        wait_read();
    }
}

void AsioStreamSocket::wait_read() {
    waiting_ = true;
    starting_ = true;
    channel_.wait_read();
    starting_ = false;
}

bool AsioStreamSocket::perform_read() noexcept {
    // Asio tries at once when a wait begins. Nothing can be there if the last read took all and a write has succeeded
    // since, so that the connection had not failed either: what comes later is a new event, and no event was taken
    // meanwhile, because the reactor has not run.
    if (starting_) {
        if (std::exchange(event_will_tell_, false)) return false;
        if (drained_ && wrote_since_read_ && read_epoch_ == context_.epoch) return false;
    }
    read_epoch_ = context_.epoch;
    if (!lent_) {
        lent_ = context_.buffers.borrow();
        if (!lent_) {
            read_error_ = ENOMEM;
            return true;
        }
    }
    iovec vector{lent_, constants::read_buffer_size};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    ssize_t count;
    do {
        count = ::recvmsg(descriptor_, &message, MSG_DONTWAIT);
    } while (count < 0 && errno == EINTR);
    drained_ = false;
    wrote_since_read_ = false;
    if (count < 0) {
        read_error_ = errno;
        read_count_ = 0;
        give_back();
        return read_error_ != EAGAIN && read_error_ != EWOULDBLOCK;
    }
    read_error_ = 0;
    read_count_ = static_cast<std::size_t>(count);
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == IPPROTO_TCP && header->cmsg_type == TCP_CM_INQ) {
        int left = 0;
        std::memcpy(&left, CMSG_DATA(header), sizeof left);
        drained_ = left == 0;
    }
    return true;
}

void AsioStreamSocket::finish_read() {
    waiting_ = false;
    if (closed_) {
        give_back();
        return;
    }
    if (read_error_ != 0 || read_count_ == 0) {
        give_back();
        deliver_end(std::error_code(read_error_, std::system_category()));
        return;
    }
    // A protocol that pauses and resumes inside on_data must not start a read into the buffer it still looks at.
    const bool was_delivering = std::exchange(delivering_, true);
    deliver({lent_, read_count_});
    delivering_ = was_delivering;
    give_back();
    if (!wants_data_ || closed_ || waiting_ || rearm_queued_) return;
    // At the next poll: by then an answer may have been written.
    rearm_queued_ = true;
    context_.rearm.push_back(detail::Ref<AsioStreamSocket>(this));
}

void AsioStreamSocket::try_read() {
    if (closed_ || perform_read())
        finish_read();
    else
        wait_read();
}

void AsioStreamSocket::rearm() {
    rearm_queued_ = false;
    if (wants_data_ && !closed_ && !ended_ && !waiting_ && !kept_) wait_read();
}

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
    if (kept->ended)
        deliver_end(kept->error);
    else if (wants_data_ && !waiting_ && !rearm_queued_)
        wait_read();
}

// Writing

std::size_t AsioStreamSocket::write_some(std::span<const std::byte> data, std::error_code& error) noexcept {
    for (;;) {
        const ssize_t count = ::send(descriptor_, data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count >= 0) {
            wrote_since_read_ = true;
            return static_cast<std::size_t>(count);
        }
        if (errno == EINTR) continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK) error = std::error_code(errno, std::system_category());
        return 0;
    }
}

void AsioStreamSocket::write_ready() {
    // After an error the next write says which.
    if (!closed_) events_->on_writable();
}

void AsioStreamSocket::shutdown_write() noexcept {
    ::shutdown(descriptor_, SHUT_WR);  // the peer may be gone, which reading will tell
}

void AsioStreamSocket::close() noexcept {
    if (closed_) return;
    closed_ = true;
    wants_data_ = false;
    kept_ = nullptr;
    channel_.close();
}

namespace {

template <class Function>
std::optional<Address> name_of(int descriptor, Function function) {
    asio::ip::tcp::endpoint endpoint;
    socklen_t size = static_cast<socklen_t>(endpoint.capacity());
    if (function(descriptor, endpoint.data(), &size) != 0) return std::nullopt;
    endpoint.resize(size);
    return to_address(endpoint);
}

}  // namespace

std::optional<Address> AsioStreamSocket::local_address() const {
    return name_of(descriptor_, ::getsockname);
}

std::optional<Address> AsioStreamSocket::remote_address() const {
    return name_of(descriptor_, ::getpeername);
}

}  // namespace weft::asio_backend
