#include <weft/io/sendfile.hpp>

#include <weft/base/constants.hpp>
#include <weft/io/descriptor.hpp>
#include <weft/io/no_sigpipe.hpp>
#include <weft/io/server.hpp>
#include <weft/io/socket_transport.hpp>
#include <weft/io/sockets.hpp>
#include <weft/io/tls_layer.hpp>
#include <weft/tasks/future.hpp>

#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>

namespace weft {

namespace io {

namespace {

/// The part of a file that is still to be sent; sets the file's position at the end.
class FilePart {
public:
    FilePart(int file, std::uint64_t offset, std::optional<std::size_t> count)
        : file_(file), offset_(offset), left_(count.value_or(std::numeric_limits<std::size_t>::max())) {
        if (count && *count == 0) throw ValueError("count must be a positive integer (got 0)");
        if (offset > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max()))
            throw ValueError("offset " + std::to_string(offset) + " is beyond what a file can have");
    }
    FilePart(const FilePart&) = delete;
    FilePart& operator=(const FilePart&) = delete;
    ~FilePart() {
        // One that has no position is no file that was sent.
        if (sent_ > 0) ::lseek(file_, static_cast<off_t>(position()), SEEK_SET);
    }
    int file() const noexcept { return file_; }
    std::size_t sent() const noexcept { return sent_; }
    std::uint64_t position() const noexcept { return offset_ + sent_; }
    bool done() const noexcept { return left_ == 0; }
    /// How much one call may send.
    std::size_t next() const noexcept { return std::min(left_, constants::sendfile_chunk); }
    void advance(std::size_t count) noexcept {
        sent_ += count;
        left_ -= count;
    }
    /// The next piece of the file, empty at its end.
    Bytes read() const {
        Bytes piece;
        piece.resize(std::min(left_, constants::sendfile_fallback_piece));
        ssize_t count;
        do {
            count = ::pread(file_, piece.data(), piece.size(), static_cast<off_t>(position()));
        } while (count < 0 && errno == EINTR);
        if (count < 0) throw_os_error(last_error(), "sendfile: cannot read the file");
        piece.resize(static_cast<std::size_t>(count));
        return piece;
    }

private:
    const int file_;
    const std::uint64_t offset_;
    std::size_t left_;
    std::size_t sent_ = 0;
};

/// Has a transport for itself: nobody else writes, nothing is read.
class Transfer final : public FileTransfer {
public:
    explicit Transfer(std::shared_ptr<SocketTransport> transport) : transport_(std::move(transport)) {
        transport_->begin_file(*this);
        if (transport_->is_reading()) {
            transport_->pause_reading();
            resumes_ = true;
        }
    }
    Transfer(const Transfer&) = delete;
    Transfer& operator=(const Transfer&) = delete;
    ~Transfer() {
        transport_->end_file();
        if (resumes_) transport_->resume_reading();
    }

    /// Until all that was written is sent.
    Coro<> flushed() {
        while (transport_->get_write_buffer_size() > 0)
            co_await progress();
        check();
    }
    /// False if the system cannot do it, which shows before anything is sent.
    Coro<bool> send_native(FilePart& part) {
        while (!part.done()) {
            check();
            std::error_code error;
            const std::size_t count = transport_->socket().send_file(part.file(), part.position(), part.next(), error);
            part.advance(count);
            if (error == std::errc::operation_would_block) {
                transport_->socket().wait_writable();
                co_await progress();
            } else if (error == std::errc::operation_not_supported && part.sent() == 0) {
                co_return false;
            } else if (error) {
                throw_os_error(error, "sendfile");
            } else if (count == 0) {
                break;
            }
        }
        co_return true;
    }
    Coro<> send_pieces(FilePart& part) {
        while (!part.done()) {
            const Bytes piece = part.read();
            if (piece.empty()) break;
            transport_->write_piece(piece.span());
            co_await flushed();
            part.advance(piece.size());
        }
    }

private:
    void on_progress() override {
        if (progress_ && !progress_.done()) progress_.set_result();
    }
    Coro<> progress() {
        check();
        progress_ = transport_->get_loop().create_future<void>();
        co_await progress_;
        check();
    }
    void check() const {
        if (transport_->is_lost()) throw ConnectionResetError("sendfile: the connection was lost");
    }

    const std::shared_ptr<SocketTransport> transport_;
    Future<> progress_;
    bool resumes_ = false;
};

[[noreturn]] void throw_not_available() {
    throw SendfileNotAvailableError("sendfile is not available for this transport and file");
}

/// Stands in for a transport's protocol while a file is written to it: of transports that are layers over others.
class Substitute final : public Protocol {
public:
    explicit Substitute(std::shared_ptr<Transport> transport)
        : transport_(std::move(transport)),
          tls_(dynamic_cast<TlsLayer*>(transport_.get())),
          protocol_(transport_->get_protocol()) {
        if (dynamic_cast<Substitute*>(protocol_.get())) throw RuntimeError("unable to write; sendfile is in progress");
        if (tls_) tls_->begin_file();
        paused_ = pauses_ = transport_->get_write_buffer_size() > transport_->get_write_buffer_limits().second;
        resumes_reading_ = transport_->is_reading();
        transport_->pause_reading();
    }
    /// Where coroutines end, so what the protocol throws is reported.
    void restore() noexcept {
        if (tls_) tls_->end_file();
        if (lost_) return;
        EventLoop& loop = transport_->get_loop();
        try {
            transport_->set_protocol(protocol_);
            if (resumes_reading_) transport_->resume_reading();
            if (pauses_ && !paused_) protocol_->resume_writing();
            if (!pauses_ && paused_) protocol_->pause_writing();
        } catch (...) {
            const std::exception_ptr error = std::current_exception();
            try {
                loop.report_error(error, [&] {
                    ExceptionContext context("Exception at the end of sendfile()", error);
                    context.transport = transport_->repr();
                    return context;
                });
            } catch (...) {
                // An interrupt cannot leave from here; the report was made.
            }
        }
    }
    void write(std::span<const std::byte> data) {
        if (tls_)
            tls_->write_piece(data);
        else
            transport_->write(data);
    }
    Coro<> room() {
        while (paused_ && !lost_) {
            resumed_ = transport_->get_loop().create_future<void>();
            co_await resumed_;
        }
        // What is written to a transport that is closing is dropped without a word.
        if (lost_ || transport_->is_closing()) throw ConnectionResetError("sendfile: the connection was lost");
    }

    void pause_writing() override { paused_ = true; }
    void resume_writing() override {
        paused_ = false;
        wake();
    }
    void data_received(std::span<const std::byte>) override {
        throw RuntimeError("Invalid state: reading should be paused");
    }
    bool eof_received() override { throw RuntimeError("Invalid state: reading should be paused"); }
    void connection_lost(std::exception_ptr error) override {
        lost_ = true;
        wake();
        protocol_->connection_lost(std::move(error));
    }

private:
    void wake() {
        if (resumed_ && !resumed_.done()) resumed_.set_result();
    }

    const std::shared_ptr<Transport> transport_;
    TlsLayer* const tls_;  // the transport, if it is one
    const std::shared_ptr<BaseProtocol> protocol_;
    Future<> resumed_;
    bool paused_ = false;  // by the transport
    bool pauses_ = false;  // what the protocol was told
    bool resumes_reading_ = false;
    bool lost_ = false;
};

class Substitution {
public:
    explicit Substitution(std::shared_ptr<Transport> transport) : substitute_(std::make_shared<Substitute>(transport)) {
        try {
            transport->set_protocol(substitute_);
        } catch (...) {
            substitute_->restore();
            throw;
        }
    }
    Substitution(const Substitution&) = delete;
    Substitution& operator=(const Substitution&) = delete;
    ~Substitution() { substitute_->restore(); }
    Substitute& operator*() const noexcept { return *substitute_; }

private:
    const std::shared_ptr<Substitute> substitute_;
};

Coro<std::size_t> send_through(std::shared_ptr<Transport> transport, int file, std::uint64_t offset,
                               std::optional<std::size_t> count) {
    FilePart part(file, offset, count);
    const Substitution substitution(transport);
    while (!part.done()) {
        co_await (*substitution).room();
        const Bytes piece = part.read();
        if (piece.empty()) break;
        (*substitution).write(piece.span());
        part.advance(piece.size());
    }
    co_await (*substitution).room();
    co_return part.sent();
}

Coro<std::size_t> send_on(std::shared_ptr<SocketTransport> transport, int file, std::uint64_t offset,
                          std::optional<std::size_t> count, bool fallback) {
    FilePart part(file, offset, count);
    Transfer transfer(std::move(transport));
    co_await transfer.flushed();
    const bool native = co_await transfer.send_native(part);
    if (!native) {
        if (!fallback) throw_not_available();
        co_await transfer.send_pieces(part);
    }
    co_return part.sent();
}

}  // namespace

std::size_t system_sendfile(int socket, int file, std::uint64_t offset, std::size_t count,
                            std::error_code& error) noexcept {
    NoSigpipe guard;
    auto position = static_cast<off_t>(offset);
    ssize_t sent;
    do {
        sent = ::sendfile(socket, file, &position, count);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0) return static_cast<std::size_t>(sent);
    error = last_error();
    if (error == std::errc::broken_pipe) guard.consume();
    const int value = error.value();
    if (value == EINVAL || value == ENOSYS || value == EOPNOTSUPP || value == ESPIPE || value == EOVERFLOW)
        error = std::make_error_code(std::errc::operation_not_supported);
    return 0;
}

}  // namespace io

Coro<std::size_t> EventLoop::sendfile(std::shared_ptr<Transport> transport, int file, std::uint64_t offset,
                                      std::optional<std::size_t> count, bool fallback) {
    if (transport->is_closing()) throw RuntimeError("Transport is closing");
    if (auto socket = std::dynamic_pointer_cast<io::SocketTransport>(transport))
        co_return co_await io::send_on(std::move(socket), file, offset, count, fallback);
    if (!fallback) io::throw_not_available();
    co_return co_await io::send_through(std::move(transport), file, offset, count);
}

Coro<std::size_t> EventLoop::sock_sendfile(int fd, int file, std::uint64_t offset, std::optional<std::size_t> count,
                                           bool fallback) {
    io::check_socket(*this, fd);
    int type = 0;
    socklen_t size = sizeof type;
    if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type != SOCK_STREAM)
        throw ValueError("only SOCK_STREAM type sockets are supported");
    io::FilePart part(file, offset, count);
    bool native = true;
    while (native && !part.done()) {
        std::error_code error;
        const std::size_t sent = io::system_sendfile(fd, file, part.position(), part.next(), error);
        part.advance(sent);
        if (error == std::errc::operation_would_block)
            co_await io::DescriptorWait(*this, fd, FdEvent::writable);
        else if (error == std::errc::operation_not_supported && part.sent() == 0)
            native = false;
        else if (error)
            throw_os_error(error, "sendfile");
        else if (sent == 0)
            break;
    }
    if (!native && !fallback) io::throw_not_available();
    while (!native && !part.done()) {
        const Bytes piece = part.read();
        if (piece.empty()) break;
        co_await sock_sendall(fd, piece.span());
        part.advance(piece.size());
    }
    co_return part.sent();
}

}  // namespace weft
