#pragma once
// ResponseStream: writes the body of a streamed response; see Response::stream().
//
//     co_await out.write("part one\n");        // suspends while the client reads too slowly

#include <weft/base/bytes.hpp>
#include <weft/tasks/task.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

namespace weft::http {

namespace detail {

class StreamWrite;

/// The connection as a stream of body bytes.
class BodySink {
public:
    virtual void write_body(std::span<const std::byte> data) = 0;

    bool is_lost() const noexcept { return lost_; }
    bool is_paused() const noexcept { return paused_; }
    void add_write(StreamWrite& write) noexcept;
    void remove_write(StreamWrite& write) noexcept;

protected:
    BodySink() = default;
    ~BodySink() = default;
    void set_paused(bool paused) noexcept;
    void set_lost() noexcept;

private:
    void wake_writes() noexcept;

    StreamWrite* writes_ = nullptr;
    bool paused_ = false;
    bool lost_ = false;
};

/// Waits until the client's connection takes more. What ResponseStream::write() gives.
class StreamWrite final : public weft::detail::TaskWaiter, public weft::detail::LeafAwaitable<StreamWrite, void> {
public:
    explicit StreamWrite(std::shared_ptr<BodySink> sink) noexcept : sink_(std::move(sink)) {}
    StreamWrite(StreamWrite&& other) noexcept = default;
    ~StreamWrite() {
        if (is_waiting()) sink_->remove_write(*this);
    }

    std::string_view waiter_kind() const noexcept override { return "ResponseStream.write"; }
    bool await_ready() const noexcept { return !sink_->is_paused() && !sink_->is_lost(); }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) {
        start(handle.promise());
    }
    void await_resume();

private:
    friend class BodySink;
    void start(weft::detail::PromiseBase& promise);
    void on_cancel_wait() noexcept override { sink_->remove_write(*this); }

    std::shared_ptr<BodySink> sink_;
    StreamWrite* next_ = nullptr;
    weft::detail::TaskBase* yielded_ = nullptr;
};

}  // namespace detail

class ResponseStream {
public:
    explicit ResponseStream(std::shared_ptr<detail::BodySink> sink) noexcept : sink_(std::move(sink)) {}
    ResponseStream(const ResponseStream&) = delete;
    ResponseStream& operator=(const ResponseStream&) = delete;

    /// Sends a copy of `data` now; awaiting it waits until the connection's buffer is small enough to write more. When
    /// the client goes away, the task is cancelled (CancelledError at its await); who writes on after that gets
    /// ConnectionResetError. ValueError if more is written than Response::content_length() said.
    [[nodiscard("co_await it")]] detail::StreamWrite write(std::span<const std::byte> data) {
        sink_->write_body(data);
        return detail::StreamWrite(sink_);
    }
    [[nodiscard("co_await it")]] detail::StreamWrite write(std::string_view text) { return write(as_byte_span(text)); }
    /// False once the client has gone.
    bool is_open() const noexcept { return !sink_->is_lost(); }

private:
    std::shared_ptr<detail::BodySink> sink_;
};

}  // namespace weft::http
