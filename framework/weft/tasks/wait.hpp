#pragma once
// wait: waits until some of a set of futures are done (asyncio.wait).
//
//     auto [done, pending] = co_await wait(tasks, WaitOptions().timeout(1s).return_when(ReturnWhen::first_completed));
//
// It never throws for a time-out and never cancels anything; cancelling the wait leaves the futures running.

#include <weft/tasks/sleep.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <ranges>
#include <span>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

namespace weft {

enum class ReturnWhen : std::uint8_t { first_completed, first_exception, all_completed };

class WaitOptions {
public:
    WaitOptions() = default;
    template <class Rep, class Period>
    WaitOptions& timeout(std::chrono::duration<Rep, Period> limit) & {
        timeout_ = detail::to_duration(limit);
        return *this;
    }
    template <class Rep, class Period>
    WaitOptions&& timeout(std::chrono::duration<Rep, Period> limit) && {
        return std::move(timeout(limit));
    }
    /// Default all_completed. first_exception also returns when all are done; a cancellation is no exception here.
    WaitOptions& return_when(ReturnWhen value) & {
        return_when_ = value;
        return *this;
    }
    WaitOptions&& return_when(ReturnWhen value) && { return std::move(return_when(value)); }

    std::optional<Duration> timeout() const noexcept { return timeout_; }
    ReturnWhen return_when() const noexcept { return return_when_; }

private:
    std::optional<Duration> timeout_;
    ReturnWhen return_when_ = ReturnWhen::all_completed;
};

/// What wait() gives: every future is in one of the two, in the order given.
template <class F>
class WaitResult {
public:
    std::vector<F> done;
    std::vector<F> pending;
};

namespace detail {

/// What a wait for several futures awaits: a dump sees them through it. They must stay where they are while a task
/// waits.
class WaitFuture final : public WithValue<void, FutureBase> {
public:
    WaitFuture(EventLoop& loop, std::string_view kind, std::span<const Ref<FutureBase>> awaited) noexcept
        : WithValue(loop), kind_(kind), awaited_(awaited) {}
    std::string_view waiter_kind() const noexcept override { return kind_; }
    void visit_awaited_tasks(UniqueFunction<void(TaskRecord&)>& visit) override {
        for (const auto& future : awaited_)
            if (!future->done()) future->visit_awaited_tasks(visit);
    }

private:
    ~WaitFuture() override = default;
    const std::string_view kind_;
    const std::span<const Ref<FutureBase>> awaited_;
};

/// Suspends until enough of the futures are done or the time is up.
Coro<> wait_until(std::vector<Ref<FutureBase>> futures, WaitOptions options);

template <class F>
Coro<WaitResult<F>> run_wait(std::vector<F> futures, WaitOptions options) {
    if (futures.empty()) throw ValueError("Set of Tasks/Futures is empty.");
    std::vector<Ref<FutureBase>> states;
    states.reserve(futures.size());
    for (const F& future : futures)
        states.push_back(future.state());
    co_await wait_until(std::move(states), options);
    WaitResult<F> result;
    for (F& future : futures)
        (future.done() ? result.done : result.pending).push_back(std::move(future));
    co_return std::move(result);
}

}  // namespace detail

/// Waits for the futures of a range (tasks or futures, not coroutines); one that is there twice counts once.
template <std::ranges::input_range R>
auto wait(R&& futures, WaitOptions options = {}) {
    using F = std::ranges::range_value_t<R>;
    static_assert(detail::FutureType<F>,
                  "wait needs tasks or futures: make tasks of coroutines with create_task first");
    std::vector<F> copies;
    std::unordered_set<const void*> seen;
    for (const auto& future : futures)
        if (seen.insert(&future.require()).second) copies.push_back(future);
    return detail::run_wait<F>(std::move(copies), options);
}

}  // namespace weft
