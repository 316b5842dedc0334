#include <weft/backends/asio/socket.hpp>

#include <weft/io/descriptor.hpp>
#include <weft/io/sendfile.hpp>
#include <weft/io/socket_name.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

namespace weft::asio_backend {

namespace {

std::unique_ptr<const Address> kept(const Address& name) {
    const bool unnamed =
        name.family() == Family::unspecified || (name.family() == Family::local && name.path().empty());
    return unnamed ? nullptr : std::make_unique<const Address>(name);
}

}  // namespace

AsioStreamSocket::AsioStreamSocket(SocketContext& context, int descriptor, const Address& peer)
    : descriptor_(descriptor), context_(context), channel_(*this), peer_(kept(peer)) {
    context_.add_ref();
    const int on = 1;
    ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    // Each read then tells how much is left, and the end of the stream too. A Unix socket has no such thing.
    tells_rest_ = ::setsockopt(descriptor, IPPROTO_TCP, TCP_INQ, &on, sizeof on) == 0;
}

AsioStreamSocket::~AsioStreamSocket() {
    close();
    context_.release();
}

// Reading

void AsioStreamSocket::start_reading() {
    wants_data_ = true;
    if (closed_ || ended_) return;
    const bool event_will_tell = channel_.watch();
    if (!event_will_tell && !drained_) read_later();
}

void AsioStreamSocket::read_later() noexcept {
    if (read_queued_) return;
    read_queued_ = true;
    context_.queue(*this);
}

void AsioStreamSocket::take_event() {
    if (closed_ || !wants_data_) {
        drained_ = false;
    } else if (context_.is_reading()) {
        drained_ = false;
        read_later();
    } else if (!ended_) {
        receive(channel_.end_is_not_there());
    }
}

bool AsioStreamSocket::read_again() {
    read_queued_ = false;
    return wants_data_ && !closed_ && !ended_ && receive(false);
}

bool AsioStreamSocket::receive(bool end_is_not_there) {
    bool drained = false;
    const bool received = context_.receive(*this, end_is_not_there, drained);
    drained_ = drained && !(received && failed_);
    if (!received) {
        failed_ = false;
        if (!watch_again()) fail_watch(ENOMEM);
    } else if (context_.received() == 0) {
        ended_ = true;
    }
    return received;
}

/// False if there is no memory for it, where each watch is a wait.
bool AsioStreamSocket::watch_again() noexcept {
    try {
        channel_.watch();
        return true;
    } catch (...) {
        return false;
    }
}

void AsioStreamSocket::fail_watch(int error) {
    if (closed_ || ended_) return;
    ended_ = true;
    events_->on_read_error(std::error_code(error, std::system_category()));
}

void AsioStreamSocket::finish_read() {
    if (closed_) return;
    if (ended_) {
        if (const int error = context_.receive_error())
            events_->on_read_error(std::error_code(error, std::system_category()));
        else
            events_->on_end_of_stream();
        return;
    }
    bool watched = true;
    if (drained_)
        watched = watch_again();
    else
        read_later();
    events_->on_data(context_.data());
    if (!watched) fail_watch(ENOMEM);
}

// Writing

std::size_t AsioStreamSocket::write_some(std::span<const std::byte> data, std::error_code& error) noexcept {
    for (;;) {
        const ssize_t count = ::send(descriptor_, data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count >= 0) return static_cast<std::size_t>(count);
        if (errno == EINTR) continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK) error = io::last_error();
        return 0;
    }
}

std::size_t AsioStreamSocket::send_file(int file, std::uint64_t offset, std::size_t count,
                                        std::error_code& error) noexcept {
    return io::system_sendfile(descriptor_, file, offset, count, error);
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
    channel_.close();
}

namespace {

template <class Function>
std::optional<Address> name_of(int descriptor, Function function) {
    io::SocketName name;
    if (function(descriptor, name.data(), name.size_address()) != 0) return std::nullopt;
    return name.address();
}

}  // namespace

std::optional<Address> AsioStreamSocket::local_address() const {
    return name_of(descriptor_, ::getsockname);
}

std::optional<Address> AsioStreamSocket::remote_address() const {
    if (peer_) return *peer_;
    return name_of(descriptor_, ::getpeername);
}

}  // namespace weft::asio_backend
