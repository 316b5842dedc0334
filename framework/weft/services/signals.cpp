#include <weft/services/signals.hpp>

#include <weft/base/exceptions.hpp>
#include <weft/loop/context.hpp>

#include <csignal>
#include <map>
#include <memory>
#include <string>

namespace weft {

namespace {

class BackendSignals final : public SignalService {
public:
    explicit BackendSignals(EventLoop& loop) noexcept : loop_(loop) {}

    void add(int signal_number, UniqueFunction<void()> fn) override {
        remove(signal_number);
        auto handler = std::make_shared<Handler>(std::move(fn));
        const auto arrived = [&loop = loop_, handler, context = detail::ContextSlot::copy_of_current()]() mutable {
            const detail::ContextScope scope(context);  // of which the handle takes a copy
            if (std::exchange(handler->scheduled, true)) return;
            loop.schedule_internal([handler] {
                handler->scheduled = false;
                if (!handler->removed) handler->fn();
            });
        };
        loop_.backend().watch_signal(signal_number, arrived);
        handlers_[signal_number] = std::move(handler);
    }
    bool remove(int signal_number) override {
        const auto found = handlers_.find(signal_number);
        if (found == handlers_.end()) return false;
        const std::shared_ptr<Handler> handler = std::move(found->second);
        handlers_.erase(found);
        handler->removed = true;
        loop_.backend().unwatch_signal(signal_number);
        return true;
    }
    void shutdown() noexcept override {
        for (const auto& [number, handler] : handlers_)
            loop_.backend().unwatch_signal(number);
        handlers_.clear();
    }

private:
    class Handler {
    public:
        explicit Handler(UniqueFunction<void()> fn) : fn(std::move(fn)) {}
        UniqueFunction<void()> fn;
        bool scheduled = false;  // its callback is in the ready queue
        bool removed = false;
    };

    EventLoop& loop_;
    std::map<int, std::shared_ptr<Handler>> handlers_;
};

}  // namespace

SignalService& SignalService::of(EventLoop& loop) {
    if (auto* service = loop.find_service<SignalService>()) return *service;
    return loop.add_service<BackendSignals>(loop);
}

void EventLoop::add_signal_handler(int signal_number, UniqueFunction<void()> fn) {
    check_usable();
    if (signal_number < 1 || signal_number >= NSIG)
        throw ValueError("invalid signal number " + std::to_string(signal_number));
    if (signal_number == SIGKILL || signal_number == SIGSTOP)
        throw RuntimeError("sig " + std::to_string(signal_number) + " cannot be caught");
    SignalService::of(*this).add(signal_number, std::move(fn));
}

bool EventLoop::remove_signal_handler(int signal_number) {
    if (closed_) return false;
    auto* service = find_service<SignalService>();
    return service && service->remove(signal_number);
}

}  // namespace weft
