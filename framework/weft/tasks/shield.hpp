#pragma once
// shield: awaits something without passing a cancellation on to it (asyncio.shield).
//
//     Task<> save = create_task(write_all());       // keep a handle: the work goes on
//     co_await shield(save);                        // a cancelled waiter leaves `save` running
//
// If the inner future is cancelled itself, the outer one is too. A done inner future is returned as it is. Once the
// outer one was cancelled, an exception of the inner one is reported as never retrieved.

#include <weft/tasks/task.hpp>

#include <type_traits>

namespace weft {

namespace detail {

/// The outer future of a shield; follows `inner` unless it is done before it.
class ShieldBase : public FutureBase {
public:
    using FutureBase::FutureBase;
    bool cancel(const std::string* message) final;
    std::string_view waiter_kind() const noexcept final { return "shield"; }
    void visit_awaited_tasks(UniqueFunction<void(TaskRecord&)>& visit) final;
    void follow(Ref<FutureBase> inner);

protected:
    ~ShieldBase() override;
    virtual void copy_value(FutureBase& inner) = 0;

private:
    class Node final : public ReadyNode {
    public:
        void run() override;
        void discard() noexcept override;
        std::string describe() const override { return "<shield callback>"; }
        ShieldBase* outer = nullptr;
        bool holds_outer = false;
    };
    void inner_done();

    Ref<FutureBase> inner_;
    Node node_;
};

template <class T>
class Shield final : public WithValue<T, ShieldBase> {
public:
    using WithValue<T, ShieldBase>::WithValue;

private:
    void copy_value(FutureBase& inner) override {
        if constexpr (std::is_void_v<T>)
            this->value_.emplace();
        else if constexpr (std::is_reference_v<T>)
            this->value_.emplace(&take_value_of<T>(inner, false));
        else
            this->value_.emplace(take_value_of<T>(inner, false));
    }
};

}  // namespace detail

/// A future that follows `awaitable` (a coroutine becomes a task), and whose cancellation stops there.
/// ValueError for a future of another loop than the running one.
template <Awaitable A>
auto shield(A&& awaitable, std::source_location location = std::source_location::current()) {
    using T = await_result_t<A>;
    Future<T> inner = ensure_future(std::forward<A>(awaitable), location);
    if (inner.done()) return inner;
    if (detail::running_loop) detail::check_loop_of(inner.require(), *detail::running_loop);
    auto outer = detail::Ref<detail::Shield<T>>::adopt(new detail::Shield<T>(inner.get_loop()));
    outer->follow(inner.state());
    return Future<T>(std::move(outer));
}

}  // namespace weft
