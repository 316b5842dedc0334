#include <weft/loop/event_loop.hpp>

#include <weft/base/constants.hpp>
#include <weft/base/exceptions.hpp>

#include <pthread.h>

#include <algorithm>
#include <cassert>
#include <cstdio>
#include <cstdlib>
#include <map>

namespace weft {

namespace detail {

thread_local constinit EventLoop* running_loop = nullptr;

namespace {

/// A forked child runs no loop, whatever its parent did.
void forget_loops_in_forked_children() {
    [[maybe_unused]] static const int registered = pthread_atfork(nullptr, nullptr, [] { running_loop = nullptr; });
}

std::atomic<std::uint64_t> next_id_block{0};
constexpr std::uint64_t id_block = 1024;
std::atomic<std::uint64_t> next_loop_id{1};

}  // namespace

thread_local constinit TaskIds task_ids{0, 0};

void TaskIds::take_block() noexcept {
    last = next_id_block.fetch_add(1, std::memory_order_relaxed) * id_block;
    end = last + id_block;
}

}  // namespace detail

struct EventLoop::Registries {
    struct Entry {
        const void* key;
        std::unique_ptr<Service> service;
    };
    std::vector<Entry> services;
    std::map<std::pair<int, FdEvent>, detail::Ref<detail::HandleState>> watched;  // the queued handle, if any
};

EventLoop::EventLoop(std::unique_ptr<Backend> backend)
    : slow_callback_duration(constants::slow_callback_duration),
      polls_each_iteration_(backend->polls_each_iteration()),
      id_(detail::next_loop_id.fetch_add(1, std::memory_order_relaxed)),
      backend_(std::move(backend)),
      registries_(std::make_unique<Registries>()),
      inbox_(std::make_shared<detail::Inbox>(*backend_, has_mail_)) {
    detail::forget_loops_in_forked_children();
    set_debug(detail::debug_in_environment());
    backend_->attach(*this);
}

void EventLoop::set_task_factory(TaskFactory factory) {
    task_factory_ = std::move(factory);
    note_special();
}

std::string EventLoop::repr() const {
    const auto text = [](bool value) { return value ? std::string("True") : std::string("False"); };
    return "<EventLoop backend=" + std::string(backend_->name()) + " running=" + text(is_running()) +
           " closed=" + text(closed_) + " debug=" + text(debug_) + ">";
}

EventLoop::~EventLoop() {
    assert(!is_running());
    if (!closed_) close();
}

bool detail::debug_in_environment() noexcept {
    const char* debug = std::getenv("WEFT_DEBUG");
    return debug && *debug;
}

void detail::throw_no_running_loop() {
    throw RuntimeError("no running event loop");
}

// Running

void EventLoop::check_can_run() const {
    if (closed_) throw RuntimeError("Event loop is closed");
    if (is_running()) throw RuntimeError("This event loop is already running");
    if (detail::running_loop) throw RuntimeError("Cannot run the event loop while another loop is running");
}

namespace {

/// A bit for each iteration since the last poll in which the clock is not looked at: it costs more than an iteration,
/// so it is read in the first few and then in every eighth, or after callbacks_without_clock, if that is earlier:
/// callbacks that take long must not keep timers and I/O waiting.
constexpr std::uint64_t quiet_iterations = [] {
    std::uint64_t bits = 0;
    for (unsigned i = 0; i < 64; ++i)
        if (i < constants::busy_poll_iterations && (i & (i - 1)) != 0 && i % 8 != 0) bits |= std::uint64_t{1} << i;
    return bits;
}();
static_assert(constants::busy_poll_iterations < 64);

}  // namespace

inline bool EventLoop::is_quiet() const noexcept {
    return ((quiet_iterations >> busy_iterations_) & 1) != 0 &&
           steps_ - steps_at_clock_ < constants::callbacks_without_clock;
}

inline void EventLoop::run_ready() {
    batch_end_ = ready_.back();
    bool more;
    do {
        detail::ReadyNode& node = ready_.pop();
        more = &node != batch_end_;
        ++steps_;
        if (debug_) [[unlikely]]
            run_timed(node);
        else
            node.run();
    } while (more && batch_end_);
}

inline void EventLoop::run_once() {
    take_mail();
    // The fast way: callbacks are ready, no timer is set, and it is not time to look at the clock or for I/O.
    busy_iterations_ = ready_.empty() ? 0 : busy_iterations_ + 1;
    const bool quiet = is_quiet();
    if (!quiet || !timers_.empty() || stopping_ || polls_each_iteration_) poll_backend();
    if (!timers_.empty() && timers_.earliest() <= now_) {
        take_mail();
        timers_.pop_due(now_, ready_);
    }
    if (!ready_.empty()) run_ready();
}

void EventLoop::run_forever() {
    check_can_run();
    busy_iterations_ = 0;
    struct Running {
        explicit Running(EventLoop& loop) : loop(loop) {
            loop.running_ = true;
            detail::running_loop = &loop;
        }
        ~Running() {
            loop.stopping_ = false;
            loop.running_ = false;
            detail::running_loop = nullptr;
        }
        EventLoop& loop;
    } running(*this);
    do {
        run_once();
    } while (!stopping_);
}

void EventLoop::look_at_clock() noexcept {
    now_ = backend_->now();
    steps_at_clock_ = steps_;
}

/// Polls as the rules ask: without waiting if something is ready, else until the earliest timer. While callbacks are
/// always ready it polls only now and then; see constants.hpp.
void EventLoop::poll_backend() {
    const bool timers = timers_.purge();
    if (ready_.empty() && !stopping_) {
        if (backend_->poll_rest()) {
            // It does not wait, so nobody needs to wake it.
        } else if (inbox_->begin_sleep()) {
            if (timers)
                backend_->poll(timers_.earliest());
            else
                backend_->poll(std::nullopt);
            inbox_->end_sleep();
        } else {
            backend_->poll_ready();
        }
        take_mail();
        if (timers || debug_) look_at_clock();
        return;
    }
    if (!timers && !stopping_ && backend_->is_idle()) {
        steps_at_clock_ = steps_;  // it tells nothing
        if (busy_iterations_ >= constants::busy_poll_iterations) busy_iterations_ = 1;
        return;
    }
    if (polls_each_iteration_ || stopping_ || poll_is_due()) {
        backend_->poll_ready();
        busy_iterations_ = 1;
        look_at_clock();
        last_poll_ = now_;
    } else if (timers && timers_.earliest() <= now_ + constants::busy_poll_interval) {
        look_at_clock();
    }
}

bool EventLoop::poll_is_due() {
    const unsigned count = busy_iterations_;
    if (count >= constants::busy_poll_iterations) return true;
    if (count == 1) {
        look_at_clock();
        last_poll_ = now_;
        return false;
    }
    if (is_quiet()) return false;
    look_at_clock();
    return now_ - last_poll_ >= constants::busy_poll_interval;
}

void EventLoop::unschedule(detail::ReadyNode& node) noexcept {
    if (&node == batch_end_) {
        batch_end_ = nullptr;
        for (detail::ReadyNode* at = ready_.front(); at && at != &node; at = at->next_node)
            batch_end_ = at;
    }
    ready_.remove(node);
}

void EventLoop::run_timed(detail::ReadyNode& node) {
    const std::string what = node.describe();
    const TimePoint begin = Clock::now();
    node.run();
    log_if_slow(what, begin);
}

void EventLoop::log_if_slow(std::string_view what, TimePoint begin) {
    const Duration took = Clock::now() - begin;
    if (took < slow_callback_duration) return;
    char seconds[32];
    std::snprintf(seconds, sizeof seconds, "%.3f", std::chrono::duration<double>(took).count());
    log("Executing " + std::string(what) + " took " + seconds + " seconds");
}

void EventLoop::close() {
    if (is_running()) throw RuntimeError("Cannot close a running event loop");
    if (closed_) return;
    closed_ = true;
    note_special();
    inbox_->close(ready_);
    // Tasks first, while everything their destructors may touch still stands.
    destroy_tasks();
    for (auto& services = registries_->services; !services.empty(); services.pop_back())
        services.back().service->shutdown();
    registries_->watched.clear();
    backend_->close();
    remote_nodes_.close();
    destroy_tasks();
    // Either may complete further futures; who comes later finds the loop closed.
    while (unretrieved_.first || !ready_.empty()) {
        if (unretrieved_.first) unretrieved_.report(*unretrieved_.first);
        drop_scheduled();
    }
    open_.leave();
}

void EventLoop::destroy_tasks() noexcept {
    // A task that is destroyed must not be in the ready queue, where the one before it may have put it.
    drop_scheduled();
    while (detail::TaskRecord* task = tasks_.first()) {
        task->destroy_pending();
        drop_scheduled();
    }
}

void EventLoop::drop_scheduled() noexcept {
    timers_.clear();
    while (!ready_.empty())
        ready_.pop().discard();
}

// Scheduling

void EventLoop::check_usable_slow() const {
    if (closed_) detail::throw_loop_closed();
    if (debug_ && is_running() && detail::running_loop != this) detail::throw_wrong_thread();
}

TimePoint EventLoop::after(Duration delay) noexcept {
    look_at_clock();  // so that the loop knows how near the timer is
    return delay > TimePoint::max() - now_ ? TimePoint::max() : now_ + delay;
}

Handle EventLoop::schedule_callback(UniqueFunction<void()> callback) {
    check_usable();
    return schedule_internal(std::move(callback));
}

Handle EventLoop::schedule_internal(UniqueFunction<void()> callback) {
    auto state = detail::Ref<detail::HandleState>::adopt(
        new detail::HandleState(*this, std::move(callback), detail::ContextSlot::copy_of_current(), false));
    state->add_ref();  // the queue's
    schedule(*state);
    return Handle(std::move(state));
}

Handle EventLoop::schedule_threadsafe(UniqueFunction<void()> callback) {
    auto state = detail::Ref<detail::HandleState>::adopt(
        new detail::ThreadsafeHandleState(*this, std::move(callback), detail::ContextSlot::copy_of_current()));
    if (detail::running_loop == this) {
        check_usable();
        state->add_ref();
        schedule(*state);
        return Handle(std::move(state));
    }
    state->add_ref();
    if (!inbox_->post(*state)) {
        state->release();
        throw RuntimeError("Event loop is closed");
    }
    return Handle(std::move(state));
}

detail::Ref<detail::TimerState> EventLoop::make_timer(TimePoint when, UniqueFunction<void()> callback) {
    check_usable();
    auto state = detail::Ref<detail::TimerState>::adopt(
        new detail::TimerState(*this, when, std::move(callback), detail::ContextSlot::copy_of_current()));
    timers_.add(*state);
    return state;
}

TimerHandle EventLoop::schedule_timer(TimePoint when, UniqueFunction<void()> callback) {
    return TimerHandle(make_timer(when, std::move(callback)));
}

// Descriptors

void EventLoop::check_descriptor_free(int fd) const {
    if (fd < 0 || closed_) return;
    for (const auto& entry : registries_->services)
        entry.service->check_descriptor_free(fd);
}

void EventLoop::watch(int fd, FdEvent event, UniqueFunction<void()> fn) {
    check_usable();
    if (fd < 0) throw ValueError("file descriptor cannot be a negative integer (" + std::to_string(fd) + ")");
    check_descriptor_free(fd);
    unwatch(fd, event);
    const auto key = std::make_pair(fd, event);
    registries_->watched.emplace(key, nullptr);
    auto shared = std::make_shared<UniqueFunction<void()>>(std::move(fn));
    try {
        backend_->watch_fd(fd, event, [this, key, shared, context = detail::ContextSlot::copy_of_current()] {
            // Through the queue: removing the watcher in this iteration keeps the callback from running.
            auto found = registries_->watched.find(key);
            if (found == registries_->watched.end()) return;
            if (found->second) found->second->cancel();
            auto state = detail::Ref<detail::HandleState>::adopt(
                new detail::HandleState(*this, [shared] { (*shared)(); }, context, false));
            found->second = state;
            state->add_ref();
            schedule(*state);
        });
    } catch (...) {
        registries_->watched.erase(key);
        throw;
    }
}

bool EventLoop::unwatch(int fd, FdEvent event) {
    if (closed_) return false;
    auto found = registries_->watched.find({fd, event});
    if (found == registries_->watched.end()) return false;
    if (found->second) found->second->cancel();
    registries_->watched.erase(found);
    backend_->unwatch_fd(fd, event);
    return true;
}

void EventLoop::add_reader(int fd, UniqueFunction<void()> fn) {
    watch(fd, FdEvent::readable, std::move(fn));
}
bool EventLoop::remove_reader(int fd) {
    check_descriptor_free(fd);
    return unwatch(fd, FdEvent::readable);
}
void EventLoop::add_writer(int fd, UniqueFunction<void()> fn) {
    watch(fd, FdEvent::writable, std::move(fn));
}
bool EventLoop::remove_writer(int fd) {
    check_descriptor_free(fd);
    return unwatch(fd, FdEvent::writable);
}

// Errors

void EventLoop::log(std::string_view line) {
    if (logger_) {
        logger_(line);
        return;
    }
    std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
}

void EventLoop::default_exception_handler(const ExceptionContext& context) {
    std::string text = context.message.empty() ? "Unhandled exception in event loop" : context.message;
    if (!context.task.empty()) text += "\n  task: " + context.task;
    if (!context.future.empty()) text += "\n  future: " + context.future;
    if (!context.handle.empty()) text += "\n  handle: " + context.handle;
    if (!context.protocol.empty()) text += "\n  protocol: " + context.protocol;
    if (!context.transport.empty()) text += "\n  transport: " + context.transport;
    if (context.created_at.line() != 0)
        text += std::string("\n  created at: ") + context.created_at.file_name() + ":" +
                std::to_string(context.created_at.line());
    if (context.exception) text += "\n  exception: " + describe_exception(context.exception);
    log(text);
}

void detail::report_callback_error(EventLoop& loop, const std::exception_ptr& error, const std::type_info& type,
                                   const ReadyNode* handle) {
    loop.report_error(error, [&] {
        const std::string name = demangle(type.name());
        ExceptionContext context("Exception in callback " + name, error);
        context.handle = handle ? handle->describe() : "<Handle " + name + ">";
        return context;
    });
}

void EventLoop::call_exception_handler(const ExceptionContext& context) {
    if (!exception_handler_) {
        report_by_default(context);
        return;
    }
    detail::run_guarded(
        [&] {
            const ExceptionHandler handler = exception_handler_;  // it may replace itself
            handler(*this, context);
        },
        [&](std::exception_ptr error) {
            std::optional<ExceptionContext> own;
            try {
                own.emplace("Unhandled error in exception handler", error, context.task);
            } catch (const std::bad_alloc&) {
                own.emplace(std::string(), error);
            }
            report_by_default(*own);
            report_by_default(context);
        });
}

void EventLoop::report_by_default(const ExceptionContext& context) {
    detail::run_guarded([&] { default_exception_handler(context); },
                        [](const std::exception_ptr&) {
                            std::fputs("Exception in default exception handler: an error was not reported\n", stderr);
                        });
}

// Services

void EventLoop::insert_service(const void* key, std::unique_ptr<Service> service) {
    check_usable();
    if (lookup_service(key))
        throw ValueError("the loop already has the service '" + std::string(service->name()) + "'");
    registries_->services.push_back({key, std::move(service)});
}

Service* EventLoop::lookup_service(const void* key) noexcept {
    for (const auto& entry : registries_->services)
        if (entry.key == key) return entry.service.get();
    return nullptr;
}

Service& EventLoop::require_service(const void* key) {
    if (Service* service = lookup_service(key)) return *service;
    throw RuntimeError("the loop has no such service; add it with add_service<T>()");
}

}  // namespace weft
