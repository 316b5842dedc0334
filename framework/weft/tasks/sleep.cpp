#include <weft/tasks/sleep.hpp>

namespace weft::detail {

void SleepBase::start(PromiseBase& promise) {
    EventLoop& loop = promise.task().loop();
    timer_ = loop.make_timer(loop.after(delay_), [this] { wake(); }).detach();
    suspend(promise);
}

void SleepBase::drop_timer() noexcept {
    if (Ref<TimerState> timer = Ref<TimerState>::adopt(std::exchange(timer_, nullptr))) timer->cancel();
}

}  // namespace weft::detail
