#pragma once
// Context and ContextVar: values that follow the flow of control, as a request's id does (Python's contextvars).
//
//     ContextVar<std::string> user("user", "nobody");
//     user.set("ada");                              // in this task; tasks and callbacks made from now on start with it
//     const std::string& name = user.get();
//
// Each task has a context, copied from its creator's when it is made; callbacks run in a copy of the context in which
// they were scheduled. What one sets, the others do not see. Copying a context is a pointer copy. A plain thread has a
// context of its own.

#include <weft/base/exceptions.hpp>
#include <weft/base/ref.hpp>
#include <weft/loop/context_slot.hpp>
#include <weft/loop/event_loop.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace weft {

namespace detail {

template <class T>
class TypedContextValue final : public ContextValue {
public:
    explicit TypedContextValue(T value) : value(std::move(value)) {}
    const T value;
};

std::uint64_t next_context_variable() noexcept;
[[noreturn]] void throw_no_context_value(const std::string& name);
/// Why reset() refuses a token.
enum class WrongToken : std::uint8_t { used, other_variable, other_context };
[[noreturn]] void throw_wrong_token(WrongToken reason);

/// What a Context is a handle to.
class ContextState {
public:
    explicit ContextState(ContextSlot slot) noexcept : slot(std::move(slot)) {}
    void add_ref() noexcept { refs_.fetch_add(1, std::memory_order_relaxed); }
    void release() noexcept {
        if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
    }
    /// RuntimeError if something runs in this context already.
    void enter();
    void leave() noexcept { entered_.store(false, std::memory_order_release); }
    SharedContextSlot slot;

private:
    std::atomic<std::uint32_t> refs_{1};
    std::atomic<bool> entered_{false};
};

}  // namespace detail

/// A variable whose value belongs to the context (contextvars.ContextVar). Usually a global; it must outlive its use,
/// is not copied, and may be used on any thread.
template <class T>
class ContextVar {
public:
    explicit ContextVar(std::string name) : name_(std::move(name)) {}
    ContextVar(std::string name, T default_value) : name_(std::move(name)), default_(std::move(default_value)) {}
    ContextVar(const ContextVar&) = delete;
    ContextVar& operator=(const ContextVar&) = delete;

    /// Takes back one set(); see reset().
    class Token {
    public:
        /// The value before the set(), or null if there was none.
        const T* old_value() const noexcept {
            return old_ ? &static_cast<detail::TypedContextValue<T>&>(*old_).value : nullptr;
        }

    private:
        friend class ContextVar;
        const ContextVar* variable_ = nullptr;
        const detail::ContextSlot* context_ = nullptr;  // only compared
        detail::Ref<detail::ContextValue> old_;
        bool used_ = false;
    };

    const std::string& name() const noexcept { return name_; }
    /// The value in the current context, else the default, else LookupError. The reference is good until the variable
    /// is set again in this context.
    const T& get() const {
        if (const T* value = find()) [[likely]]
            return *value;
        if (!default_) detail::throw_no_context_value(name_);
        return *default_;
    }
    /// The value in the current context, else `fallback`.
    T get(T fallback) const {
        const T* value = find();
        return value ? *value : std::move(fallback);
    }
    std::string repr() const { return "<ContextVar name='" + name_ + "'>"; }
    /// Gives the variable a value in the current context, and a token with which to take that back.
    Token set(T value) {
        detail::ContextSlot& slot = detail::require_current_context();
        Token token;
        token.variable_ = this;
        token.context_ = &slot;
        if (slot.map) token.old_ = detail::Ref<detail::ContextValue>(slot.map->find(number_));
        auto boxed = detail::Ref<detail::ContextValue>::adopt(new detail::TypedContextValue<T>(std::move(value)));
        slot.map = detail::ContextMap::with(slot.map.get(), number_, std::move(boxed));
        return token;
    }
    /// Restores the value from before the set() that made `token`. RuntimeError for a token that was used, ValueError
    /// for one of another variable or of another context, as another task has.
    void reset(Token& token) {
        if (token.used_) detail::throw_wrong_token(detail::WrongToken::used);
        if (token.variable_ != this) detail::throw_wrong_token(detail::WrongToken::other_variable);
        detail::ContextSlot& slot = detail::require_current_context();
        if (token.context_ != &slot && !detail::was_moved_from(token.context_, slot))
            detail::throw_wrong_token(detail::WrongToken::other_context);
        slot.map = detail::ContextMap::with(slot.map.get(), number_, token.old_);
        token.used_ = true;
    }

private:
    friend class Context;
    const T* find() const noexcept {
        const detail::ContextSlot* slot = detail::current_context();
        return slot ? find_in(*slot) : nullptr;
    }
    const T* find_in(const detail::ContextSlot& slot) const noexcept {
        if (!slot.map) return nullptr;
        const detail::ContextValue* value = slot.map->find(number_);
        return value ? &static_cast<const detail::TypedContextValue<T>*>(value)->value : nullptr;
    }

    const std::string name_;
    const std::optional<T> default_;
    const std::uint64_t number_ = detail::next_context_variable();
};

/// A context as an object (contextvars.Context). Copies of the handle mean the same context; copy() makes another.
class Context {
public:
    /// An empty one.
    Context() : Context(detail::ContextSlot()) {}
    explicit Context(detail::ContextSlot slot)
        : state_(detail::Ref<detail::ContextState>::adopt(new detail::ContextState(std::move(slot)))) {}
    explicit Context(detail::Ref<detail::ContextState> state) noexcept : state_(std::move(state)) {}

    /// Calls `fn(args...)` in this context and returns what it returns; what it sets stays in this context.
    /// RuntimeError if something runs in it already.
    template <class F, class... Args>
    decltype(auto) run(F&& fn, Args&&... args) const {
        state_->enter();
        struct Leave {
            detail::ContextState& state;
            detail::SharedContextSlot* const previous = std::exchange(detail::entered_context, &state.slot);
            ~Leave() {
                detail::entered_context = previous;
                state.leave();
            }
        } leave{*state_};
        const detail::ContextScope scope(state_->slot);
        return std::invoke(std::forward<F>(fn), std::forward<Args>(args)...);
    }
    Context copy() const { return Context(state_->slot); }
    /// The variable's value here, without its default; null if there is none.
    template <class T>
    const T* get(const ContextVar<T>& variable) const noexcept {
        return variable.find_in(state_->slot);
    }
    template <class T>
    bool contains(const ContextVar<T>& variable) const noexcept {
        return get(variable) != nullptr;
    }
    /// How many variables have a value.
    std::size_t size() const noexcept { return state_->slot.map ? state_->slot.map->size() : 0; }
    std::string repr() const { return "<Context of " + std::to_string(size()) + " variables>"; }
    /// The same context.
    bool operator==(const Context& other) const noexcept { return state_ == other.state_; }
    /// For the framework.
    const detail::Ref<detail::ContextState>& state() const noexcept { return state_; }

private:
    detail::Ref<detail::ContextState> state_;
};

/// A copy of the context that runs now.
inline Context copy_context() {
    return Context(detail::ContextSlot::copy_of_current());
}

}  // namespace weft
