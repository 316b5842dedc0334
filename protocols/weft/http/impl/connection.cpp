#include <weft/http/impl/connection.hpp>

#include <weft/http/errors.hpp>
#include <weft/http/impl/request_access.hpp>
#include <weft/http/status.hpp>

#include <cassert>

namespace weft::http::detail {

namespace {

/// What is buffered is handed to the transport when it is more than this.
constexpr std::size_t flush_size = 64 * 1024;
/// Bodies from this size on are not copied behind their head.
constexpr std::size_t large_body = 64 * 1024;
/// Requests are not read ahead while more bytes of bodies than this wait.
constexpr std::size_t most_queued_bytes = 256 * 1024;
/// How much of a path goes into the name of a task.
constexpr std::size_t longest_name = 100;
/// How long a client that made an error may take to read the answer.
constexpr std::chrono::seconds linger_timeout{5};

Response plain_error(int status, std::string_view message) {
    return Response::text(std::string(message.empty() ? reason_phrase(status) : message) + "\n", status);
}

}  // namespace

Connection::Connection(std::shared_ptr<ServerCore> core)
    : core_(std::move(core)), parser_(core_->options().header_limit(), core_->options().body_limit()) {}

Connection::~Connection() {
    timer_.cancel();
    if (state_ != State::created && (state_ != State::lost || busy_)) core_->remove(*this);
}

void Connection::connection_made(std::shared_ptr<Transport> transport) {
    transport_ = std::move(transport);
    state_ = State::open;
    core_->add(*this);
    peer_ = transport_->peername();
    if (core_->is_draining())
        close();
    else
        update_watch();
}

void Connection::connection_lost(std::exception_ptr) {
    state_ = State::lost;
    watch_ = Watch::nothing;
    timer_.cancel();
    timer_armed_ = false;
    input_.clear();
    queue_.clear();
    if (!busy_) core_->remove(*this);
    if (!cancel_requested_) cancel_task();
    set_lost();
    transport_ = nullptr;
}

// Requests

void Connection::data_received(std::span<const std::byte> data) {
    if (state_ != State::open || last_seen_ || failure_ != 0) {
        extra_input_ = true;
        return;
    }
    if (input_.empty()) {
        const std::size_t used = parse(data);
        input_.append(data.subspan(used));
    } else {
        input_.append(data);
        parse_input();
    }
    if (!input_.empty() && !has_room() && !reading_paused_) {
        reading_paused_ = true;
        transport_->pause_reading();
    }
    if (busy_) return;
    if (!queue_.empty())
        start_task();
    else if (failure_ != 0)
        send_failure();
    else
        continue_if_expected();
    update_watch(true);
}

bool Connection::has_room() const noexcept {
    return queue_.size() < core_->options().pipeline_limit() && queued_bytes_ < most_queued_bytes;
}

/// Gives how many bytes were used: the others wait in `input_`.
std::size_t Connection::parse(std::span<const std::byte> data) {
    std::size_t used = 0;
    while (used < data.size() && has_room() && !last_seen_ && failure_ == 0) {
        if (!incoming_) {
            incoming_ = core_->take_request();
            parser_.start(*incoming_);
        }
        used += parser_.feed(data.subspan(used));
        if (parser_.state() == RequestParser::State::complete)
            enqueue();
        else if (parser_.state() == RequestParser::State::failed)
            fail(parser_.error_status(), parser_.error_message());
        else
            break;
    }
    // An idle connection keeps no request.
    if (incoming_ && parser_.state() == RequestParser::State::created) core_->give_back(std::move(incoming_));
    if (!last_seen_ && failure_ == 0) return used;
    extra_input_ |= used < data.size();
    return data.size();
}

void Connection::parse_input() {
    if (input_.empty() || !has_room()) return;
    const std::size_t used = parse(input_.span());
    if (used == input_.size())
        input_.clear();
    else
        input_.consume(used);
}

void Connection::enqueue() {
    ++requests_;
    continued_ = false;
    RequestAccess::set_peer(*incoming_, peer_);
    if (!incoming_->keep_alive()) last_seen_ = true;
    queued_bytes_ += incoming_->body().size();
    queue_.push_back(std::move(incoming_));
}

/// While it lives, the connection's task runs; it is told how the task ends.
class Connection::BusyScope {
public:
    explicit BusyScope(std::shared_ptr<Connection> connection) noexcept : connection_(std::move(connection)) {}
    BusyScope(const BusyScope&) = delete;
    BusyScope& operator=(const BusyScope&) = delete;
    ~BusyScope() {
        if (connection_) leave(true);
    }
    void finish() {
        leave(false);
        std::exchange(connection_, nullptr)->settle();
    }

private:
    void leave(bool failed) {
        Connection& connection = *connection_;
        connection.current_ = nullptr;
        connection.busy_ = connection.named_ = connection.cancel_requested_ = false;
        connection.task_ = Task<>();
        if (connection.state_ == State::lost)
            connection.core_->remove(connection);
        else if (failed && !connection.ended_)
            connection.transport_->abort();
    }

    std::shared_ptr<Connection> connection_;
};

void Connection::start_task() {
    assert(!busy_ && !queue_.empty());
    busy_ = true;
    if (output_.capacity() < 64) output_ = core_->take_buffer();
    Task<> task = core_->loop().create_task(answer_requests(), TaskOptions().eager_start(true));
    if (!busy_ || task.done()) return;
    // Most requests are answered in that first step; a task that stays is worth a name.
    task_ = std::move(task);
    named_ = true;
    if (current_) name_task(*current_);
    if (cancel_requested_) task_.cancel();
}

void Connection::name_task(const Request& request) {
    task_.set_name("http " + std::string(request.method()) + " " +
                   std::string(request.raw_path().substr(0, longest_name)));
}

Coro<> Connection::answer_requests() {
    BusyScope busy(shared_from_this());
    while (!queue_.empty() && state_ == State::open) {
        std::unique_ptr<Request> request = std::move(queue_.front());
        queue_.pop_front();
        queued_bytes_ -= request->body().size();
        current_ = request.get();
        if (named_) name_task(*request);
        co_await answer(*request);
        current_ = nullptr;
        core_->give_back(std::move(request));
        if (!keep_alive_) break;
        if (output_.size() >= flush_size) flush();
        if (is_paused()) co_await StreamWrite(shared_from_this());
        parse_input();
    }
    busy.finish();
}

Coro<> Connection::answer(Request& request) {
    std::optional<Response> response;
    std::exception_ptr error;
    try {
        response.emplace(co_await handle(request));
    } catch (const CancelledError&) {
        if (current_task().cancelling() > 0) throw;
        error = std::current_exception();
    } catch (const KeyboardInterrupt&) {
        throw;
    } catch (const SystemExit&) {
        throw;
    } catch (...) {
        error = std::current_exception();
    }
    if (error) response.emplace(response_to_error(request, error));
    if (state_ == State::lost) co_return;

    const Framing framing = framing_of(request, *response);
    const bool last = queue_.empty() && (core_->is_draining() || ended_);
    keep_alive_ = request.keep_alive() && framing != Framing::until_close && !last && !says_close(*response);
    append_head(output_, *core_, request, *response, framing, keep_alive_);
    const bool has_body = framing != Framing::none && request.method() != "HEAD";
    if (!has_body) co_return;
    if (response->is_stream()) {
        stream_framing_ = framing;
        co_await write_stream(*response);
    } else if (response->body().size() >= large_body) {
        flush();
        send(response->body());
    } else {
        output_ += response->body();
    }
}

Coro<Response> Connection::handle(Request& request) {
    RouteMatch match = core_->router().find(request.method(), request.raw_path());
    if (match.route) {
        RequestAccess::set_params(request, match.route->names(), std::move(match.values));
        Handler& handler = match.route->handler();
        if (handler.is_plain()) co_return handler.call_plain(request);
        co_return co_await handler.call(request);
    }
    if (match.allowed.empty()) co_return plain_error(404, {});
    std::string allow;
    for (const std::string& method : match.allowed)
        allow += (allow.empty() ? "" : ", ") + method;
    Response response = plain_error(405, {});
    response.header("Allow", allow);
    co_return response;
}

Response Connection::response_to_error(const Request& request, const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const HttpError& refusal) {
        return plain_error(refusal.status(), refusal.what());
    } catch (...) {
        core_->loop().call_exception_handler(ExceptionContext("Unhandled exception in the HTTP handler of " +
                                                                  std::string(request.method()) + " " +
                                                                  std::string(request.raw_path()),
                                                              error, current_task().name()));
        return plain_error(500, {});
    }
}

/// The task has ended, and with it all that was in the queue.
void Connection::settle() {
    if (state_ != State::open) return;
    if (!keep_alive_ || last_seen_) {
        finish();
        return;
    }
    flush();
    core_->give_back(std::move(output_));
    output_ = std::string();
    if (failure_ != 0) {
        send_failure();
        return;
    }
    if (ended_ || (core_->is_draining() && !incoming_)) {
        close();
        return;
    }
    if (reading_paused_) {
        reading_paused_ = false;
        transport_->resume_reading();
    }
    continue_if_expected();
    update_watch();
}

// Responses

Coro<> Connection::write_stream(Response& response) {
    stream_left_ = response.content_length();
    // The head goes with the first piece, or with the next turn of the loop if that takes longer.
    core_->loop().call_soon([self = shared_from_this()] { self->flush(); });
    ResponseStream stream(shared_from_this());
    std::exception_ptr error;
    try {
        co_await response.stream_body()(stream);
        if (stream_left_ && *stream_left_ > 0) throw ValueError("a streamed response is shorter than its length");
    } catch (const CancelledError&) {
        if (current_task().cancelling() > 0) throw;
        error = std::current_exception();
    } catch (const KeyboardInterrupt&) {
        throw;
    } catch (const SystemExit&) {
        throw;
    } catch (...) {
        error = std::current_exception();
    }
    if (state_ == State::lost) co_return;
    if (error) {
        core_->loop().call_exception_handler(
            ExceptionContext("Unhandled exception in the body of an HTTP response", error, current_task().name()));
        flush();
        keep_alive_ = false;
        transport_->abort();
        co_return;
    }
    if (stream_framing_ == Framing::chunked) output_ += "0\r\n\r\n";
}

void Connection::write_body(std::span<const std::byte> data) {
    if (state_ == State::lost || data.empty()) return;
    const std::string_view text(reinterpret_cast<const char*>(data.data()), data.size());
    if (stream_left_) {
        if (data.size() > *stream_left_) throw ValueError("a streamed response is longer than its length");
        *stream_left_ -= data.size();
    }
    const bool chunked = stream_framing_ == Framing::chunked;
    if (chunked) append_chunk_header(output_, data.size());
    output_ += text;
    if (chunked) output_ += "\r\n";
    flush();
}

void Connection::flush() {
    if (output_.empty()) return;
    send(output_);
    output_.clear();
}

void Connection::send(std::string_view data) {
    if (!transport_) return;
    written_ += data.size();
    transport_->write(data);
}

/// How many bytes the client's system has taken so far.
std::uint64_t Connection::taken() const {
    return written_ - transport_->get_write_buffer_size();
}

void Connection::continue_if_expected() {
    if (continued_ || !incoming_ || !parser_.expects_continue()) return;
    continued_ = true;
    send("HTTP/1.1 100 Continue\r\n\r\n");
}

void Connection::fail(int status, std::string message) {
    failure_ = status;
    failure_message_ = std::move(message);
}

void Connection::send_failure() {
    const Response response = plain_error(failure_, failure_message_);
    const Request unknown;
    append_head(output_, *core_, unknown, response, Framing::length, false);
    output_ += response.body();
    flush();
    linger();
}

// Ends

bool Connection::eof_received() {
    ended_ = true;
    if (state_ != State::open || !busy_) return false;
    if (core_->options().half_close()) return true;
    cancel_task();
    return false;
}

void Connection::cancel_task() {
    if (!busy_) return;
    cancel_requested_ = true;
    if (task_) task_.cancel();
}

void Connection::drain() {
    if (state_ == State::lingering || (state_ == State::open && !busy_ && !incoming_)) close();
}

void Connection::abort() {
    const auto keep = shared_from_this();
    cancel_task();
    if (transport_) transport_->abort();
}

/// The last response was written.
void Connection::finish() {
    flush();
    if (extra_input_ || !input_.empty() || incoming_)
        linger();
    else
        close();
}

/// Closing while bytes of the client are unread would make the system reset the connection, and the client might never
/// see the response. So: end the sending side, and read until the client ends its own.
void Connection::linger() {
    if (ended_ || core_->is_draining()) {
        close();
        return;
    }
    state_ = State::lingering;
    input_.clear();
    queue_.clear();
    incoming_.reset();
    if (reading_paused_) {
        reading_paused_ = false;
        transport_->resume_reading();
    }
    transport_->write_eof();
    watch(Watch::linger, linger_timeout);
}

void Connection::close() {
    state_ = State::closing;
    transport_->close();
    update_watch();
}

// Back-pressure

void Connection::pause_writing() {
    set_paused(true);
    update_watch();
}

void Connection::resume_writing() {
    set_paused(false);
    update_watch();
}

// The timer

/// Decides what to wait for. `received` tells that bytes of the client came in.
void Connection::update_watch(bool received) {
    const ServeOptions& options = core_->options();
    if (state_ == State::lost || state_ == State::lingering) return;
    if (state_ == State::closing || is_paused()) {
        if (watch_ != Watch::write) watch(Watch::write, options.write_timeout());
        return;
    }
    if (busy_) {
        watch_ = Watch::nothing;
        return;
    }
    const bool same_request = watched_request_ == requests_;
    if (!incoming_) {
        if (watch_ != Watch::idle || !same_request) watch(Watch::idle, options.idle_timeout());
    } else if (parser_.state() == RequestParser::State::body) {
        if (watch_ != Watch::body || !same_request || received) watch(Watch::body, options.body_timeout());
    } else if (watch_ != Watch::header || !same_request) {
        watch(Watch::header, options.header_timeout());
    }
}

void Connection::watch(Watch what, Duration limit) {
    watch_ = what;
    watched_request_ = requests_;
    watched_taken_ = taken();
    deadline_ = core_->loop().after(limit);
    // A timer that is due earlier finds out then: moving a deadline back costs nothing.
    if (timer_armed_ && timer_.when() <= deadline_) return;
    timer_.cancel();
    arm(deadline_);
}

void Connection::arm(TimePoint when) {
    timer_armed_ = true;
    timer_ = core_->loop().call_at(when, [this] { on_timer(); });
}

void Connection::on_timer() {
    timer_armed_ = false;
    if (watch_ == Watch::nothing) return;
    if (core_->loop().time() < deadline_) {
        arm(deadline_);
        return;
    }
    switch (std::exchange(watch_, Watch::nothing)) {
    case Watch::idle:
        // Who has not even read the last response will not wait for the connection to end properly.
        if (transport_->get_write_buffer_size() > 0)
            transport_->abort();
        else
            close();
        break;
    case Watch::header:
        fail(408, "the header took too long");
        send_failure();
        break;
    case Watch::body:
        fail(408, "the body took too long");
        send_failure();
        break;
    case Watch::write:
        // Slow is not dead.
        if (taken() > watched_taken_)
            watch(Watch::write, core_->options().write_timeout());
        else
            transport_->abort();
        break;
    case Watch::linger: transport_->abort(); break;
    case Watch::nothing: break;
    }
}

}  // namespace weft::http::detail
