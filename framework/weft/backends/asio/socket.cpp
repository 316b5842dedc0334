#include <weft/backends/asio/socket.hpp>

#include <weft/base/constants.hpp>
#include <weft/base/prefetch.hpp>
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
    ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // a Unix socket has no such thing
}

AsioStreamSocket::~AsioStreamSocket() {
    close();
    context_.release();
}

// Reading

void AsioStreamSocket::start_reading() {
    wants_data_ = true;
    if (!closed_ && !ended_) channel_.watch();
}

void AsioStreamSocket::prefetch(int step) const noexcept {
    if (step == 0)
        detail::prefetch(events_, io::SocketEvents::size_hint);
    else if (events_)
        events_->prefetch();
}

ssize_t AsioStreamSocket::receive(std::span<std::byte> space) noexcept {
    ssize_t count;
    do {
        count = ::recv(descriptor_, space.data(), space.size(), MSG_DONTWAIT);
    } while (count < 0 && errno == EINTR);
    return count;
}

void AsioStreamSocket::take_event() {
    if (closed_ || ended_ || !wants_data_) {
        channel_.stop_watching();
        return;
    }
    std::span<std::byte> space = events_->read_space();
    const bool in_place = !space.empty();
    if (!in_place) space = {context_.buffer(), constants::read_buffer_size};
    if (!space.data()) {
        fail(ENOMEM);
        return;
    }
    const ssize_t count = receive(space);
    const int error = count < 0 ? errno : 0;
    channel_.note_read(error != EAGAIN && error != EWOULDBLOCK);
    if (count > 0) {
        const auto size = static_cast<std::size_t>(count);
        deliver(space.first(size));
        if (in_place && size == space.size() && size < constants::stream_read_in_place_max) take_rest();
        return;
    }
    if (in_place) events_->on_data(space.first(0));
    if (count == 0) {
        ended_ = true;
        events_->on_end_of_stream();
    } else if (error == EAGAIN || error == EWOULDBLOCK) {
        deliver({});
    } else {
        fail(error);
    }
}

/// What there was no room for comes with what there was: a message is not cut because the ones before were smaller.
void AsioStreamSocket::take_rest() {
    if (closed_ || !wants_data_ || !context_.buffer()) return;
    const ssize_t count = receive({context_.buffer(), constants::read_buffer_size});
    // The end of the stream is told again by the next event; an error is told once.
    if (count > 0)
        events_->on_data({context_.buffer(), static_cast<std::size_t>(count)});
    else if (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
        fail(errno);
}

/// Waits for more first: what is called back may throw through the loop.
void AsioStreamSocket::deliver(std::span<const std::byte> data) {
    bool watched = true;
    try {
        channel_.watch();
    } catch (...) {
        watched = false;  // no memory for it, where each watch is a wait
    }
    if (!data.empty()) events_->on_data(data);
    if (!watched && !closed_) fail(ENOMEM);
}

void AsioStreamSocket::fail(int error) {
    ended_ = true;
    events_->on_read_error(std::error_code(error, std::system_category()));
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
