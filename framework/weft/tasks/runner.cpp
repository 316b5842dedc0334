#include <weft/tasks/runner.hpp>

#include <weft/base/constants.hpp>
#include <weft/loop/default_interrupt.hpp>

#include <sys/types.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <memory>

namespace weft {

namespace {

bool on_main_thread() noexcept {
    return gettid() == getpid();
}

/// While it lives, Ctrl-C cancels the main task; a second one leaves the loop.
class InterruptWatch {
public:
    InterruptWatch(EventLoop& loop, detail::FutureBase& main) : loop_(loop), state_(std::make_shared<State>(main)) {
        struct sigaction current{};
        if (!on_main_thread() || sigaction(SIGINT, nullptr, &current) != 0 || current.sa_handler != SIG_DFL) return;
        interrupt_ = loop_.find_service<detail::DefaultInterrupt>();
        if (!interrupt_) interrupt_ = &loop_.add_service<detail::DefaultInterrupt>();
        auto action = [state = state_] { state->interrupted(); };
        loop_.add_signal_handler(SIGINT, action);
        interrupt_->set(std::move(action));
    }
    InterruptWatch(const InterruptWatch&) = delete;
    InterruptWatch& operator=(const InterruptWatch&) = delete;
    ~InterruptWatch() {
        if (!interrupt_) return;
        interrupt_->clear();
        // A handler of the application's stays.
        if (!interrupt_->is_replaced()) loop_.remove_signal_handler(SIGINT);
    }
    unsigned count() const noexcept { return state_->count; }
    /// Ctrl-C has come, and the loop did not get to it.
    bool is_pending() const noexcept {
        return interrupt_ && !interrupt_->is_replaced() && loop_.backend().signal_is_pending(SIGINT);
    }

private:
    /// Shared with the callback: one that is queued already runs after the watch has ended.
    class State {
    public:
        explicit State(detail::FutureBase& main) : main(&main) {}
        void interrupted() {
            if (++count > 1 || main->done()) throw KeyboardInterrupt();
            main->cancel(nullptr);
        }
        detail::Ref<detail::FutureBase> main;
        unsigned count = 0;
    };

    EventLoop& loop_;
    std::shared_ptr<State> state_;
    detail::DefaultInterrupt* interrupt_ = nullptr;
};

}  // namespace

Runner::Runner(RunOptions options) : options_(std::move(options)) {}

Runner::~Runner() {
    try {
        close();
    } catch (...) {
        // Only an interrupt gets here, and the program is ending.
    }
}

EventLoop& Runner::get_loop() {
    if (state_ == State::closed) throw RuntimeError("Runner is closed");
    if (state_ == State::created) {
        loop_ = options_.loop_factory() ? options_.loop_factory()() : new_event_loop();
        if (options_.debug()) loop_->set_debug(*options_.debug());
        context_.emplace(copy_context());
        state_ = State::initialized;
    }
    return *loop_;
}

void Runner::check_can_run() const {
    if (detail::running_loop) throw RuntimeError("Runner.run() cannot be called from a running event loop");
}

void Runner::run_main(detail::FutureBase& main) {
    InterruptWatch interrupts(*loop_, main);
    detail::run_until_done(*loop_, main);
    if (interrupts.is_pending()) throw KeyboardInterrupt();
    if (main.is_cancelled() && interrupts.count() > 0 && main.as_task()->uncancel() == 0) throw KeyboardInterrupt();
}

void Runner::close() {
    if (state_ != State::initialized) {
        state_ = State::closed;
        return;
    }
    struct Closed {
        Runner& self;
        ~Closed() {
            self.state_ = State::closed;
            self.loop_->close();
        }
    } closed{*this};
    cancel_all_tasks();
    loop_->run_until_complete(loop_->shutdown_asyncgens());
    loop_->run_until_complete(loop_->shutdown_default_executor(constants::thread_join_timeout));
}

/// Leftover tasks are cancelled and awaited; what they raise is reported.
void Runner::cancel_all_tasks() {
    std::vector<AnyTask> left = all_tasks(*loop_);
    if (left.empty()) return;
    for (AnyTask& task : left)
        task.cancel();
    std::size_t pending = left.size();
    EventLoop& loop = *loop_;
    for (AnyTask& task : left) {
        auto* callback = new detail::DoneCallback(task.task(), [&pending, &loop] {
            if (--pending == 0) loop.stop();
        });
        task.task().add_callback(*callback);
    }
    while (pending > 0)
        loop.run_forever();
    for (AnyTask& task : left) {
        if (task.cancelled()) continue;
        if (std::exception_ptr error = task.task().exception()) {
            const detail::ContextScope scope(task.task().context_slot());
            loop.call_exception_handler(
                task.task().error_context("unhandled exception during weft::run() shutdown", error));
        }
    }
}

namespace detail {

std::string format_error(const TaskBase& task, const std::exception_ptr& error) {
    std::string text;
    if (const auto* trace = task.error_trace(); trace && !trace->empty()) {
        text = "Traceback (await stack, most recent last):\n";
        for (std::size_t i = trace->size(); i-- > 0;)
            text += "  File \"" + std::string((*trace)[i].file_name()) + "\", line " +
                    std::to_string((*trace)[i].line()) + ", in " + (*trace)[i].function_name() + "\n";
    }
    return text + describe_exception(error) + "\n";
}

int exit_status_of(UniqueFunction<int(Runner&, std::string& trace)> body, RunOptions options) {
    std::string trace;
    const auto report = [&trace](const std::exception_ptr& error) {
        write_stderr(trace.empty() ? describe_exception(error) + "\n" : trace);
        return 1;
    };
    try {
        Runner runner(std::move(options));
        const int status = body(runner, trace);
        body = nullptr;
        runner.close();
        return status;
    } catch (const KeyboardInterrupt&) {
        return 128 + SIGINT;
    } catch (const SystemExit& exit) {
        return exit.code();
    } catch (...) {
        return report(std::current_exception());
    }
}

}  // namespace detail
}  // namespace weft
