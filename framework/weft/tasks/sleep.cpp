#include <weft/tasks/sleep.hpp>

namespace weft::detail {

void SleepBase::start(PromiseBase& promise) {
    if (delay_ <= Duration::zero()) {
        yielded_ = &promise.task();
        yielded_->suspend(promise, nullptr);
        yielded_->schedule();
        return;
    }
    EventLoop& loop = promise.task().loop();
    timer_ = loop.call_at(loop.after(delay_), [this] { wake(); });
    suspend(promise);
}

}  // namespace weft::detail
