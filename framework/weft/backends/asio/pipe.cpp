#include <weft/backends/asio/pipe.hpp>

#include <weft/backends/asio/network.hpp>
#include <weft/backends/asio/waiter.hpp>
#include <weft/base/exceptions.hpp>
#include <weft/io/descriptor.hpp>
#include <weft/io/no_sigpipe.hpp>

#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>

namespace weft::asio_backend {

namespace asio = boost::asio;

namespace {

/// write(2) without the signal that a pipe without a reader sends.
ssize_t write_without_signal(int fd, const void* data, std::size_t size) noexcept {
    io::NoSigpipe no_signal;
    const ssize_t count = ::write(fd, data, size);
    if (count < 0 && errno == EPIPE) no_signal.consume();
    return count;
}

constexpr std::size_t read_size = 64 * 1024;
constexpr int reads_per_event = 4;

class AsioPipe final : public io::StreamSocket, public detail::Pooled {
public:
    AsioPipe(SocketContext& context, int fd, io::PipeEnd end)
        : context_(&context), descriptor_(context), fd_(fd), end_(end), type_(type_of(fd)) {
        if (const auto error = descriptor_.assign(fd)) {
            closed_ = true;
            throw_os_error(to_std(error), "cannot watch file descriptor " + std::to_string(fd));
        }
    }

    void start_reading() override {
        wanted_ = true;
        // A device has no readers that could go: that a terminal is readable means that somebody has typed.
        if (end_ == io::PipeEnd::writing && type_ == Type::device) return;
        wait_read();
    }
    void stop_reading() noexcept override { wanted_ = false; }
    std::size_t write_some(std::span<const std::byte> data, std::error_code& error) noexcept override {
        for (;;) {
            const ssize_t count = write_without_signal(fd_, data.data(), data.size());
            if (count >= 0) return static_cast<std::size_t>(count);
            if (errno == EINTR) continue;
            if (errno != EAGAIN && errno != EWOULDBLOCK) error = io::last_error();
            return 0;
        }
    }
    void wait_writable() override {
        descriptor_.async_wait(Wait::write, [self = detail::Ref<AsioPipe>(this)](const boost::system::error_code&) {
            if (!self->closed_) self->events_->on_writable();
        });
    }
    void shutdown_write() noexcept override {}  // it ends by closing
    void close() noexcept override {
        if (closed_) return;
        closed_ = true;
        wanted_ = false;
        descriptor_.close();
    }
    std::optional<Address> local_address() const override { return std::nullopt; }
    std::optional<Address> remote_address() const override { return std::nullopt; }
    int native_handle() const noexcept override { return fd_; }
    bool is_pipe() const noexcept override { return true; }

private:
    ~AsioPipe() override { close(); }

    enum class Type : std::uint8_t { fifo, socket, device };
    static Type type_of(int fd) noexcept {
        struct stat status{};
        if (::fstat(fd, &status) != 0 || S_ISFIFO(status.st_mode)) return Type::fifo;
        return S_ISSOCK(status.st_mode) ? Type::socket : Type::device;
    }

    /// A writing end becomes readable when nobody reads the other end any more.
    void wait_read() {
        if (waiting_ || closed_ || ended_) return;
        descriptor_.async_wait(Wait::read,
                               [self = detail::Ref<AsioPipe>(this)](const boost::system::error_code& error) {
                                   self->waiting_ = false;
                                   detail::run_guarded([&] { self->readable(error); },
                                                       [&](const std::exception_ptr&) { self->out_of_memory(); });
                               });
        waiting_ = true;
    }
    void readable(const boost::system::error_code& error) {
        if (closed_ || ended_) return;
        if (end_ == io::PipeEnd::writing)
            look_for_readers();
        else
            read(error);
    }
    /// There is none to wait with.
    void out_of_memory() {
        if (closed_ || ended_) return;
        ended_ = true;
        events_->on_read_error(std::make_error_code(std::errc::not_enough_memory));
    }
    void look_for_readers() {
        pollfd state{fd_, POLLRDHUP, 0};
        if (::poll(&state, 1, 0) > 0) {
            ended_ = true;
            events_->on_hang_up();
        } else if (type_ == Type::fifo) {
            wait_read();
        }
        // A socket whose peer has sent something stays readable: the next write tells whether it is still there.
    }
    void read(const boost::system::error_code& error) {
        static thread_local const std::unique_ptr<std::byte[]> buffer = std::make_unique<std::byte[]>(read_size);
        // Of what cannot be watched, such as /dev/null: it is always ready.
        if (error && error != asio::error::operation_not_supported) {
            ended_ = true;
            events_->on_read_error(to_std(error));
            return;
        }
        for (int i = 0; i < reads_per_event && wanted_ && !closed_; ++i) {
            const ssize_t count = ::read(fd_, buffer.get(), read_size);
            if (count < 0 && errno == EINTR) continue;
            if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
            if (count <= 0) {
                ended_ = true;
                // A terminal whose other end is closed says EIO.
                if (count == 0 || errno == EIO)
                    events_->on_end_of_stream();
                else
                    events_->on_read_error(io::last_error());
                return;
            }
            wait_read();  // first: a callback may throw through the loop
            events_->on_data({buffer.get(), static_cast<std::size_t>(count)});
            if (static_cast<std::size_t>(count) < read_size) break;
        }
        if (wanted_) wait_read();
    }

    const detail::Ref<SocketContext> context_;
    Waiter descriptor_;
    const int fd_;
    const io::PipeEnd end_;
    const Type type_;
    bool wanted_ = false;
    bool waiting_ = false;
    bool ended_ = false;
    bool closed_ = false;
};

}  // namespace

io::SocketRef make_pipe(SocketContext& context, int fd, io::PipeEnd end) {
    io::OwnedDescriptor owned(fd);
    io::stop_blocking(fd, "file descriptor");
    io::SocketRef pipe = io::SocketRef::adopt(new AsioPipe(context, fd, end));
    owned.take();
    return pipe;
}

}  // namespace weft::asio_backend
