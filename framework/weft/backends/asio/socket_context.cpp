#include <weft/backends/asio/socket_context.hpp>

#include <weft/backends/asio/epoll_set.hpp>
#include <weft/base/constants.hpp>
#include <weft/loop/event_loop.hpp>

#include <new>

namespace weft::asio_backend {

namespace {

constexpr std::align_val_t buffer_alignment{constants::read_buffer_alignment};

}  // namespace

#ifdef WEFT_ASIO_EPOLL
SocketContext::SocketContext(IoContext& io) : io(io), events_(std::make_unique<EpollSet>()), events(*events_) {}
#else
SocketContext::SocketContext(IoContext& io) : io(io) {}

bool SocketContext::loop_rests() const noexcept {
    return loop_ && !loop_->is_running();
}

void SocketContext::set_loop(EventLoop* loop) noexcept {
    loop_ = loop;
    if (!loop) const auto dropped = std::move(late_);
}

bool SocketContext::call_late() {
    const std::size_t count = late_.size();
    for (std::size_t i = 0; i < count && !late_.empty(); ++i) {
        // What it throws leaves the others where they are.
        UniqueFunction<void()> next = std::move(late_.front());
        late_.erase(late_.begin());
        next();
    }
    return count > 0;
}
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
