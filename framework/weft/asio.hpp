#pragma once
// Weft beside Boost.Asio: any Asio operation can be awaited in a Coro, and a loop can run on an io_context that the
// application already has. The one public header that includes Boost.
//
//     boost::asio::steady_timer timer(weft::io_context(get_running_loop()), 1s);
//     co_await timer.async_wait(weft::use_coro);
//     std::size_t n = co_await socket.async_read_some(buffer, weft::use_coro);
//
// An operation starts when it is awaited. An error_code becomes boost::system::system_error, as with Asio's own tokens;
// more than one result becomes a tuple. Cancelling the task emits the operation's cancellation slot and raises
// CancelledError when the operation has ended, so its buffers may be the coroutine's own.

#include <weft/loop/event_loop.hpp>
#include <weft/tasks/task.hpp>

#include <boost/asio/async_result.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/system/system_error.hpp>

#include <exception>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace weft {

/// The io_context that the loop runs from now on, until it closes. Any thread. RuntimeError if it is on another
/// backend.
boost::asio::io_context& io_context(EventLoop& loop);
/// A loop on `context`, which must outlive it. While the loop runs, it runs the context's handlers too; nobody else may
/// run the context meanwhile.
std::unique_ptr<EventLoop> new_event_loop(boost::asio::io_context& context);

/// The completion token that makes an Asio operation awaitable.
class UseCoro {
public:
    constexpr UseCoro() noexcept {}
};
inline constexpr UseCoro use_coro{};

namespace detail {

/// Splits the arguments of a completion into the error and the results.
template <class... Args>
struct CompletionResults {
    using type = std::tuple<std::decay_t<Args>...>;
    static constexpr bool has_error = false;
};
template <class... Args>
struct CompletionResults<boost::system::error_code, Args...> {
    using type = std::tuple<std::decay_t<Args>...>;
    static constexpr bool has_error = true;
};
template <class... Args>
struct CompletionResults<std::exception_ptr, Args...> {
    using type = std::tuple<std::decay_t<Args>...>;
    static constexpr bool has_error = true;
};

template <class Tuple>
struct AwaitedValue {
    using type = Tuple;
};
template <>
struct AwaitedValue<std::tuple<>> {
    using type = void;
};
template <class T>
struct AwaitedValue<std::tuple<T>> {
    using type = T;
};

inline std::exception_ptr completion_error(const boost::system::error_code& error) {
    return error ? std::make_exception_ptr(boost::system::system_error(error)) : nullptr;
}
inline std::exception_ptr completion_error(std::exception_ptr error) {
    return error;
}

/// What the operation in flight and the awaiter share; either may end first.
template <class Results>
class AsioOperationState {
public:
    std::optional<Results> results;
    std::exception_ptr error;
    boost::asio::cancellation_signal signal;
    TaskBase* task = nullptr;  // who waits; null before it has suspended and once it is gone
    bool done = false;
};

/// The completion handler.
template <class... Args>
class AsioHandler {
    using Split = CompletionResults<std::decay_t<Args>...>;

public:
    using State = AsioOperationState<typename Split::type>;
    using executor_type = boost::asio::io_context::executor_type;
    using allocator_type = PoolAllocator<void*>;
    using cancellation_slot_type = boost::asio::cancellation_slot;

    AsioHandler(std::shared_ptr<State> state, executor_type executor) noexcept
        : state_(std::move(state)), executor_(executor) {}
    executor_type get_executor() const noexcept { return executor_; }
    allocator_type get_allocator() const noexcept { return {}; }
    cancellation_slot_type get_cancellation_slot() const noexcept { return state_->signal.slot(); }

    void operator()(Args... args) {
        if constexpr (Split::has_error)
            finish_with_error(std::move(args)...);
        else
            finish(std::move(args)...);
    }

private:
    template <class Error, class... Rest>
    void finish_with_error(Error error, Rest... rest) {
        state_->error = completion_error(std::move(error));
        finish(std::move(rest)...);
    }
    template <class... Rest>
    void finish(Rest... rest) {
        state_->results.emplace(std::move(rest)...);
        state_->done = true;
        if (state_->task) state_->task->schedule();
    }

    std::shared_ptr<State> state_;
    executor_type executor_;
};

/// The awaitable of one operation: starts it when awaited.
template <class Initiation, class Arguments, class... Args>
class AsioOperation final
    : public Waiter,
      public LeafAwaitable<AsioOperation<Initiation, Arguments, Args...>,
                           typename AwaitedValue<typename CompletionResults<std::decay_t<Args>...>::type>::type> {
    using Handler = AsioHandler<Args...>;
    using State = typename Handler::State;
    using Value = typename AwaitedValue<typename CompletionResults<std::decay_t<Args>...>::type>::type;

public:
    AsioOperation(Initiation initiation, Arguments arguments)
        : initiation_(std::move(initiation)), arguments_(std::move(arguments)) {}
    /// Before it is awaited only.
    AsioOperation(AsioOperation&& other)
        : initiation_(std::move(other.initiation_)), arguments_(std::move(other.arguments_)) {}
    ~AsioOperation() {
        if (!state_ || state_->done) return;
        // The coroutine is destroyed with the operation in flight.
        state_->task = nullptr;
        const std::shared_ptr<State> keep = state_;
        keep->signal.emit(boost::asio::cancellation_type::all);
    }

    bool await_ready() const noexcept { return false; }
    template <class P>
    bool await_suspend(std::coroutine_handle<P> handle) {
        TaskBase& task = handle.promise().task();
        state_ = std::allocate_shared<State>(PoolAllocator<State>());
        Handler handler(state_, io_context(task.loop()).get_executor());
        std::apply(
            [&](auto&&... args) { std::move(initiation_)(std::move(handler), std::forward<decltype(args)>(args)...); },
            std::move(arguments_));
        if (state_->done) return false;
        state_->task = task_ = &task;
        task.suspend(handle.promise(), this);
        return true;
    }
    Value await_resume() {
        if (task_) task_->check_cancelled(cancel_requested_);
        if (state_->error) std::rethrow_exception(state_->error);
        if constexpr (std::is_void_v<Value>)
            return;
        else if constexpr (std::tuple_size_v<std::decay_t<decltype(*state_->results)>> == 1)
            return std::get<0>(std::move(*state_->results));
        else
            return std::move(*state_->results);
    }

    bool cancel_wait(const std::string* message) override {
        if (state_->done || cancel_requested_) return cancel_requested_ && !state_->done;
        cancel_requested_ = true;
        task_->note_cancel_message(message);
        const std::shared_ptr<State> keep = state_;  // emitting may complete the operation
        keep->signal.emit(boost::asio::cancellation_type::all);
        return true;
    }
    bool wait_was_cancelled() const noexcept override { return cancel_requested_; }
    std::string_view waiter_kind() const noexcept override { return "Asio operation"; }

private:
    Initiation initiation_;
    Arguments arguments_;
    std::shared_ptr<State> state_;
    TaskBase* task_ = nullptr;
    bool cancel_requested_ = false;
};

}  // namespace detail
}  // namespace weft

template <class R, class... Args>
class boost::asio::async_result<weft::UseCoro, R(Args...)> {
public:
    template <class Initiation, class... InitArgs>
    static auto initiate(Initiation&& initiation, const weft::UseCoro&, InitArgs&&... args) {
        using Arguments = std::tuple<std::decay_t<InitArgs>...>;
        return weft::detail::AsioOperation<std::decay_t<Initiation>, Arguments, Args...>(
            std::forward<Initiation>(initiation), Arguments(std::forward<InitArgs>(args)...));
    }
};
