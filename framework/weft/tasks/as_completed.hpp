#pragma once
// as_completed: the things awaited, in the order in which they end (asyncio.as_completed).
//
//     auto ends = as_completed(std::move(fetches), 5s);
//     while (auto next = co_await ends.next()) use(co_await *next);      // the original tasks, async iteration
//
//     for (auto& coro : as_completed(std::move(fetches)).coroutines()) use(co_await std::move(coro));   // loop form
//
// After the limit, next() or its coroutine throws TimeoutError once for each that remains; the tasks themselves go on.

#include <weft/tasks/wait.hpp>

#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <ranges>
#include <unordered_set>
#include <utility>
#include <vector>

namespace weft {

namespace detail {

/// Collects futures as they end, for those who wait for the next.
class CompletionQueue : public std::enable_shared_from_this<CompletionQueue> {
public:
    explicit CompletionQueue(EventLoop& loop) : loop_(loop) {}
    ~CompletionQueue();
    void watch(std::vector<Ref<FutureBase>> futures, std::optional<Duration> limit);
    /// The index of the next one that ended, or nothing if all were given. After the limit each that is left is a
    /// TimeoutError.
    Coro<std::optional<std::size_t>> next();
    std::size_t left() const noexcept { return left_; }

private:
    void ended(std::size_t index);
    void time_up();
    void wake_one();
    void wake_all();

    EventLoop& loop_;
    std::vector<Ref<FutureBase>> futures_;
    std::vector<DoneCallback*> callbacks_;
    std::vector<std::size_t> ended_;  // has room for all
    std::size_t given_ = 0;           // of those
    std::deque<Future<>> waiters_;
    std::size_t left_ = 0;  // not given yet
    std::size_t pending_ = 0;
    TimerHandle timer_;
    bool time_is_up_ = false;
};

}  // namespace detail

/// What as_completed() gives.
template <class F>
class AsCompleted {
public:
    using value_type = typename F::value_type;

    AsCompleted(std::vector<F> futures, std::optional<Duration> limit)
        : futures_(std::make_shared<std::vector<F>>(std::move(futures))),
          queue_(std::make_shared<detail::CompletionQueue>(get_running_loop())) {
        std::vector<detail::Ref<detail::FutureBase>> states;
        for (const F& future : *futures_)
            states.push_back(future.state());
        queue_->watch(std::move(states), limit);
    }

    /// The next future that ended (done, so that awaiting it does not suspend); nothing when all were given. After the
    /// limit, TimeoutError once for each that remains, and then nothing.
    Coro<std::optional<F>> next() { return next_of(futures_, queue_); }

    /// As many coroutines as there are futures; each gives the result of the next one that ends.
    std::vector<Coro<value_type>> coroutines() {
        std::vector<Coro<value_type>> coroutines;
        for (std::size_t i = 0; i < queue_->left(); ++i)
            coroutines.push_back(result_of_next(futures_, queue_));
        return coroutines;
    }

private:
    using Futures = std::shared_ptr<std::vector<F>>;
    using Queue = std::shared_ptr<detail::CompletionQueue>;

    static Coro<std::optional<F>> next_of(Futures futures, Queue queue) {
        const std::optional<std::size_t> index = co_await queue->next();
        std::optional<F> result;
        if (index) result = (*futures)[*index];
        co_return result;
    }
    static Coro<value_type> result_of_next(Futures futures, Queue queue) {
        const std::optional<std::size_t> index = co_await queue->next();
        if (!index) throw RuntimeError("as_completed: every result was given already");
        co_return co_await (*futures)[*index];
    }

    Futures futures_;
    Queue queue_;
};

/// Starts the awaitables of a range (coroutines become tasks, moved out of it) and gives them as they end. A future
/// that is there twice counts once. ValueError for a future of another loop.
template <std::ranges::input_range R>
    requires Awaitable<std::ranges::range_value_t<R>>
auto as_completed(R&& awaitables, std::optional<Duration> limit = std::nullopt,
                  std::source_location location = std::source_location::current()) {
    using A = std::ranges::range_value_t<R>;
    using F = decltype(ensure_future(std::declval<A>(), location));
    std::vector<F> futures;
    std::unordered_set<detail::FutureBase*> seen;
    EventLoop& loop = get_running_loop();
    for (auto&& awaitable : awaitables) {
        F future;
        if constexpr (detail::FutureType<A>) {
            future = awaitable;
            detail::check_loop_of(future.require(), loop);
        } else {
            future = ensure_future(std::move(awaitable), location);
        }
        if (seen.insert(future.state().get()).second) futures.push_back(std::move(future));
    }
    return AsCompleted<F>(std::move(futures), limit);
}
template <std::ranges::input_range R, detail::FractionalDuration D>
    requires Awaitable<std::ranges::range_value_t<R>>
auto as_completed(R&& awaitables, D limit, std::source_location location = std::source_location::current()) {
    return as_completed(std::forward<R>(awaitables), std::optional<Duration>(detail::to_duration(limit)), location);
}

}  // namespace weft
