#pragma once
// UniqueFunction<R(Args...)>: a callable that owns its target and can be moved but not copied,
// so that a callback may capture a unique_ptr. (std::move_only_function comes with C++23.)
//
//     UniqueFunction<void()> fn = [p = std::make_unique<int>(1)] { use(*p); };
//     fn();
//
// Targets of up to four pointers that move without throwing are stored inside the object.

#include <weft/base/frame_pool.hpp>

#include <cassert>
#include <cstddef>
#include <new>
#include <type_traits>
#include <typeinfo>
#include <utility>

namespace weft {

template <class Signature>
class UniqueFunction;

/// A move-only callable; empty when default-constructed, moved from, or reset to nullptr.
template <class R, class... Args>
class UniqueFunction<R(Args...)> {
public:
    UniqueFunction() noexcept = default;
    UniqueFunction(std::nullptr_t) noexcept {}

    template <class F>
        requires(!std::is_same_v<std::remove_cvref_t<F>, UniqueFunction> &&
                 std::is_invocable_r_v<R, std::decay_t<F>&, Args...>)
    UniqueFunction(F&& target) {
        using Target = std::decay_t<F>;
        if constexpr (std::is_void_v<R>)
            static_assert(!is_coroutine<std::invoke_result_t<Target&, Args...>>,
                          "coroutines cannot be callbacks: the callback may create_task() one");
        if constexpr (fits<Target>) {
            ::new (static_cast<void*>(storage_)) Target(std::forward<F>(target));
            operations_ = &inline_operations<Target>;
        } else {
            void* block = detail::pool_allocate(sizeof(Target));
            try {
                ::new (block) Target(std::forward<F>(target));
            } catch (...) {
                detail::pool_free(block, sizeof(Target));
                throw;
            }
            *reinterpret_cast<void**>(storage_) = block;
            operations_ = &pooled_operations<Target>;
        }
    }

    UniqueFunction(UniqueFunction&& other) noexcept { take(other); }
    UniqueFunction& operator=(UniqueFunction&& other) noexcept {
        if (this != &other) {
            reset();
            take(other);
        }
        return *this;
    }
    UniqueFunction& operator=(std::nullptr_t) noexcept {
        reset();
        return *this;
    }
    ~UniqueFunction() { reset(); }

    explicit operator bool() const noexcept { return operations_ != nullptr; }

    /// The type of the target; of void if this is empty. For reports.
    const std::type_info& target_type() const noexcept { return operations_ ? *operations_->target : typeid(void); }

    R operator()(Args... args) {
        assert(operations_ != nullptr);
        return operations_->call(storage_, std::forward<Args>(args)...);
    }

private:
    /// Dropped, it would never run.
    template <class T>
    static constexpr bool is_coroutine = requires { typename std::remove_cvref_t<T>::starts_when_awaited; };

    struct Operations {
        R (*call)(void*, Args&&...);
        void (*move)(void* from, void* to) noexcept;
        void (*destroy)(void*) noexcept;
        const std::type_info* target;
    };

    static constexpr std::size_t inline_size = 4 * sizeof(void*);

    template <class T>
    static constexpr bool fits =
        sizeof(T) <= inline_size && alignof(T) <= alignof(void*) && std::is_nothrow_move_constructible_v<T>;

    /// The target's result, or nothing where none is wanted.
    template <class T>
    static R invoke(T& target, Args&&... args) {
        if constexpr (std::is_void_v<R>)
            (void)target(std::forward<Args>(args)...);
        else
            return target(std::forward<Args>(args)...);
    }

    template <class T>
    static constexpr Operations inline_operations{
        [](void* self, Args&&... args) -> R { return invoke(*static_cast<T*>(self), std::forward<Args>(args)...); },
        [](void* from, void* to) noexcept {
            ::new (to) T(std::move(*static_cast<T*>(from)));
            static_cast<T*>(from)->~T();
        },
        [](void* self) noexcept { static_cast<T*>(self)->~T(); }, &typeid(T)};

    template <class T>
    static constexpr Operations pooled_operations{
        [](void* self, Args&&... args) -> R { return invoke(**static_cast<T**>(self), std::forward<Args>(args)...); },
        [](void* from, void* to) noexcept { *static_cast<T**>(to) = *static_cast<T**>(from); },
        [](void* self) noexcept {
            T* target = *static_cast<T**>(self);
            target->~T();
            detail::pool_free(target, sizeof(T));
        },
        &typeid(T)};

    void take(UniqueFunction& other) noexcept {
        operations_ = std::exchange(other.operations_, nullptr);
        if (operations_) operations_->move(other.storage_, storage_);
    }
    void reset() noexcept {
        if (const Operations* operations = std::exchange(operations_, nullptr)) operations->destroy(storage_);
    }

    const Operations* operations_ = nullptr;
    alignas(void*) std::byte storage_[inline_size];
};

}  // namespace weft
