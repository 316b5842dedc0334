#pragma once
// Ref<T>: an owning pointer to an object that counts its own references, without atomics.
//
//     Ref<State> state = Ref<State>::adopt(new State);   // takes the first reference
//     Ref<State> other = state;                          // one more
//
// Everything a loop owns lives on that loop's thread, so the count is a plain integer.

#include <cstddef>
#include <type_traits>
#include <utility>

namespace weft::detail {

/// Owns one reference to a `T` that has `add_ref()` and `release()`.
template <class T>
class Ref {
public:
    Ref() noexcept = default;
    Ref(std::nullptr_t) noexcept {}
    /// Shares `object`: takes a new reference.
    explicit Ref(T* object) noexcept : object_(object) {
        if (object_) object_->add_ref();
    }
    Ref(const Ref& other) noexcept : Ref(other.object_) {}
    Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
    template <class U>
        requires std::is_convertible_v<U*, T*>
    Ref(const Ref<U>& other) noexcept : Ref(static_cast<T*>(other.get())) {}
    template <class U>
        requires std::is_convertible_v<U*, T*>
    Ref(Ref<U>&& other) noexcept : object_(other.detach()) {}
    Ref& operator=(Ref other) noexcept {
        std::swap(object_, other.object_);
        return *this;
    }
    ~Ref() {
        if (object_) object_->release();
    }

    /// Takes over a reference that the caller already holds.
    static Ref adopt(T* object) noexcept {
        Ref ref;
        ref.object_ = object;
        return ref;
    }
    /// Gives the reference to the caller.
    T* detach() noexcept { return std::exchange(object_, nullptr); }

    T* get() const noexcept { return object_; }
    T* operator->() const noexcept { return object_; }
    T& operator*() const noexcept { return *object_; }
    explicit operator bool() const noexcept { return object_ != nullptr; }
    bool operator==(const Ref& other) const noexcept { return object_ == other.object_; }

private:
    T* object_ = nullptr;
};

}  // namespace weft::detail
