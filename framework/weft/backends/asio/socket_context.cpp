#include <weft/backends/asio/socket_context.hpp>

#include <weft/backends/asio/datagram_socket.hpp>
#include <weft/backends/asio/socket.hpp>
#include <weft/base/constants.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

namespace weft::asio_backend {

namespace {

constexpr std::align_val_t buffer_alignment{constants::read_buffer_alignment};

/// Neither data nor the end of the stream nor an error is there. Cheaper than the read that would find nothing, which
/// has to wait for its turn and for one more poll of the reactor.
bool is_quiet(int descriptor) noexcept {
    pollfd state{descriptor, POLLIN | POLLRDHUP, 0};
    return ::poll(&state, 1, 0) == 0;
}

}  // namespace

#ifdef WEFT_ASIO_EPOLL
SocketContext::SocketContext(IoContext& io)
    : io(io), reactor(boost::asio::use_service<Reactor>(io)), scheduler(boost::asio::use_service<Scheduler>(io)) {
    reactor.init_task();
}
#else
SocketContext::SocketContext(IoContext& io) : io(io) {}
#endif

SocketContext::~SocketContext() {
    ::operator delete(buffer_, buffer_alignment);
}

std::byte* SocketContext::buffer() noexcept {
    if (!buffer_)
        buffer_ = static_cast<std::byte*>(::operator new(constants::read_buffer_size, buffer_alignment, std::nothrow));
    return buffer_;
}

bool SocketContext::receive(AsioStreamSocket& socket, bool end_is_not_there, bool& drained) noexcept {
    drained = false;
    count_ = 0;
    ssize_t count = -1;
    iovec vector{buffer(), constants::read_buffer_size};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    // Elsewhere there is no room for it: a Unix socket's peer could send descriptors, which would stay here for ever.
    message.msg_control = socket.tells_rest() ? control : nullptr;
    message.msg_controllen = socket.tells_rest() ? sizeof control : 0;
    errno = ENOMEM;
    if (buffer_) {
        do {
            count = ::recvmsg(socket.native_handle(), &message, MSG_DONTWAIT);
        } while (count < 0 && errno == EINTR);
    }
    error_ = count < 0 ? errno : 0;
    if (error_ == EAGAIN || error_ == EWOULDBLOCK) {
        drained = true;
        return false;
    }
    reader_ = detail::Ref<AsioStreamSocket>(&socket);
    if (count <= 0) return true;
    count_ = static_cast<std::size_t>(count);
    if (!socket.tells_rest()) {
        // Behind what came with descriptors, which were dropped, the system has ended the read before its time.
        const bool emptied = count_ < constants::read_buffer_size && (message.msg_flags & MSG_CTRUNC) == 0;
        drained = emptied && (end_is_not_there || is_quiet(socket.native_handle()));
        return true;
    }
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == IPPROTO_TCP && header->cmsg_type == TCP_CM_INQ) {
        int left = 0;
        std::memcpy(&left, CMSG_DATA(header), sizeof left);
        drained = left == 0;
    }
    return true;
}

void SocketContext::deliver_read() {
    const auto socket = std::exchange(reader_, nullptr);
    socket->finish_read();
}

void SocketContext::queue(AsioStreamSocket& socket) noexcept {
    socket.add_ref();
    socket.next_queued = nullptr;
    (last_queued_ ? last_queued_->next_queued : first_queued_) = &socket;
    last_queued_ = &socket;
}

detail::Ref<AsioStreamSocket> SocketContext::take_queued() noexcept {
    AsioStreamSocket* socket = first_queued_;
    first_queued_ = socket->next_queued;
    if (!first_queued_) last_queued_ = nullptr;
    return detail::Ref<AsioStreamSocket>::adopt(socket);
}

bool SocketContext::read_all_queued() {
    // Those that are queued meanwhile come next time.
    const AsioStreamSocket* last = last_queued_;
    bool delivered = false;
    for (bool more = true; more && first_queued_;) {
        const auto socket = take_queued();
        more = socket.get() != last;
        if (!socket->read_again()) continue;
        delivered = true;
        deliver();
    }
    return delivered;
}

void SocketContext::note_ready(AsioDatagramSocket& socket) noexcept {
    socket.add_ref();
    socket.next_ready = nullptr;
    (last_ready_ ? last_ready_->next_ready : first_ready_) = &socket;
    last_ready_ = &socket;
}

detail::Ref<AsioDatagramSocket> SocketContext::take_ready() noexcept {
    AsioDatagramSocket* socket = first_ready_;
    first_ready_ = socket->next_ready;
    if (!first_ready_) last_ready_ = nullptr;
    return detail::Ref<AsioDatagramSocket>::adopt(socket);
}

bool SocketContext::deliver_datagrams() {
    // Those that have more than their share come again next time.
    const AsioDatagramSocket* last = last_ready_;
    bool delivered = false;
    for (bool more = true; more && first_ready_;) {
        const auto socket = take_ready();
        more = socket.get() != last;
        delivered |= socket->receive_some();
    }
    return delivered;
}

void SocketContext::clear() noexcept {
    while (first_ready_)
        take_ready();
    while (first_queued_)
        take_queued();
}

}  // namespace weft::asio_backend
