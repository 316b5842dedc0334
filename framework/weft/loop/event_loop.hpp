#pragma once
// EventLoop: asyncio's BaseEventLoop. A FIFO of ready callbacks, a heap of timers, an exception handler and the
// loop's services. It owns no I/O: that comes from its Backend.
//
//     std::unique_ptr<EventLoop> loop = new_event_loop();
//     loop->call_later(1s, [&] { loop->stop(); });
//     loop->run_forever();
//
// One iteration polls the backend (waiting only if nothing is ready), moves due timers to the ready queue, and runs the
// callbacks that were ready at that moment; what they schedule runs in the next iteration. Everything except
// call_soon_threadsafe() and is_running() is for the thread that runs the loop.

#include <weft/base/exceptions.hpp>
#include <weft/loop/backend.hpp>
#include <weft/loop/duration.hpp>
#include <weft/loop/exception_context.hpp>
#include <weft/loop/handle.hpp>
#include <weft/loop/inbox.hpp>
#include <weft/loop/open_loops.hpp>
#include <weft/loop/ready_queue.hpp>
#include <weft/loop/service.hpp>
#include <weft/loop/task_table.hpp>
#include <weft/loop/timers.hpp>

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <initializer_list>
#include <memory>
#include <new>
#include <optional>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

namespace weft {

template <class T>
class Future;
template <class T>
class Task;
template <class T>
class Coro;
class Context;
class TaskOptions;
class Executor;
class Server;
class ServerOptions;
class ConnectionOptions;
template <class P>
class Connection;
class Address;
class AddrInfo;
class AddrInfoHints;
class BaseProtocol;
class BaseTransport;
class Bytes;
class DatagramOptions;
class DatagramTransport;
class StartTlsOptions;
class SubprocessOptions;
class SubprocessTransport;
class TlsContext;
class Transport;

/// Decides how a task is made: gets the options that create_task() was given, and returns those to use.
using TaskFactory = std::function<TaskOptions(EventLoop&, TaskOptions)>;

using ExceptionHandler = std::function<void(EventLoop&, const ExceptionContext&)>;

namespace detail {

class FutureBase;
class SlowCallbackTimer;

/// Futures whose exception nobody has looked at; each is reported when it ends or the loop closes. They link
/// themselves.
class UnretrievedFutures {
public:
    FutureBase* first = nullptr;
    FutureBase* last = nullptr;
    void (*report)(FutureBase&) = nullptr;  // takes it out of the list, too
};

[[noreturn]] void throw_no_running_loop();

/// The loop that runs on this thread, or null.
extern thread_local constinit EventLoop* running_loop;

/// `fn(args...)` as one callable that owns all of them.
template <class F, class... Args>
auto bind_callback(F&& fn, Args&&... args) {
    if constexpr (sizeof...(Args) == 0)
        return std::forward<F>(fn);
    else
        return [fn = std::forward<F>(fn), bound = std::make_tuple(std::forward<Args>(args)...)]() mutable {
            std::apply(fn, std::move(bound));
        };
}

/// Tells the exception handler what a callback threw, whose type is `type`. Without a handle its type stands for it.
void report_callback_error(EventLoop& loop, const std::exception_ptr& error, const std::type_info& type,
                           const ReadyNode* handle = nullptr);

/// `fn`, to run in `context`, a Context (which is not known here). What it throws is reported there, too.
template <class C, class F>
auto bind_context(EventLoop& loop, const C& context, F fn) {
    return [&loop, context, fn = std::move(fn)]() mutable {
        run_guarded([&] { context.run(fn); },
                    [&](const std::exception_ptr& error) {
                        // If that cannot be entered now, which is the error then, this throws it to who called.
                        context.run([&] { report_callback_error(loop, error, typeid(F)); });
                    });
    };
}

template <class F, class... Args>
concept Callback = std::invocable<std::decay_t<F>&, std::decay_t<Args>...>;

}  // namespace detail

class EventLoop {
public:
    explicit EventLoop(std::unique_ptr<Backend> backend);
    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;
    /// Closes the loop if that was not done. It must not be running.
    ~EventLoop();

    // Running

    /// Runs until stop(). RuntimeError if this loop is closed or running, or another one runs on this thread.
    /// KeyboardInterrupt and SystemExit thrown by a callback or task leave it at once; it can be run again.
    void run_forever();
    /// Runs until the awaitable (a Coro, Future or Task) is done; returns its value or throws its exception.
    /// RuntimeError 'Event loop stopped before Future completed.' if stop() was called first.
    template <class A>
    decltype(auto) run_until_complete(A&& awaitable);
    /// Lets the current iteration finish and then ends run_forever(). Before a run: it does exactly one iteration.
    void stop() noexcept { stopping_ = true; }
    /// Drops what is scheduled without running it, destroys tasks that are pending (each is reported), shuts the
    /// services down and closes the backend. RuntimeError while running; closing again does nothing.
    void close();
    bool is_running() const noexcept { return running_.load(std::memory_order_relaxed); }
    bool is_closed() const noexcept { return closed_; }
    /// As asyncio's repr.
    std::string repr() const;
    /// The time of the loop's clock.
    TimePoint time() const noexcept { return backend_->now(); }

    // Scheduling

    /// Runs `fn(args...)` in the next iteration, after everything scheduled before it. Both are moved into the handle.
    /// RuntimeError if the loop is closed.
    template <class F, class... Args>
        requires detail::Callback<F, Args...>
    Handle call_soon(F&& fn, Args&&... args) {
        return schedule_callback(detail::bind_callback(std::forward<F>(fn), std::forward<Args>(args)...));
    }
    /// The same in `context` instead of a copy of the current one.
    template <class F, class... Args>
        requires detail::Callback<F, Args...>
    Handle call_soon(const Context& context, F&& fn, Args&&... args) {
        return schedule_callback(detail::bind_context(
            *this, context, detail::bind_callback(std::forward<F>(fn), std::forward<Args>(args)...)));
    }
    /// As call_soon(), from any thread; wakes the loop if it waits.
    template <class F, class... Args>
        requires detail::Callback<F, Args...>
    Handle call_soon_threadsafe(F&& fn, Args&&... args) {
        return schedule_threadsafe(detail::bind_callback(std::forward<F>(fn), std::forward<Args>(args)...));
    }
    template <class F, class... Args>
        requires detail::Callback<F, Args...>
    Handle call_soon_threadsafe(const Context& context, F&& fn, Args&&... args) {
        return schedule_threadsafe(detail::bind_context(
            *this, context, detail::bind_callback(std::forward<F>(fn), std::forward<Args>(args)...)));
    }
    /// Runs `fn(args...)` once `delay` has passed; a delay that is not positive means the next iteration, after what
    /// is ready by then.
    template <class F, class... Args>
        requires detail::Callback<F, Args...>
    TimerHandle call_later(Duration delay, F&& fn, Args&&... args) {
        return schedule_timer(after(delay), detail::bind_callback(std::forward<F>(fn), std::forward<Args>(args)...));
    }
    template <detail::FractionalDuration D, class F, class... Args>
        requires detail::Callback<F, Args...>
    TimerHandle call_later(D delay, F&& fn, Args&&... args) {
        return call_later(detail::to_duration(delay), std::forward<F>(fn), std::forward<Args>(args)...);
    }
    template <class F, class... Args>
        requires detail::Callback<F, Args...>
    TimerHandle call_later(const Context& context, Duration delay, F&& fn, Args&&... args) {
        return call_at(context, after(delay), std::forward<F>(fn), std::forward<Args>(args)...);
    }
    template <detail::FractionalDuration D, class F, class... Args>
        requires detail::Callback<F, Args...>
    TimerHandle call_later(const Context& context, D delay, F&& fn, Args&&... args) {
        return call_later(context, detail::to_duration(delay), std::forward<F>(fn), std::forward<Args>(args)...);
    }
    /// Runs `fn(args...)` when time() reaches `when`. Equal times run in the order of the calls.
    template <class F, class... Args>
        requires detail::Callback<F, Args...>
    TimerHandle call_at(TimePoint when, F&& fn, Args&&... args) {
        return schedule_timer(when, detail::bind_callback(std::forward<F>(fn), std::forward<Args>(args)...));
    }
    template <class F, class... Args>
        requires detail::Callback<F, Args...>
    TimerHandle call_at(const Context& context, TimePoint when, F&& fn, Args&&... args) {
        return schedule_timer(
            when, detail::bind_context(*this, context,
                                       detail::bind_callback(std::forward<F>(fn), std::forward<Args>(args)...)));
    }
    /// time() + delay, kept within the clock's range.
    TimePoint after(Duration delay) noexcept;

    // Futures and tasks (defined by the tasks floor)

    template <class T>
    Future<T> create_future();
    /// As weft::create_task(), on this loop, which need not run yet.
    template <class T>
    Task<T> create_task(Coro<T> coro, TaskOptions options,
                        std::source_location location = std::source_location::current());
    template <class T>
    Task<T> create_task(Coro<T> coro, std::source_location location = std::source_location::current());

    /// Called for each task that is made on this loop (asyncio's task factory; here it decides about the options, the
    /// task is the loop's). An empty function restores the default.
    void set_task_factory(TaskFactory factory);
    const TaskFactory& get_task_factory() const noexcept { return task_factory_; }

    /// Closes the asynchronous generators that have begun and not ended; their errors are reported.
    Coro<void> shutdown_asyncgens();

    // Threads (defined by the services floor; see services/executor.hpp)

    /// A future of `fn(args...)`, run on a thread of `executor`, or of the default executor if that is null. Cancelling
    /// it keeps a call that has not begun from beginning; one that has goes on, and its result is dropped. If `fn`
    /// takes a std::stop_token first, that is then requested to stop.
    template <class F, class... Args>
    auto run_in_executor(Executor* executor, F&& fn, Args&&... args);
    void set_default_executor(std::shared_ptr<Executor> executor);
    /// No new work for the default executor; waits until its threads have ended, at most `limit`. Afterwards
    /// run_in_executor(nullptr, ...) throws RuntimeError.
    Coro<void> shutdown_default_executor(std::optional<Duration> limit = std::nullopt);
    template <detail::FractionalDuration D>
    Coro<void> shutdown_default_executor(D limit);

    // Networking (defined by the io floor)

    template <class F>
    auto create_connection(F protocol_factory, std::string host, int port);
    template <class F>
    auto create_connection(F protocol_factory, std::string host, int port, ConnectionOptions options);
    /// On a connected socket of the caller's: ConnectionOptions().sock(fd).
    template <class F>
    auto create_connection(F protocol_factory, ConnectionOptions options);
    template <class F>
    Coro<Server> create_server(F protocol_factory, std::string host, int port);
    template <class F>
    Coro<Server> create_server(F protocol_factory, std::string host, int port, ServerOptions options);
    /// On a listening socket of the caller's: ServerOptions().sock(fd).
    template <class F>
    Coro<Server> create_server(F protocol_factory, ServerOptions options);
    /// Several hosts, each of them with its names and families.
    template <class F>
    Coro<Server> create_server(F protocol_factory, std::vector<std::string> hosts, int port);
    template <class F>
    Coro<Server> create_server(F protocol_factory, std::vector<std::string> hosts, int port, ServerOptions options);
    template <class F>
    Coro<Server> create_server(F protocol_factory, std::initializer_list<const char*> hosts, int port);
    template <class F>
    Coro<Server> create_server(F protocol_factory, std::initializer_list<const char*> hosts, int port,
                               ServerOptions options);
    template <class F>
    auto create_unix_connection(F protocol_factory, std::string path);
    template <class F>
    auto create_unix_connection(F protocol_factory, std::string path, ConnectionOptions options);
    template <class F>
    Coro<Server> create_unix_server(F protocol_factory, std::string path);
    template <class F>
    Coro<Server> create_unix_server(F protocol_factory, std::string path, ServerOptions options);
    template <class F>
    auto create_datagram_endpoint(F protocol_factory, DatagramOptions options);
    template <class F>
    auto connect_accepted_socket(F protocol_factory, int fd);
    template <class F>
    auto connect_accepted_socket(F protocol_factory, int fd, ConnectionOptions options);
    Coro<std::shared_ptr<Transport>> start_tls(std::shared_ptr<Transport> transport,
                                               std::shared_ptr<BaseProtocol> protocol, TlsContext context);
    Coro<std::shared_ptr<Transport>> start_tls(std::shared_ptr<Transport> transport,
                                               std::shared_ptr<BaseProtocol> protocol, TlsContext context,
                                               StartTlsOptions options);
    Coro<std::size_t> sendfile(std::shared_ptr<Transport> transport, int file, std::uint64_t offset = 0,
                               std::optional<std::size_t> count = std::nullopt, bool fallback = true);
    template <class F>
    auto connect_read_pipe(F protocol_factory, int fd);
    template <class F>
    auto connect_write_pipe(F protocol_factory, int fd);
    Coro<std::vector<AddrInfo>> getaddrinfo(std::string host, std::string service);
    Coro<std::vector<AddrInfo>> getaddrinfo(std::string host, std::string service, AddrInfoHints hints);
    Coro<std::vector<AddrInfo>> getaddrinfo(std::string host, int port);
    Coro<std::vector<AddrInfo>> getaddrinfo(std::string host, int port, AddrInfoHints hints);
    Coro<std::pair<std::string, std::string>> getnameinfo(Address address, int flags = 0);

    // Sockets by descriptor

    Coro<Bytes> sock_recv(int fd, std::size_t count);
    Coro<std::size_t> sock_recv_into(int fd, std::span<std::byte> buffer);
    Coro<std::pair<Bytes, Address>> sock_recvfrom(int fd, std::size_t count);
    Coro<std::pair<std::size_t, Address>> sock_recvfrom_into(int fd, std::span<std::byte> buffer);
    Coro<void> sock_sendall(int fd, std::span<const std::byte> data);
    Coro<void> sock_sendall(int fd, std::string_view text);
    Coro<std::size_t> sock_sendto(int fd, std::span<const std::byte> data, Address address);
    Coro<std::size_t> sock_sendto(int fd, std::string_view text, Address address);
    Coro<void> sock_connect(int fd, Address address);
    Coro<std::pair<int, Address>> sock_accept(int fd);
    Coro<std::size_t> sock_sendfile(int fd, int file, std::uint64_t offset = 0,
                                    std::optional<std::size_t> count = std::nullopt, bool fallback = true);

    // Processes (defined by the services floor; see services/subprocess.hpp)

    template <class F, class... Args>
    auto subprocess_exec(F protocol_factory, std::string program, Args... args);
    /// The program and its arguments in one.
    template <class F>
    auto subprocess_exec(F protocol_factory, std::vector<std::string> arguments);
    template <class F>
    auto subprocess_exec(F protocol_factory, std::vector<std::string> arguments, SubprocessOptions options);
    template <class F>
    auto subprocess_exec(F protocol_factory, std::initializer_list<const char*> arguments);
    template <class F>
    auto subprocess_exec(F protocol_factory, std::initializer_list<const char*> arguments, SubprocessOptions options);
    template <class F>
    auto subprocess_shell(F protocol_factory, std::string command);
    template <class F>
    auto subprocess_shell(F protocol_factory, std::string command, SubprocessOptions options);

    // Descriptors, and signals (defined by the services floor; see services/signals.hpp)

    /// Calls `fn` whenever `fd` can be read, until remove_reader(). Level-triggered; a second call replaces the first.
    void add_reader(int fd, UniqueFunction<void()> fn);
    /// False if there was none. A callback already queued by this iteration's poll does not run. RuntimeError, as of
    /// add_reader(), for a transport's descriptor.
    bool remove_reader(int fd);
    void add_writer(int fd, UniqueFunction<void()> fn);
    bool remove_writer(int fd);
    /// Runs `fn` as an ordinary callback after the signal arrives. ValueError for a number that is no signal,
    /// RuntimeError for SIGKILL and SIGSTOP.
    void add_signal_handler(int signal_number, UniqueFunction<void()> fn);
    /// Restores the signal's default action; false if there was no handler.
    bool remove_signal_handler(int signal_number);

    // Errors and debugging

    /// Called for errors nobody else sees. An empty handler restores the default one. One that throws is itself
    /// reported by the default handler; the loop goes on.
    void set_exception_handler(ExceptionHandler handler) { exception_handler_ = std::move(handler); }
    const ExceptionHandler& get_exception_handler() const noexcept { return exception_handler_; }
    /// Writes the message and the exception to standard error.
    void default_exception_handler(const ExceptionContext& context);
    void call_exception_handler(const ExceptionContext& context);
    /// The same with the ExceptionContext that `make_context()` gives; if there is no memory for that, with `error` and
    /// no message. Only KeyboardInterrupt and SystemExit, thrown by the handler, leave it.
    template <class F>
    void report_error(const std::exception_ptr& error, F&& make_context) {
        std::optional<ExceptionContext> context;
        try {
            context.emplace(make_context());
        } catch (const std::bad_alloc&) {
            context.emplace(std::string(), error);
        }
        call_exception_handler(*context);
    }

    /// Debug mode: calls from a wrong thread throw RuntimeError, callbacks that take slow_callback_duration are logged,
    /// and so are coroutines that nobody awaited. On from the start if the environment has a non-empty WEFT_DEBUG.
    void set_debug(bool enabled) noexcept {
        debug_ = enabled;
        note_special();
    }
    bool get_debug() const noexcept { return debug_; }
    Duration slow_callback_duration;
    /// Where warnings go, a line at a time; an empty function restores standard error.
    void set_logger(std::function<void(std::string_view)> logger) { logger_ = std::move(logger); }
    void log(std::string_view line);

    // Services

    /// Makes a T(args...), owned by the loop. ValueError if the loop has one of this type, or of the type that T
    /// stands in for (T::service_type): put a service of your own there before the first use.
    template <class T, class... Args>
    T& add_service(Args&&... args) {
        auto service = std::make_unique<T>(std::forward<Args>(args)...);
        T& result = *service;
        insert_service(&detail::service_key<detail::service_type_t<T>>, std::move(service));
        return result;
    }
    /// The service of type T. One that the library has a default for is made with the first use; RuntimeError if there
    /// is no other.
    template <class T>
    T& service() {
        if constexpr (detail::HasDefaultService<T>)
            return T::of(*this);
        else
            return static_cast<T&>(require_service(&detail::service_key<detail::service_type_t<T>>));
    }
    /// The service of type T or null.
    template <class T>
    T* find_service() noexcept {
        return static_cast<T*>(lookup_service(&detail::service_key<detail::service_type_t<T>>));
    }

    // For the floors above

    Backend& backend() noexcept { return *backend_; }
    detail::TaskTable& task_table() noexcept { return tasks_; }
    /// Puts a node at the end of the ready queue. On the loop's thread.
    void schedule(detail::ReadyNode& node) noexcept {
        take_mail();
        ready_.push(node);
    }
    void schedule(detail::ReadyQueue& nodes) noexcept {
        take_mail();
        ready_.splice(nodes);
    }
    /// As call_at(), for those who keep the state themselves.
    detail::Ref<detail::TimerState> make_timer(TimePoint when, UniqueFunction<void()> callback);
    /// As call_soon(), also while the loop closes, when the callback is dropped.
    Handle schedule_internal(UniqueFunction<void()> callback);
    detail::TaskRecord* current_task() const noexcept { return current_task_; }
    void set_current_task(detail::TaskRecord* task) noexcept { current_task_ = task; }
    detail::UnretrievedFutures& unretrieved() noexcept { return unretrieved_; }
    /// Throws RuntimeError if run_forever() would: it is closed, it runs, or another one does here.
    void check_can_run() const;
    /// Throws RuntimeError if the loop is closed or, in debug mode, if this is a wrong thread.
    void check_usable() const {
        if (special_) [[unlikely]]
            check_usable_slow();
    }
    /// The loop is closed, in debug mode, or has a task factory: the fast way to make a task is not for it.
    bool is_special() const noexcept { return special_; }
    /// A timer in the heap was cancelled.
    void note_timer_cancelled() noexcept { timers_.note_cancelled(); }
    /// The next iteration has something to run.
    bool has_ready() const noexcept { return !ready_.empty(); }
    /// Takes a scheduled node back; linear, for what is rare.
    void unschedule(detail::ReadyNode& node) noexcept;
    /// How other threads reach this loop, also when it may be gone.
    const std::shared_ptr<detail::Inbox>& inbox() const noexcept { return inbox_; }
    detail::RemoteNodes& remote_nodes() noexcept { return remote_nodes_; }
    /// A number that no other loop of the process ever has: an address may come again, once its loop is gone.
    std::uint64_t id() const noexcept { return id_; }
    /// Callbacks run so far; for tests and dumps.
    std::uint64_t steps() const noexcept { return steps_; }

private:
    Handle schedule_callback(UniqueFunction<void()> callback);
    Handle schedule_threadsafe(UniqueFunction<void()> callback);
    TimerHandle schedule_timer(TimePoint when, UniqueFunction<void()> callback);
    void check_descriptor_free(int fd) const;
    void watch(int fd, FdEvent event, UniqueFunction<void()> fn);
    bool unwatch(int fd, FdEvent event);

    void report_by_default(const ExceptionContext& context);
    void note_special() noexcept { special_ = closed_ || debug_ || task_factory_; }
    void check_usable_slow() const;
    friend class detail::SlowCallbackTimer;
    void log_if_slow(std::string_view what, TimePoint begin);
    /// What other threads have scheduled comes before what is scheduled now.
    void take_mail() noexcept {
        if (has_mail_.load(std::memory_order_acquire)) [[unlikely]]
            inbox_->take(ready_);
    }
    inline void run_once();
    inline bool is_quiet() const noexcept;
    void look_at_clock() noexcept;
    void poll_backend();
    bool poll_is_due();
    inline void run_ready();
    void run_timed(detail::ReadyNode& node);
    void destroy_tasks() noexcept;
    void drop_scheduled() noexcept;

    void insert_service(const void* key, std::unique_ptr<Service> service);
    Service& require_service(const void* key);
    Service* lookup_service(const void* key) noexcept;

    struct Registries;

    detail::ReadyQueue ready_;
    detail::ReadyNode* batch_end_ = nullptr;  // of the nodes that run now; null if none is left
    detail::TaskRecord* current_task_ = nullptr;
    bool stopping_ = false;
    bool closed_ = false;
    bool debug_ = false;
    bool special_ = false;
    const bool polls_each_iteration_;
    const std::uint64_t id_;
    std::atomic<bool> running_{false};
    std::atomic<bool> has_mail_{false};  // the inbox sets it
    unsigned busy_iterations_ = 0;
    TimePoint last_poll_{};
    TimePoint now_{};  // as last sampled
    std::uint64_t steps_ = 0;
    std::uint64_t steps_at_clock_ = 0;  // when now_ was sampled
    detail::TimerHeap timers_;
    detail::TaskTable tasks_;
    detail::UnretrievedFutures unretrieved_;
    std::unique_ptr<Backend> backend_;
    std::unique_ptr<Registries> registries_;
    ExceptionHandler exception_handler_;
    TaskFactory task_factory_;
    std::function<void(std::string_view)> logger_;
    std::shared_ptr<detail::Inbox> inbox_;
    detail::RemoteNodes remote_nodes_;
    detail::OpenLoop open_{*this};
};

/// The loop that runs on this thread (asyncio.get_running_loop); RuntimeError if there is none.
inline EventLoop& get_running_loop() {
    if (!detail::running_loop) [[unlikely]]
        detail::throw_no_running_loop();
    return *detail::running_loop;
}

namespace detail {

/// True if the environment asks for debug mode.
bool debug_in_environment() noexcept;

}  // namespace detail

inline detail::ContextSlot* detail::current_context() noexcept {
    if (context_override) return context_override;
    if (const EventLoop* loop = running_loop)
        if (TaskRecord* task = loop->current_task()) return &task->context_slot();
    return thread_context;
}

inline detail::ContextSlot detail::ContextSlot::copy_of_current() noexcept {
    ContextSlot slot;
    if (const ContextSlot* current = current_context()) slot.map = current->map;
    return slot;
}

}  // namespace weft
