#include <weft/io/streams.hpp>

#include <weft/base/constants.hpp>
#include <weft/base/prefetch.hpp>
#include <weft/io/socket_transport.hpp>

#include <algorithm>

namespace weft {

namespace io {

StreamState::StreamState(EventLoop& loop, std::size_t limit, std::shared_ptr<Connected> connected)
    : limit_(limit), loop_(loop), connected_(std::move(connected)) {
    if (limit == 0) throw ValueError("Limit cannot be <= 0");
}

StreamState::~StreamState() = default;

void StreamState::connection_made(std::shared_ptr<Transport> transport) {
    transport_ = std::move(transport);
    if (!connected_) return;
    hold(std::static_pointer_cast<StreamState>(transport_->get_protocol()));
    const StreamRef self(this);
    (*connected_)(StreamReader(self), StreamWriter(self));
}

void StreamState::connection_lost(std::exception_ptr error) {
    lost_ = true;
    lost_by_error_ = error != nullptr;
    if (error)
        set_exception(error);
    else
        feed_eof();
    writing_paused_ = false;
    wake_drains();
    if (const auto waiters = std::move(closed_waiters_)) {
        for (Future<>& waiter : *waiters)
            if (!waiter.done()) waiter.set_result();
    }
}

Coro<> StreamState::wait_closed(StreamRef self) {
    if (!self->lost_) {
        if (!self->closed_waiters_) self->closed_waiters_ = std::make_unique<std::vector<Future<>>>();
        Future<> waiter = self->loop_.create_future<void>();
        self->closed_waiters_->push_back(waiter);
        co_await waiter;
    }
    if (self->lost_by_error_) self->rethrow_exception();
}

// Reading

/// Of the coroutine that the data wakes: its wait is a part of its frame.
void StreamState::prefetch_reader() const noexcept {
    if (!wait_) return;
    constexpr std::size_t frame = 256;
    detail::prefetch(wait_, frame, frame / 2);
    detail::prefetch(handler_.get(), sizeof(detail::TaskBase));
}

std::span<std::byte> StreamState::read_space() noexcept {
    prefetch_reader();
    if (read_size_ == 0 || !buffer_.empty()) return {};
    try {
        buffer_.reserve(read_size_);
    } catch (const std::bad_alloc&) {
        return {};
    }
    return {buffer_.data(), buffer_.capacity()};
}

void StreamState::add_in_place(std::size_t size) {
    buffer_.resize(size);
    if (size == buffer_.capacity()) {
        // There may be more.
        read_size_ = static_cast<std::uint32_t>(std::min(2 * size, constants::stream_read_in_place_max));
    } else if (size < buffer_.capacity() / 2) {
        Bytes smaller(buffer_.span());
        buffer_.swap(smaller);
        read_size_ = 0;
    }
}

void StreamState::add_copy(std::span<const std::byte> data) {
    if (head_ != 0) {
        buffer_.consume(head_);
        head_ = 0;
    }
    // With room to spare: what fills the space may not be all.
    if (buffer_.empty() && data.size() >= constants::stream_read_in_place_min)
        read_size_ =
            static_cast<std::uint32_t>(std::min(data.size() + data.size() / 4, constants::stream_read_in_place_max));
    buffer_.append(data);
}

void StreamState::data_received(std::span<const std::byte> data) {
    if (buffer_.empty() && data.data() == buffer_.data())
        add_in_place(data.size());
    else
        add_copy(data);
    if (wait_ && available() >= wait_->need()) wake_reader();
    if (available() > 2 * limit_) maybe_pause_reading();
}

void StreamState::maybe_pause_reading() {
    if (paused_ || !transport_ || (wait_ && wait_->is_waiting())) return;
    paused_ = true;
    transport_->pause_reading();
}

void StreamState::maybe_resume_reading() {
    if (!paused_ || available() > limit_) return;
    paused_ = false;
    transport_->resume_reading();
}

bool StreamState::eof_received() {
    feed_eof();
    return true;  // the writer decides when the connection ends
}

void StreamState::feed_eof() {
    eof_ = true;
    if (buffer_.empty()) buffer_.clear();  // read_space() may have made room
    wake_reader();
}

void StreamState::set_exception(std::exception_ptr error) {
    error_ = std::move(error);
    wake_reader();
}

void StreamState::wake_reader() noexcept {
    if (wait_) wait_->wake();
}

void StreamState::set_wait(StreamWait* wait) {
    if (wait_)
        throw RuntimeError(std::string(wait->waiter_kind()) +
                           "() called while another coroutine is already waiting for incoming data");
    wait_ = wait;
    if (paused_) {
        paused_ = false;
        transport_->resume_reading();
    }
}

Bytes StreamState::take(std::size_t count) {
    Bytes data;
    if (count >= available()) {
        if (head_ != 0) buffer_.consume(std::exchange(head_, 0));
        data.swap(buffer_);
    } else {
        data.append(buffered().first(count));
        head_ += count;
    }
    if (paused_) [[unlikely]]
        maybe_resume_reading();
    return data;
}

void StreamState::discard(std::size_t count) noexcept {
    head_ += std::min(count, available());
    if (head_ == buffer_.size()) {
        buffer_.clear();
        head_ = 0;
    }
    maybe_resume_reading();
}

Bytes ReadExactly::await_resume() {
    finish();
    const std::size_t count = need();
    if (state_->available() < count) throw IncompleteReadError(state_->take(SIZE_MAX), count);
    return state_->take(count);
}

// Writing

void StreamState::remove_writer() noexcept {
    if (--writers_ > 0 || !transport_ || transport_->is_closing()) return;
    // The connection can no longer be written to or closed by anybody.
    if (loop_.get_debug()) loop_.log("unclosed StreamWriter: its connection is closed with it");
    transport_->close();
}

void StreamState::resume_writing() {
    writing_paused_ = false;
    wake_drains();
}

void StreamState::wake_drains() noexcept {
    while (DrainWait* wait = drains_) {
        drains_ = wait->next_;
        wait->wake();
    }
}

void StreamState::add_drain(DrainWait& wait) noexcept {
    DrainWait** at = &drains_;
    while (*at)
        at = &(*at)->next_;
    *at = &wait;
}

void StreamState::remove_drain(DrainWait& wait) noexcept {
    for (DrainWait** at = &drains_; *at; at = &(*at)->next_) {
        if (*at != &wait) continue;
        *at = wait.next_;
        return;
    }
}

void throw_empty_stream(const char* type) {
    throw RuntimeError("the " + std::string(type) + " is empty: it belongs to no connection");
}

void DrainWait::start(detail::PromiseBase& promise) {
    if (!state_->writing_paused() || state_->lost()) {
        // Closing: one turn of the loop lets connection_lost() come first.
        yield(promise);
        return;
    }
    state_->add_drain(*this);
    suspend(promise);
}

void DrainWait::check_lost() const {
    // As in asyncio: who waited when the connection ended in order is let go, who comes later is told.
    if (was_awaited() && !was_used()) throw ConnectionResetError("Connection lost");
    state_->rethrow_exception();
}

// Opening

void StreamState::watch_handler(const Task<>& task) {
    handler_ = detail::Ref<detail::TaskBase>(&task.task());
    add_ref();  // the node's
    handler_->add_waiter(*this);
}

void StreamState::run() {
    const auto self = StreamRef::adopt(this);
    const auto task = std::move(handler_);
    if (!task->is_cancelled()) {
        const std::exception_ptr error = task->exception();
        if (!error) return;
        loop_.report_error(error, [&] {
            ExceptionContext context = task->error_context("Unhandled exception in client_connected_cb", error);
            if (transport_) context.transport = transport_->repr();
            return context;
        });
    }
    transport_->close();
}

void StreamState::discard() noexcept {
    const auto self = StreamRef::adopt(this);
    handler_ = nullptr;
}

namespace {

auto stream_factory(EventLoop& loop, std::size_t limit, std::shared_ptr<StreamState::Connected> connected) {
    return [&loop, limit, connected = std::move(connected)] {
        return std::make_shared<StreamState>(loop, limit, connected);
    };
}

}  // namespace

Coro<Server> start_stream_server(std::shared_ptr<StreamState::Connected> connected, std::vector<std::string> hosts,
                                 int port, ServerOptions options) {
    EventLoop& loop = get_running_loop();
    auto factory = stream_factory(loop, options.limit(), std::move(connected));
    co_return co_await loop.create_server(std::move(factory), std::move(hosts), port, options);
}

Coro<Server> start_unix_stream_server(std::shared_ptr<StreamState::Connected> connected, std::string path,
                                      ServerOptions options) {
    EventLoop& loop = get_running_loop();
    auto factory = stream_factory(loop, options.limit(), std::move(connected));
    co_return co_await loop.create_unix_server(std::move(factory), std::move(path), options);
}

}  // namespace io

namespace {

std::pair<StreamReader, StreamWriter> both_ends(const std::shared_ptr<io::StreamState>& protocol) {
    protocol->hold(protocol);
    const io::StreamRef state(protocol.get());
    return {StreamReader(state), StreamWriter(state)};
}

}  // namespace

Coro<std::pair<StreamReader, StreamWriter>> open_connection(std::string host, int port, ConnectionOptions options) {
    EventLoop& loop = get_running_loop();
    auto factory = io::stream_factory(loop, options.limit(), nullptr);
    auto connection = co_await loop.create_connection(std::move(factory), std::move(host), port, std::move(options));
    co_return both_ends(connection.protocol);
}

Coro<std::pair<StreamReader, StreamWriter>> open_unix_connection(std::string path, ConnectionOptions options) {
    EventLoop& loop = get_running_loop();
    auto factory = io::stream_factory(loop, options.limit(), nullptr);
    auto connection = co_await loop.create_unix_connection(std::move(factory), std::move(path), std::move(options));
    co_return both_ends(connection.protocol);
}

namespace {

/// Waits for at least one byte more than are buffered.
class MoreData final : public io::StreamWait, public detail::LeafAwaitable<MoreData, void> {
public:
    MoreData(const io::StreamRef& state, const char* caller)
        : StreamWait(state, state->available() + 1), caller_(caller) {}
    std::string_view waiter_kind() const noexcept override { return caller_; }
    void await_resume() { finish(); }

private:
    const char* caller_;
};

/// {where the match begins, where it ends}; npos if there is none from `from` on.
class Match {
public:
    Match(std::size_t begin, std::size_t end) : begin(begin), end(end) {}
    std::size_t begin;
    std::size_t end;
};

Match find_first(std::string_view text, const std::vector<std::string>& separators, std::size_t from) {
    Match best(std::string_view::npos, std::string_view::npos);
    for (const std::string& separator : separators) {
        const std::size_t at = text.find(separator, from);
        if (at == std::string_view::npos) continue;
        const std::size_t end = at + separator.size();
        // Of those that end together the shortest, with which most comes before it.
        if (end < best.end || (end == best.end && at > best.begin)) best = Match(at, end);
    }
    return best;
}

std::string_view text_of(const io::StreamState& state) {
    const auto data = state.buffered();
    return {reinterpret_cast<const char*>(data.data()), data.size()};
}

Coro<Bytes> read_until(io::StreamRef state, std::vector<std::string> separators, const char* caller) {
    if (separators.empty()) throw ValueError("Separator should contain at least one element");
    std::size_t longest = 0;
    for (const std::string& separator : separators) {
        if (separator.empty()) throw ValueError("Separator should be at least one-byte string");
        longest = std::max(longest, separator.size());
    }
    state->rethrow_exception();
    std::size_t searched = 0;
    for (;;) {
        const std::string_view text = text_of(*state);
        const Match match = find_first(text, separators, searched);
        if (match.begin != std::string_view::npos) {
            if (match.begin > state->limit())
                throw LimitOverrunError("Separator is found, but chunk is longer than limit", match.begin);
            co_return state->take(match.end);
        }
        // A separator may begin in the last bytes.
        searched = text.size() >= longest ? text.size() - longest + 1 : 0;
        if (searched > state->limit())
            throw LimitOverrunError("Separator is not found, and chunk exceed the limit", searched);
        if (state->saw_eof()) throw IncompleteReadError(state->take(SIZE_MAX), std::nullopt);
        co_await MoreData(state, caller);
    }
}

Coro<Bytes> read_line(io::StreamRef state) {
    std::vector<std::string> newline(1, "\n");
    try {
        co_return co_await read_until(state, std::move(newline), "StreamReader.readline");
    } catch (const IncompleteReadError& error) {
        co_return error.partial();
    } catch (const LimitOverrunError& error) {
        const std::string_view text = text_of(*state);
        if (error.consumed() < text.size() && text[error.consumed()] == '\n')
            state->discard(error.consumed() + 1);
        else
            state->discard(SIZE_MAX);
        throw ValueError(error.what());
    }
}

}  // namespace

StreamReader::StreamReader(std::size_t limit) {
    auto state = std::make_shared<io::StreamState>(get_running_loop(), limit, nullptr);
    state->hold(state);
    state_ = io::StreamRef(state.get());
}

void StreamReader::feed_data(std::span<const std::byte> data) {
    if (required()->saw_eof()) throw RuntimeError("feed_data after feed_eof");
    state_->data_received(data);
}

void StreamReader::set_transport(std::shared_ptr<Transport> transport) {
    if (required()->transport()) throw RuntimeError("Transport already set");
    state_->set_transport(std::move(transport));
}

namespace {

Coro<std::optional<Bytes>> next_line(io::StreamRef state) {
    Bytes line = co_await read_line(std::move(state));
    if (line.empty()) co_return std::nullopt;
    co_return std::move(line);
}

}  // namespace

Coro<std::optional<Bytes>> StreamReader::next() {
    return next_line(required());
}

void StreamReaderProtocol::connection_made(std::shared_ptr<Transport> transport) {
    state().connection_made(std::move(transport));
    if (connected_) connected_(reader_, StreamWriter(reader_.state()));
}

StreamWriter::StreamWriter(std::shared_ptr<Transport> transport, const std::shared_ptr<StreamReaderProtocol>& protocol)
    : StreamWriter(protocol->reader().state()) {
    if (!state_->transport()) state_->set_transport(std::move(transport));
}

std::string StreamReader::repr() const {
    std::string text = "<StreamReader";
    if (!state_) return text + ">";
    if (state_->available() > 0) text += " " + std::to_string(state_->available()) + " bytes";
    if (state_->saw_eof()) text += " eof";
    if (state_->exception()) text += " exception=" + describe_exception(state_->exception());
    return text + ">";
}

std::string StreamWriter::repr() const {
    return "<StreamWriter transport=" + (state_ && state_->transport() ? state_->transport()->repr() : "None") + ">";
}

Coro<Bytes> StreamReader::readline() {
    return read_line(required());
}

Coro<Bytes> StreamReader::readuntil(std::string separator) {
    std::vector<std::string> separators(1, std::move(separator));
    return read_until(required(), std::move(separators), "StreamReader.readuntil");
}

Coro<Bytes> StreamReader::readuntil(std::vector<std::string> separators) {
    return read_until(required(), std::move(separators), "StreamReader.readuntil");
}

namespace {

template <class Line>
void write_lines(Transport& transport, const std::vector<Line>& lines) {
    std::vector<std::span<const std::byte>> pieces;
    pieces.reserve(lines.size());
    for (const Line& line : lines) {
        if constexpr (std::is_same_v<Line, Bytes>)
            pieces.push_back(line.span());
        else
            pieces.push_back(as_byte_span(line));
    }
    transport.writelines(pieces);
}

}  // namespace

void StreamWriter::writelines(const std::vector<Bytes>& lines) {
    write_lines(transport(), lines);
}
void StreamWriter::writelines(const std::vector<std::string>& lines) {
    write_lines(transport(), lines);
}

}  // namespace weft
