#include <weft/services/signals.hpp>

#include <weft/base/exceptions.hpp>
#include <weft/loop/context.hpp>
#include <weft/loop/default_interrupt.hpp>

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
        auto callback = std::make_shared<UniqueFunction<void()>>(std::move(fn));
        detail::ContextSlot context = detail::ContextSlot::copy_of_current();
        std::shared_ptr<Handler>& handler = handlers_[signal_number];
        if (handler) {
            // In place: at no moment is the signal without a handler.
            handler->callback = std::move(callback);
            handler->context = std::move(context);
            return;
        }
        try {
            handler = std::make_shared<Handler>(std::move(callback), std::move(context));
            loop_.backend().watch_signal(signal_number, [&loop = loop_, handler] { arrived(loop, handler); });
        } catch (...) {
            handlers_.erase(signal_number);
            throw;
        }
    }
    bool remove(int signal_number) override {
        const auto found = handlers_.find(signal_number);
        if (found == handlers_.end()) return false;
        const std::shared_ptr<Handler> handler = std::move(found->second);
        handlers_.erase(found);
        handler->callback = nullptr;
        loop_.backend().unwatch_signal(signal_number);
        return true;
    }
    void shutdown() noexcept override {
        for (const auto& [number, handler] : handlers_)
            loop_.backend().unwatch_signal(number);
        handlers_.clear();
    }

private:
    struct Handler {
        Handler(std::shared_ptr<UniqueFunction<void()>> callback, detail::ContextSlot context)
            : callback(std::move(callback)), context(std::move(context)) {}
        std::shared_ptr<UniqueFunction<void()>> callback;  // null once it is removed
        detail::ContextSlot context;
        bool scheduled = false;  // its call is in the ready queue
    };

    static void arrived(EventLoop& loop, const std::shared_ptr<Handler>& handler) {
        if (std::exchange(handler->scheduled, true)) return;
        const detail::ContextScope scope(handler->context);  // of which the handle takes a copy
        loop.schedule_internal([handler] {
            handler->scheduled = false;
            if (const auto callback = handler->callback) (*callback)();  // which may replace itself
        });
    }

    EventLoop& loop_;
    std::map<int, std::shared_ptr<Handler>> handlers_;
};

void check_signal(int signal_number) {
    if (signal_number < 1 || signal_number >= NSIG)
        throw ValueError("invalid signal number " + std::to_string(signal_number));
}

}  // namespace

SignalService& SignalService::of(EventLoop& loop) {
    if (auto* service = loop.find_service<SignalService>()) return *service;
    return loop.add_service<BackendSignals>(loop);
}

void EventLoop::add_signal_handler(int signal_number, UniqueFunction<void()> fn) {
    check_usable();
    check_signal(signal_number);
    if (signal_number == SIGKILL || signal_number == SIGSTOP)
        throw RuntimeError("sig " + std::to_string(signal_number) + " cannot be caught");
    SignalService::of(*this).add(signal_number, std::move(fn));
    auto* interrupt = signal_number == SIGINT ? find_service<detail::DefaultInterrupt>() : nullptr;
    if (interrupt) interrupt->set_replaced(true);
}

bool EventLoop::remove_signal_handler(int signal_number) {
    check_signal(signal_number);
    if (closed_) return false;
    auto* service = find_service<SignalService>();
    if (!service) return false;
    auto* interrupt = signal_number == SIGINT ? find_service<detail::DefaultInterrupt>() : nullptr;
    if (!interrupt || !interrupt->is_set()) return service->remove(signal_number);
    if (!interrupt->is_replaced()) return false;  // that of the Runner is none of the application's
    service->add(signal_number, interrupt->action());
    interrupt->set_replaced(false);
    return true;
}

}  // namespace weft
