#pragma once
// SlowCallbackTimer: in debug mode, reports a callback that takes long and is not run by the ready queue, which reports
// its own: a protocol's, called from the poll.
//
//     SlowCallbackTimer timer(loop, "Protocol.data_received()");
//     protocol.data_received(data);
//
// "Executing <Protocol.data_received()> took 0.150 seconds". Outside of debug mode it costs one comparison.

#include <weft/loop/event_loop.hpp>

#include <string_view>

namespace weft::detail {

class SlowCallbackTimer {
public:
    /// `what` must live as long as this. The loop must not end before.
    SlowCallbackTimer(EventLoop& loop, std::string_view what) noexcept : what_(what) {
        if (loop.get_debug()) [[unlikely]] {
            loop_ = &loop;
            begin_ = Clock::now();
        }
    }
    SlowCallbackTimer(const SlowCallbackTimer&) = delete;
    SlowCallbackTimer& operator=(const SlowCallbackTimer&) = delete;
    ~SlowCallbackTimer() {
        if (loop_) [[unlikely]]
            finish();
    }

private:
    void finish() noexcept;

    EventLoop* loop_ = nullptr;  // only in debug mode
    std::string_view what_;
    TimePoint begin_{};
};

}  // namespace weft::detail
