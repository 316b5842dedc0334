#include <weft/backends/asio/socket_context.hpp>

#include <weft/backends/asio/epoll_set.hpp>
#include <weft/base/constants.hpp>

#include <new>

namespace weft::asio_backend {

namespace {

constexpr std::align_val_t buffer_alignment{constants::read_buffer_alignment};

}  // namespace

#ifdef WEFT_ASIO_EPOLL
SocketContext::SocketContext(IoContext& io) : io(io), events_(std::make_unique<EpollSet>()), events(*events_) {}
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

}  // namespace weft::asio_backend
