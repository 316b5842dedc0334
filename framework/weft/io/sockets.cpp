#include <weft/io/sockets.hpp>

#include <weft/base/constants.hpp>
#include <weft/io/descriptor.hpp>
#include <weft/io/network.hpp>
#include <weft/io/registry.hpp>
#include <weft/io/server.hpp>
#include <weft/io/socket_name.hpp>
#include <weft/tasks/sleep.hpp>

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <set>

namespace weft {

namespace io {

namespace {

/// Which waits there are: a second one for the same event would never be woken.
class DescriptorWaits final : public Service {
public:
    static DescriptorWaits& of(EventLoop& loop) {
        if (auto* waits = loop.find_service<DescriptorWaits>()) return *waits;
        return loop.add_service<DescriptorWaits>();
    }
    std::string_view name() const noexcept override { return "sockets by descriptor"; }
    std::set<std::pair<int, FdEvent>> waits;
};

}  // namespace

void DescriptorWait::start(detail::PromiseBase& promise) {
    const auto key = std::make_pair(fd_, event_);
    auto& waits = DescriptorWaits::of(loop_).waits;
    const bool reads = event_ == FdEvent::readable;
    if (!waits.insert(key).second)
        throw RuntimeError("another coroutine waits to " + std::string(reads ? "read from" : "write to") +
                           " descriptor " + std::to_string(fd_));
    try {
        auto ready = [this] {
            unwatch();
            wake();
        };
        if (reads)
            loop_.add_reader(fd_, ready);
        else
            loop_.add_writer(fd_, ready);
    } catch (...) {
        waits.erase(key);
        throw;
    }
    suspend(promise);
}

void DescriptorWait::unwatch() noexcept {
    if (auto* waits = loop_.find_service<DescriptorWaits>()) waits->waits.erase({fd_, event_});
    if (event_ == FdEvent::readable)
        loop_.remove_reader(fd_);
    else
        loop_.remove_writer(fd_);
}

void check_socket(EventLoop& loop, int fd) {
    if (!loop.backend().network().has_descriptors())
        throw RuntimeError("this event loop's backend has no sockets of the system");
    if (fd < 0) throw ValueError("file descriptor cannot be a negative integer (" + std::to_string(fd) + ")");
    IoRegistry::of(loop).check_descriptor_free(fd);
    if (!loop.get_debug()) return;
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags >= 0 && (flags & O_NONBLOCK) == 0) throw ValueError("the socket must be non-blocking");
}

namespace {

bool must_wait() noexcept {
    return errno == EAGAIN || errno == EWOULDBLOCK;
}

/// Repeats a system call that gives -1 until it has ended in one way or the other.
template <class Call>
Coro<std::size_t> complete(EventLoop& loop, int fd, FdEvent event, const char* what, Call call) {
    for (;;) {
        const ssize_t result = call();
        if (result >= 0) co_return static_cast<std::size_t>(result);
        if (errno == EINTR) continue;
        if (!must_wait()) throw_os_error(last_error(), what);
        co_await DescriptorWait(loop, fd, event);
    }
}

/// Bytes of `count` where the system writes; they are not there while it has nothing to write.
class Room {
public:
    explicit Room(std::size_t count) noexcept : count_(count) {}
    Bytes& bytes() {
        bytes_.resize(count_);
        return bytes_;
    }
    void forget() noexcept { bytes_.clear(); }
    Bytes take(std::size_t received) {
        if (received < count_ / 2) return Bytes(bytes_.span().first(received));
        bytes_.resize(received);
        return std::move(bytes_);
    }

private:
    const std::size_t count_;
    Bytes bytes_;
};

}  // namespace

}  // namespace io

// Receiving

Coro<Bytes> EventLoop::sock_recv(int fd, std::size_t count) {
    io::check_socket(*this, fd);
    io::Room room(count);
    auto call = [fd, count, &room] {
        const ssize_t result = ::recv(fd, room.bytes().data(), count, MSG_DONTWAIT);
        if (result < 0) room.forget();
        return result;
    };
    const std::size_t received = co_await io::complete(*this, fd, FdEvent::readable, "recv", call);
    co_return room.take(received);
}

Coro<std::size_t> EventLoop::sock_recv_into(int fd, std::span<std::byte> buffer) {
    io::check_socket(*this, fd);
    auto call = [fd, buffer] { return ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT); };
    co_return co_await io::complete(*this, fd, FdEvent::readable, "recv", call);
}

Coro<std::pair<std::size_t, Address>> EventLoop::sock_recvfrom_into(int fd, std::span<std::byte> buffer) {
    io::check_socket(*this, fd);
    io::SocketName name;
    auto call = [fd, buffer, &name] {
        name.reset();
        return ::recvfrom(fd, buffer.data(), buffer.size(), MSG_DONTWAIT, name.data(), name.size_address());
    };
    const std::size_t received = co_await io::complete(*this, fd, FdEvent::readable, "recvfrom", call);
    co_return std::pair(received, name.address());
}

Coro<std::pair<Bytes, Address>> EventLoop::sock_recvfrom(int fd, std::size_t count) {
    io::check_socket(*this, fd);
    io::SocketName name;
    io::Room room(count);
    auto call = [fd, count, &name, &room] {
        name.reset();
        const ssize_t result =
            ::recvfrom(fd, room.bytes().data(), count, MSG_DONTWAIT, name.data(), name.size_address());
        if (result < 0) room.forget();
        return result;
    };
    const std::size_t received = co_await io::complete(*this, fd, FdEvent::readable, "recvfrom", call);
    co_return std::pair(room.take(received), name.address());
}

// Sending

Coro<void> EventLoop::sock_sendall(int fd, std::span<const std::byte> data) {
    io::check_socket(*this, fd);
    while (!data.empty()) {
        auto call = [fd, data] { return ::send(fd, data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL); };
        const std::size_t sent = co_await io::complete(*this, fd, FdEvent::writable, "send", call);
        data = data.subspan(sent);
    }
}
Coro<void> EventLoop::sock_sendall(int fd, std::string_view text) {
    return sock_sendall(fd, as_byte_span(text));
}

Coro<std::size_t> EventLoop::sock_sendto(int fd, std::span<const std::byte> data, Address address) {
    io::check_socket(*this, fd);
    const io::SocketName name(address);
    auto call = [fd, data, &name] {
        return ::sendto(fd, data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL, name.data(), name.size());
    };
    co_return co_await io::complete(*this, fd, FdEvent::writable, "sendto", call);
}
Coro<std::size_t> EventLoop::sock_sendto(int fd, std::string_view text, Address address) {
    return sock_sendto(fd, as_byte_span(text), std::move(address));
}

// Connecting

Coro<void> EventLoop::sock_connect(int fd, Address address) {
    io::check_socket(*this, fd);
    const io::SocketName name(address);
    const std::string what = "Connect call failed " + address.to_string();
    auto pause = constants::local_connect_first_pause;
    while (::connect(fd, name.data(), name.size()) != 0) {
        if (errno == EAGAIN && address.family() == Family::local) {
            // The listener's queue is full, and the system does not tell when there is room.
            co_await sleep(pause);
            pause = std::min(pause * 2, constants::local_connect_last_pause);
            continue;
        }
        // Interrupted, it goes on by itself.
        if (errno != EINPROGRESS && errno != EINTR) throw_os_error(io::last_error(), what);
        co_await io::DescriptorWait(*this, fd, FdEvent::writable);
        int error = 0;
        socklen_t size = sizeof error;
        if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
        if (error != 0) throw_os_error(std::error_code(error, std::system_category()), what);
        co_return;
    }
}

Coro<std::pair<int, Address>> EventLoop::sock_accept(int fd) {
    io::check_socket(*this, fd);
    io::SocketName name;
    auto call = [fd, &name] {
        int accepted;
        do {
            name.reset();
            accepted = ::accept4(fd, name.data(), name.size_address(), SOCK_NONBLOCK | SOCK_CLOEXEC);
        } while (accepted < 0 && errno == ECONNABORTED);  // it went before it was taken
        return static_cast<ssize_t>(accepted);
    };
    const std::size_t accepted = co_await io::complete(*this, fd, FdEvent::readable, "accept", call);
    co_return std::pair(static_cast<int>(accepted), name.address());
}

}  // namespace weft
