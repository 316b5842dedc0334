#pragma once
// gather: awaits several things at once (asyncio.gather).
//
//     auto [a, b] = co_await gather(fetch(1), fetch(2));                      // a tuple
//     std::vector<int> all = co_await gather(std::move(vector_of_coros));     // a vector
//     auto outcomes = co_await gather(return_exceptions, fetch(1), fetch(2)); // Outcome<T> of each
//
// Coroutines become tasks at once. The first exception is raised at once and the others go on; a cancelled child counts
// as one that raised CancelledError. Cancelling the gather cancels every child and ends when all have ended. An element
// whose coroutine gives nothing is a `None`.

#include <weft/tasks/outcome.hpp>
#include <weft/tasks/task.hpp>

#include <cstddef>
#include <iterator>
#include <memory>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace weft {

/// First argument of gather(): exceptions become part of the result.
struct ReturnExceptions {
    explicit ReturnExceptions() = default;
};
inline constexpr ReturnExceptions return_exceptions{};

namespace detail {

/// The outer future of a gather, without its value. Children report through one node each.
class GatherBase : public FutureBase {
public:
    GatherBase(EventLoop& loop, bool return_exceptions) noexcept;

    bool cancel(const std::string* message) final;
    std::string_view waiter_kind() const noexcept final { return "gather"; }
    void visit_awaited_tasks(UniqueFunction<void(TaskRecord&)>& visit) final;

    /// `may_repeat`: the same child may be there more than once.
    void start(std::vector<Ref<FutureBase>> children, bool may_repeat);

protected:
    ~GatherBase() override;
    /// All children ended without an error that counts: store the results.
    virtual void store_results() = 0;
    std::vector<Ref<FutureBase>> children_;

private:
    class ChildNode;
    void child_done(FutureBase& child);
    void finish();

    std::unique_ptr<ChildNode[]> nodes_;
    std::size_t node_count_ = 0;
    std::size_t pending_ = 0;
    const bool return_exceptions_;
    bool cancel_requested_ = false;
};

/// What gather() gives for an element of type T.
template <class T>
using gathered_t = std::conditional_t<std::is_void_v<T>, None, std::decay_t<T>>;

template <class T>
gathered_t<T> gathered(FutureBase& state) {
    if constexpr (std::is_void_v<T>)
        return None();
    else
        return take_value_of<T>(state, !state.is_shared());
}

template <bool ReturnExceptionsMode, class T>
auto gathered_element(FutureBase& state) {
    if constexpr (ReturnExceptionsMode)
        return Outcome<T>(state, !state.is_shared());
    else
        return gathered<T>(state);
}

template <bool Mode, class... Ts>
class GatherTuple final
    : public WithValue<std::tuple<decltype(gathered_element<Mode, Ts>(std::declval<FutureBase&>()))...>, GatherBase> {
public:
    explicit GatherTuple(EventLoop& loop)
        : WithValue<std::tuple<decltype(gathered_element<Mode, Ts>(std::declval<FutureBase&>()))...>, GatherBase>(
              loop, Mode) {}

private:
    void store_results() override { store(std::index_sequence_for<Ts...>()); }
    template <std::size_t... I>
    void store(std::index_sequence<I...>) {
        this->value_.emplace(gathered_element<Mode, Ts>(*this->children_[I])...);
    }
};

template <bool Mode, class T>
class GatherVector final
    : public WithValue<std::vector<decltype(gathered_element<Mode, T>(std::declval<FutureBase&>()))>, GatherBase> {
public:
    explicit GatherVector(EventLoop& loop)
        : WithValue<std::vector<decltype(gathered_element<Mode, T>(std::declval<FutureBase&>()))>, GatherBase>(loop,
                                                                                                               Mode) {}

private:
    void store_results() override {
        auto& values = this->value_.emplace();
        values.reserve(this->children_.size());
        for (const auto& child : this->children_)
            values.push_back(gathered_element<Mode, T>(*child));
    }
};

/// return_exceptions, and where it was written.
class ReturnExceptionsHere {
public:
    ReturnExceptionsHere(ReturnExceptions, std::source_location location = std::source_location::current()) noexcept
        : location(location) {}
    std::source_location location;
};

template <class R>
concept AwaitableRange = std::ranges::input_range<R> && Awaitable<std::ranges::range_value_t<R>>;

/// The loop that a gather belongs to: that of the first, if it is a future.
inline EventLoop& loop_of_first() {
    return get_running_loop();
}
template <class A, class... More>
EventLoop& loop_of_first([[maybe_unused]] const A& first, const More&...) {
    if constexpr (FutureType<A>)
        return first.get_loop();
    else
        return get_running_loop();
}
template <class R>
EventLoop& loop_of_range([[maybe_unused]] R& range) {
    if constexpr (FutureType<std::ranges::range_value_t<R>> && std::ranges::forward_range<R>)
        if (const auto first = std::ranges::begin(range); first != std::ranges::end(range)) return first->get_loop();
    return get_running_loop();
}

/// Before anything is started.
template <class A>
void check_gatherable([[maybe_unused]] EventLoop& loop, [[maybe_unused]] const A& awaitable) {
    if constexpr (FutureType<A>) check_loop_of(awaitable.require(), loop);
}

template <bool Mode, class... As>
auto gather_values([[maybe_unused]] std::source_location location, As&&... awaitables) {
    using State = GatherTuple<Mode, await_result_t<As>...>;
    using Value = typename std::remove_cvref_t<decltype(*std::declval<State&>().value_)>;
    EventLoop& loop = loop_of_first(awaitables...);
    (check_gatherable(loop, awaitables), ...);
    auto state = Ref<State>::adopt(new State(loop));
    std::vector<Ref<FutureBase>> children;
    children.reserve(sizeof...(As));
    (children.push_back(ensure_future(std::forward<As>(awaitables), location).state()), ...);
    state->start(std::move(children), (FutureType<As> || ...));
    return Future<Value>(std::move(state));
}

template <bool Mode, class R>
auto gather_range(std::source_location location, R&& awaitables) {
    using T = await_result_t<std::ranges::range_value_t<R>>;
    using State = GatherVector<Mode, T>;
    using Value = typename std::remove_cvref_t<decltype(*std::declval<State&>().value_)>;
    EventLoop& loop = loop_of_range(awaitables);
    auto state = Ref<State>::adopt(new State(loop));
    std::vector<Ref<FutureBase>> children;
    if constexpr (std::ranges::sized_range<R>) children.reserve(std::ranges::size(awaitables));
    for (auto&& awaitable : awaitables) {
        check_gatherable(loop, awaitable);
        if constexpr (FutureType<decltype(awaitable)>)
            children.push_back(awaitable.state());
        else
            children.push_back(ensure_future(std::move(awaitable), location).state());
    }
    state->start(std::move(children), FutureType<std::ranges::range_value_t<R>>);
    return Future<Value>(std::move(state));
}

}  // namespace detail

/// Awaits awaitables of any types: a future of the tuple of their results.
template <Awaitable A>
auto gather(A&& a, std::source_location location = std::source_location::current()) {
    return detail::gather_values<false>(location, std::forward<A>(a));
}
template <Awaitable A, Awaitable B>
auto gather(A&& a, B&& b, std::source_location location = std::source_location::current()) {
    return detail::gather_values<false>(location, std::forward<A>(a), std::forward<B>(b));
}
template <Awaitable A, Awaitable B, Awaitable C>
auto gather(A&& a, B&& b, C&& c, std::source_location location = std::source_location::current()) {
    return detail::gather_values<false>(location, std::forward<A>(a), std::forward<B>(b), std::forward<C>(c));
}
/// Of more the tasks do not know where they were made.
template <Awaitable A, Awaitable B, Awaitable C, Awaitable D, Awaitable... More>
auto gather(A&& a, B&& b, C&& c, D&& d, More&&... more) {
    return detail::gather_values<false>(std::source_location(), std::forward<A>(a), std::forward<B>(b),
                                        std::forward<C>(c), std::forward<D>(d), std::forward<More>(more)...);
}
/// Nothing to await: a completed future of the empty tuple.
inline auto gather() {
    return detail::gather_values<false>(std::source_location());
}
/// Awaits every element: a future of the vector of their results. Coroutines are moved out of the range.
template <detail::AwaitableRange R>
auto gather(R&& range, std::source_location location = std::source_location::current()) {
    return detail::gather_range<false>(location, std::forward<R>(range));
}
/// The same with an Outcome for each.
template <Awaitable... As>
auto gather(detail::ReturnExceptionsHere here, As&&... awaitables) {
    return detail::gather_values<true>(here.location, std::forward<As>(awaitables)...);
}
template <detail::AwaitableRange R>
auto gather(ReturnExceptions, R&& range, std::source_location location = std::source_location::current()) {
    return detail::gather_range<true>(location, std::forward<R>(range));
}

}  // namespace weft
