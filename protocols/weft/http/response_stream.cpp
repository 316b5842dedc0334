#include <weft/http/response_stream.hpp>

#include <utility>

namespace weft::http::detail {

void BodySink::add_write(StreamWrite& write) noexcept {
    write.next_ = std::exchange(writes_, &write);
}

void BodySink::remove_write(StreamWrite& write) noexcept {
    for (StreamWrite** at = &writes_; *at; at = &(*at)->next_) {
        if (*at != &write) continue;
        *at = write.next_;
        return;
    }
}

void BodySink::wake_writes() noexcept {
    // The list is a stack; whoever waits longest goes first.
    StreamWrite* ordered = nullptr;
    for (StreamWrite* write = std::exchange(writes_, nullptr); write;)
        ordered = std::exchange(write, std::exchange(write->next_, ordered));
    while (ordered)
        std::exchange(ordered, ordered->next_)->wake();
}

void BodySink::set_paused(bool paused) noexcept {
    paused_ = paused;
    if (!paused) wake_writes();
}

void BodySink::set_lost() noexcept {
    lost_ = true;
    paused_ = false;
    wake_writes();
}

void StreamWrite::start(weft::detail::PromiseBase& promise) {
    if (!sink_->is_paused()) {
        // The client has gone: a turn of the loop, in which the task's cancellation is raised.
        yielded_ = &promise.task();
        yielded_->suspend(promise, nullptr);
        yielded_->schedule();
        return;
    }
    sink_->add_write(*this);
    suspend(promise);
}

void StreamWrite::await_resume() {
    if (yielded_)
        yielded_->check_cancelled(false);
    else
        end_wait();
    if (sink_->is_lost()) throw ConnectionResetError("the client has gone");
}

}  // namespace weft::http::detail
