#pragma once
// Streams: connections as coroutines (asyncio streams).
//
//     auto [reader, writer] = co_await open_connection("127.0.0.1", 8888);
//     writer.write("hello\n");
//     co_await writer.drain();
//     Bytes answer = co_await reader.readline();
//
//     Server server = co_await start_server([](StreamReader reader, StreamWriter writer) -> Coro<> { ... }, "", 8888);
//
// A read that is cancelled loses no byte. One coroutine reads a connection at a time. Copies of a StreamReader or
// StreamWriter mean the same connection; when the last StreamWriter goes, the connection is closed (its buffer is
// flushed).

#include <weft/base/bytes.hpp>
#include <weft/io/connection.hpp>
#include <weft/io/server.hpp>
#include <weft/io/transport.hpp>
#include <weft/tasks/task.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <typeinfo>
#include <utility>
#include <vector>

namespace weft {

class StreamReader;
class StreamWriter;
class StreamReaderProtocol;

namespace io {

class StreamWait;
class DrainWait;

/// The protocol under a reader and a writer: asyncio's StreamReaderProtocol and both ends' state in one object.
///
/// Readers, writers and reads in progress count as handles; while there is one, the object holds itself. Before the
/// first and after the last, its transport does.
class StreamState final : public Protocol, public detail::ReadyNode {
public:
    /// Called in connection_made; takes both ends. May throw: it is reported, and the connection closes.
    using Connected = UniqueFunction<void(StreamReader, StreamWriter)>;

    StreamState(EventLoop& loop, std::size_t limit, std::shared_ptr<Connected> connected);
    ~StreamState() override;

    /// Must be called with the object's own pointer before the first handle is made.
    void hold(std::shared_ptr<StreamState> self) noexcept { self_ = std::move(self); }
    void add_ref() noexcept { ++handles_; }
    void release() noexcept {
        if (--handles_ == 0) const auto last = std::move(self_);
    }
    /// Reports how the coroutine of the connection ended, and closes the connection if it did not end well. The
    /// callback that made it lives until then.
    void watch_handler(const Task<>& task);

    void connection_made(std::shared_ptr<Transport> transport) override;
    void connection_lost(std::exception_ptr error) override;
    void data_received(std::span<const std::byte> data) override;
    bool eof_received() override;
    void pause_writing() override { writing_paused_ = true; }
    void resume_writing() override;

    // Reader
    /// Where data_received() finds its data in place, if there is any; empty if it is to be copied.
    std::span<std::byte> read_space() noexcept;
    /// What data_received() needs of this, in bytes from its beginning.
    static constexpr std::size_t size_hint = 128;
    std::span<const std::byte> buffered() const noexcept { return buffer_.span().subspan(head_); }
    std::size_t available() const noexcept { return buffer_.size() - head_; }
    Bytes take(std::size_t count);
    void discard(std::size_t count) noexcept;
    bool at_eof() const noexcept { return eof_ && available() == 0; }
    bool saw_eof() const noexcept { return eof_; }
    void feed_eof();
    void set_exception(std::exception_ptr error);
    const std::exception_ptr& exception() const noexcept { return error_; }
    void rethrow_exception() const {
        if (error_) [[unlikely]]
            std::rethrow_exception(error_);
    }
    std::size_t limit() const noexcept { return limit_; }
    bool reading_paused() const noexcept { return paused_; }
    void set_wait(StreamWait* wait);
    void clear_wait() noexcept { wait_ = nullptr; }
    /// A coroutine waits in a read.
    bool is_awaited() const noexcept { return wait_ != nullptr; }

    // Writer
    Transport* transport() const noexcept { return transport_.get(); }
    const std::shared_ptr<Transport>& shared_transport() const noexcept { return transport_; }
    void set_transport(std::shared_ptr<Transport> transport) noexcept { transport_ = std::move(transport); }
    bool lost() const noexcept { return lost_; }
    bool writing_paused() const noexcept { return writing_paused_; }
    void add_writer() noexcept { ++writers_; }
    void remove_writer() noexcept;
    void add_drain(DrainWait& wait) noexcept;
    void remove_drain(DrainWait& wait) noexcept;
    static Coro<> wait_closed(detail::Ref<StreamState> self);

private:
    friend class StreamWait;
    // ReadyNode: the handler's task is done.
    void run() override;
    void discard() noexcept override;
    std::string describe() const override { return "<stream handler callback>"; }

    void prefetch_reader() const noexcept;
    void add_in_place(std::size_t size);
    void add_copy(std::span<const std::byte> data);
    void wake_drains() noexcept;
    void wake_reader() noexcept;
    void maybe_resume_reading();
    void maybe_pause_reading();

    // What each message needs is together.
    Bytes buffer_;  // from head_ on: what arrived and was not read
    std::size_t head_ = 0;
    StreamWait* wait_ = nullptr;
    std::size_t limit_;
    std::exception_ptr error_;
    std::shared_ptr<Transport> transport_;
    DrainWait* drains_ = nullptr;
    std::uint32_t handles_ = 0;
    std::uint32_t read_size_ = 0;  // see read_space(); 0 while that is empty
    std::uint32_t writers_ : 27 = 0;
    bool eof_ : 1 = false;
    bool lost_ : 1 = false;
    bool lost_by_error_ : 1 = false;
    bool paused_ : 1 = false;
    bool writing_paused_ : 1 = false;
    EventLoop& loop_;
    std::shared_ptr<Connected> connected_;
    std::shared_ptr<StreamState> self_;
    detail::Ref<detail::TaskBase> handler_;
    std::unique_ptr<std::vector<Future<>>> closed_waiters_;
};

using StreamRef = detail::Ref<StreamState>;

inline bool is_stream_state(const BaseProtocol& protocol) noexcept {
    return typeid(protocol) == typeid(StreamState);
}

[[noreturn]] void throw_empty_stream(const char* type);

/// Waits until `need` bytes are buffered or the stream ended. The base of the reads.
class StreamWait : public detail::TaskWaiter {
public:
    StreamWait(StreamRef state, std::size_t need) noexcept : state_(std::move(state)), need_(need) {}
    StreamWait(StreamWait&& other) noexcept = default;
    ~StreamWait() {
        // Also if it was woken and its coroutine never went on.
        if (state_ && state_->wait_ == this) state_->clear_wait();
    }

    bool await_ready() const {
        state_->rethrow_exception();
        return state_->available() >= need_ || state_->saw_eof();
    }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) {
        state_->set_wait(this);
        suspend(handle.promise());
    }
    std::size_t need() const noexcept { return need_; }

protected:
    void finish() {
        if (state_->wait_ == this) state_->clear_wait();
        end_wait();
        // An error that came behind what was waited for is the next read's.
        if (!was_woken() || state_->available() < need_) state_->rethrow_exception();
    }
    StreamRef state_;

private:
    void on_cancel_wait() noexcept override { state_->clear_wait(); }
    std::size_t need_;
};

/// What StreamReader::read() gives.
class Read final : public StreamWait, public detail::LeafAwaitable<Read, Bytes> {
public:
    Read(StreamRef state, std::ptrdiff_t count) noexcept
        : StreamWait(std::move(state), count < 0 ? SIZE_MAX : count > 0), count_(static_cast<std::size_t>(count)) {}
    std::string_view waiter_kind() const noexcept override { return "StreamReader.read"; }
    Bytes await_resume() {
        finish();
        return state_->take(count_);
    }

private:
    std::size_t count_;  // a negative number: everything
};

/// What StreamReader::readexactly() gives.
class ReadExactly final : public StreamWait, public detail::LeafAwaitable<ReadExactly, Bytes> {
public:
    ReadExactly(StreamRef state, std::size_t count) noexcept : StreamWait(std::move(state), count) {}
    std::string_view waiter_kind() const noexcept override { return "StreamReader.readexactly"; }
    Bytes await_resume();
};

/// What StreamWriter::drain() gives.
class DrainWait final : public detail::TaskWaiter, public detail::LeafAwaitable<DrainWait, void> {
public:
    explicit DrainWait(StreamRef state) noexcept : state_(std::move(state)) {}
    DrainWait(DrainWait&& other) noexcept = default;
    ~DrainWait() {
        if (is_waiting()) state_->remove_drain(*this);
    }

    std::string_view waiter_kind() const noexcept override { return "StreamWriter.drain"; }
    bool await_ready() const {
        state_->rethrow_exception();
        return !state_->writing_paused() && !state_->transport()->is_closing();
    }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) {
        start(handle.promise());
    }
    void await_resume() {
        end_wait();
        if (state_->lost()) [[unlikely]]
            check_lost();
    }

private:
    friend class StreamState;
    void start(detail::PromiseBase& promise);
    void check_lost() const;
    void on_cancel_wait() noexcept override { state_->remove_drain(*this); }

    StreamRef state_;
    DrainWait* next_ = nullptr;
};

}  // namespace io

/// The reading end of a connection (asyncio.StreamReader).
class StreamReader {
public:
    /// An empty handle, good for assigning to; to use it is a RuntimeError.
    StreamReader() = default;
    /// A reader of its own on the running loop, which is fed by hand or through a StreamReaderProtocol. ValueError for
    /// a limit of 0.
    explicit StreamReader(std::size_t limit);
    explicit StreamReader(io::StreamRef state) noexcept : state_(std::move(state)) {}

    /// 1 to `count` bytes as soon as there are any, empty at the end of the stream; 0 gives empty at once; negative
    /// reads everything until the end. Throws the connection's error. RuntimeError if another coroutine reads.
    io::Read read(std::ptrdiff_t count = -1) { return io::Read(required(), count); }
    /// Exactly `count` bytes. IncompleteReadError (with what was there) if the stream ends first; ValueError for a
    /// negative number.
    io::ReadExactly readexactly(std::size_t count) {
        if (count > PTRDIFF_MAX) throw ValueError("readexactly size can not be less than zero");
        return io::ReadExactly(required(), count);
    }
    /// Up to and with '\n'; what is left at the end of the stream. ValueError if the line is longer than the limit: it
    /// is dropped, or, if its end has not arrived, all that is buffered is.
    Coro<Bytes> readline();
    /// Up to and with `separator`. LimitOverrunError if it is further than the limit (what is buffered stays);
    /// IncompleteReadError if the stream ends first; ValueError for an empty separator.
    Coro<Bytes> readuntil(std::string separator = "\n");
    /// Up to the first of several separators (the one that ends first).
    Coro<Bytes> readuntil(std::vector<std::string> separators);
    Coro<Bytes> readuntil(std::initializer_list<const char*> separators) {
        return readuntil(std::vector<std::string>(separators.begin(), separators.end()));
    }
    /// The next line with its '\n', or nothing at the end of the stream: `while (auto line = co_await reader.next())`
    /// (asyncio's `async for line in reader`). Errors as readline().
    Coro<std::optional<Bytes>> next();
    /// True once the stream has ended and everything was read.
    bool at_eof() const { return required()->at_eof(); }
    /// The connection's error, or null.
    std::exception_ptr exception() const { return required()->exception(); }
    // What a protocol tells a reader; for those that are fed by hand.

    /// Adds bytes to the buffer; wakes who waits for them. RuntimeError after feed_eof().
    void feed_data(std::span<const std::byte> data);
    void feed_data(std::string_view text) { feed_data(as_byte_span(text)); }
    void feed_eof() { required()->feed_eof(); }
    /// Reads throw `error`, an exception object or an exception_ptr, from now on.
    template <class E>
    void set_exception(E&& error) {
        required()->set_exception(detail::as_exception_ptr(std::forward<E>(error)));
    }
    /// Whom to pause when too much is buffered. RuntimeError if it has one.
    void set_transport(std::shared_ptr<Transport> transport);

    /// As asyncio's repr: "<StreamReader 12 bytes eof>".
    std::string repr() const;
    /// For the framework.
    const io::StreamRef& state() const noexcept { return state_; }

private:
    const io::StreamRef& required() const {
        if (!state_) [[unlikely]]
            io::throw_empty_stream("StreamReader");
        return state_;
    }

    io::StreamRef state_;
};

/// The writing end of a connection (asyncio.StreamWriter).
class StreamWriter {
public:
    /// An empty handle, good for assigning to; to use it is a RuntimeError.
    StreamWriter() = default;
    /// Writes to `transport`, whose protocol is `protocol`.
    StreamWriter(std::shared_ptr<Transport> transport, const std::shared_ptr<StreamReaderProtocol>& protocol);
    explicit StreamWriter(io::StreamRef state) noexcept : state_(std::move(state)) {
        if (state_) state_->add_writer();
    }
    StreamWriter(const StreamWriter& other) noexcept : StreamWriter(other.state_) {}
    StreamWriter(StreamWriter&& other) noexcept = default;
    StreamWriter& operator=(StreamWriter other) noexcept {
        std::swap(state_, other.state_);
        return *this;
    }
    ~StreamWriter() {
        if (state_) state_->remove_writer();
    }

    /// Sends a copy of `data`, or buffers it; never suspends. Follow it with `co_await drain()`.
    void write(std::span<const std::byte> data) { transport().write(data); }
    void write(std::string_view text) { transport().write(text); }
    void writelines(const std::vector<Bytes>& lines);
    void writelines(const std::vector<std::string>& lines);
    void writelines(std::initializer_list<const char*> lines) {
        writelines(std::vector<std::string>(lines.begin(), lines.end()));
    }
    /// Waits until the buffer is small enough to write more; at once if it is. ConnectionResetError once the
    /// connection is lost, else the connection's own error. Any number of coroutines may wait.
    io::DrainWait drain() { return io::DrainWait(required()); }
    /// Sends end-of-file after what was written; reading goes on.
    void write_eof() { transport().write_eof(); }
    bool can_write_eof() const { return transport().can_write_eof(); }
    /// Flushes what was written, then ends the connection.
    void close() { transport().close(); }
    bool is_closing() const { return transport().is_closing(); }
    /// Waits until the connection is gone; throws the error that ended it, if any.
    Coro<> wait_closed() { return io::StreamState::wait_closed(required()); }
    /// Puts TLS on the connection: what was written goes first, in the clear; then reader and writer, the same objects,
    /// speak TLS. If it fails or is cancelled the connection is closed. RuntimeError while another coroutine reads.
    Coro<> start_tls(TlsContext context, StartTlsOptions options = {});
    /// What the peers have agreed on; nothing without TLS.
    std::optional<TlsInfo> tls_info() const { return transport().tls_info(); }
    /// The context of its TLS, empty if it speaks none.
    TlsContext tls_context() const { return transport().tls_context(); }
    /// asyncio's keys as text; see Transport.
    std::optional<std::string> get_extra_info(std::string_view key) const { return transport().get_extra_info(key); }
    std::optional<Address> peername() const { return transport().peername(); }
    std::optional<Address> sockname() const { return transport().sockname(); }
    Transport& transport() const { return *required()->transport(); }
    /// As asyncio's repr: "<StreamWriter transport=...>".
    std::string repr() const;
    /// For the framework.
    const io::StreamRef& state() const noexcept { return state_; }

private:
    const io::StreamRef& required() const {
        if (!state_ || !state_->transport()) [[unlikely]]
            io::throw_empty_stream("StreamWriter");
        return state_;
    }

    io::StreamRef state_;
};

/// Puts a reader of one's own on any transport (asyncio.StreamReaderProtocol):
///
///     StreamReader reader(65536);
///     auto protocol = std::make_shared<StreamReaderProtocol>(reader);
///     co_await loop.connect_read_pipe([protocol] { return protocol; }, fd);
class StreamReaderProtocol final : public Protocol {
public:
    /// Called with both ends once the connection stands.
    using Connected = UniqueFunction<void(StreamReader, StreamWriter)>;

    /// RuntimeError for an empty reader.
    explicit StreamReaderProtocol(StreamReader reader, Connected connected = nullptr)
        : reader_(std::move(reader)), connected_(std::move(connected)) {
        if (!reader_.state()) io::throw_empty_stream("StreamReader");
    }
    const StreamReader& reader() const noexcept { return reader_; }

    void connection_made(std::shared_ptr<Transport> transport) override;
    void connection_lost(std::exception_ptr error) override { state().connection_lost(std::move(error)); }
    void data_received(std::span<const std::byte> data) override { state().data_received(data); }
    bool eof_received() override { return state().eof_received(); }
    void pause_writing() override { state().pause_writing(); }
    void resume_writing() override { state().resume_writing(); }

private:
    io::StreamState& state() const noexcept { return *reader_.state(); }
    StreamReader reader_;
    Connected connected_;
};

/// Connects to `host`:`port` (asyncio.open_connection). Errors and cancellation as create_connection().
Coro<std::pair<StreamReader, StreamWriter>> open_connection(std::string host, int port, ConnectionOptions options = {});
/// Connects to a Unix socket (asyncio.open_unix_connection).
Coro<std::pair<StreamReader, StreamWriter>> open_unix_connection(std::string path, ConnectionOptions options = {});

namespace io {

Coro<Server> start_stream_server(std::shared_ptr<StreamState::Connected> connected, std::vector<std::string> hosts,
                                 int port, ServerOptions options);
Coro<Server> start_unix_stream_server(std::shared_ptr<StreamState::Connected> connected, std::string path,
                                      ServerOptions options);
template <class F>
std::shared_ptr<StreamState::Connected> make_connected(F handler) {
    return std::make_shared<StreamState::Connected>(
        [handler = std::move(handler)](StreamReader reader, StreamWriter writer) mutable {
            using Result = std::invoke_result_t<F&, StreamReader, StreamWriter>;
            if constexpr (detail::CoroType<Result>) {
                static_assert(std::is_same_v<Result, Coro<void>>,
                              "start_server: the connection callback is a Coro<> or a plain function");
                const StreamRef state = reader.state();
                state->watch_handler(create_task(handler(std::move(reader), std::move(writer))));
            } else {
                handler(std::move(reader), std::move(writer));
            }
        });
}

}  // namespace io

/// Listens at `host`:`port` and calls `handler(reader, writer)` for each connection (asyncio.start_server); if that is
/// a coroutine it runs as a task, and the handler object lives as long. Its errors reach the loop's exception handler.
template <class F>
    requires std::is_invocable_v<F&, StreamReader, StreamWriter>
Coro<Server> start_server(F handler, std::string host, int port, ServerOptions options = {}) {
    std::vector<std::string> hosts(1, std::move(host));
    return io::start_stream_server(io::make_connected(std::move(handler)), std::move(hosts), port, options);
}

/// The same at several hosts, each of them with its names and families.
template <class F>
    requires std::is_invocable_v<F&, StreamReader, StreamWriter>
Coro<Server> start_server(F handler, std::vector<std::string> hosts, int port, ServerOptions options = {}) {
    return io::start_stream_server(io::make_connected(std::move(handler)), std::move(hosts), port, options);
}

template <class F>
    requires std::is_invocable_v<F&, StreamReader, StreamWriter>
Coro<Server> start_server(F handler, std::initializer_list<const char*> hosts, int port, ServerOptions options = {}) {
    return start_server(std::move(handler), std::vector<std::string>(hosts.begin(), hosts.end()), port, options);
}

/// The same on a Unix socket (asyncio.start_unix_server); see loop.create_unix_server() for paths.
template <class F>
    requires std::is_invocable_v<F&, StreamReader, StreamWriter>
Coro<Server> start_unix_server(F handler, std::string path, ServerOptions options = {}) {
    return io::start_unix_stream_server(io::make_connected(std::move(handler)), std::move(path), options);
}

}  // namespace weft
