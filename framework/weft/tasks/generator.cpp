#include <weft/tasks/generator.hpp>

#include <weft/tasks/gather.hpp>

#include <string>
#include <vector>

namespace weft::detail {

namespace {

/// The generators of a loop that have begun and not ended.
class LiveGenerators final : public Service {
public:
    std::string_view name() const noexcept override { return "asyncgens"; }
    static LiveGenerators& of(EventLoop& loop) {
        if (auto* live = loop.find_service<LiveGenerators>()) return *live;
        return loop.add_service<LiveGenerators>();
    }
    void shutdown() noexcept override;
    GeneratorBase* first = nullptr;
    bool shut_down = false;
};

void LiveGenerators::shutdown() noexcept {
    while (first)
        first->leave_loop();
}

}  // namespace

bool GeneratorBase::advance_in(PromiseBase& parent, std::exception_ptr error) {
    if (state_ == State::created) enter_loop();
    pending_error_ = std::move(error);
    state_ = State::running;
    parent_ = &parent;
    task_ = &parent.task();
    synchronous_ = true;
    handle_.resume();
    if (state_ != State::running) return false;
    synchronous_ = false;
    return true;
}

void GeneratorBase::stop(State state) noexcept {
    state_ = state;
    if (state == State::finished) leave_loop();
    if (!synchronous_) task_->leaf_finished(parent_);
}

void GeneratorBase::check_idle(const char* operation) const {
    if (state_ == State::running)
        throw RuntimeError(std::string(operation) + "(): asynchronous generator is already running");
}

void GeneratorBase::finish_unstarted() noexcept {
    state_ = State::finished;
}

void GeneratorBase::enter_loop() {
    EventLoop& loop = get_running_loop();
    LiveGenerators& live = LiveGenerators::of(loop);
    if (live.shut_down)
        loop.log("asynchronous generator " + describe() + " was scheduled after loop.shutdown_asyncgens() call");
    loop_ = &loop;
    next_live_ = live.first;
    if (next_live_) next_live_->previous_live_ = this;
    live.first = this;
}

void GeneratorBase::leave_loop() noexcept {
    EventLoop* loop = std::exchange(loop_, nullptr);
    if (!loop) return;
    auto* live = loop->find_service<LiveGenerators>();
    if (live && live->first == this) live->first = next_live_;
    if (previous_live_) previous_live_->next_live_ = next_live_;
    if (next_live_) next_live_->previous_live_ = previous_live_;
    previous_live_ = next_live_ = nullptr;
}

GeneratorBase* GeneratorBase::first_live(EventLoop& loop) noexcept {
    const auto* live = loop.find_service<LiveGenerators>();
    return live ? live->first : nullptr;
}

std::string GeneratorBase::describe() const {
    return std::string("<async_generator ") + awaits_at().function_name() + ">";
}

void CloseAwaiter::await_resume() {
    stepped_out();
    if (!body()) return;
    if (body()->state() == GeneratorBase::State::suspended) throw RuntimeError("async generator ignored GeneratorExit");
    try {
        body()->rethrow();
    } catch (const GeneratorExit&) {
        // As it should.
    }
}

}  // namespace weft::detail

namespace weft {

namespace {

/// Not for a cancellation nor for an interrupt, which are no Exceptions in Python.
bool is_reported(const std::exception_ptr& error) {
    return error && !detail::holds<CancelledError>(error) && !detail::holds<KeyboardInterrupt>(error) &&
           !detail::holds<SystemExit>(error);
}

}  // namespace

Coro<void> EventLoop::shutdown_asyncgens() {
    detail::LiveGenerators::of(*this).shut_down = true;
    std::vector<detail::Ref<detail::GeneratorShare>> left;
    std::vector<detail::CloseAwaiter> closings;
    for (auto* at = detail::GeneratorBase::first_live(*this); at; at = at->next_live()) {
        left.emplace_back(at->share());
        closings.emplace_back(left.back());
    }
    if (left.empty()) co_return;
    auto closed = gather(return_exceptions, std::move(closings));
    const auto outcomes = co_await closed;
    for (std::size_t i = 0; i < left.size(); ++i)
        if (const std::exception_ptr& error = outcomes[i].exception(); is_reported(error))
            call_exception_handler(ExceptionContext(
                "an error occurred during closing of asynchronous generator " + left[i]->describe(), error));
}

}  // namespace weft
