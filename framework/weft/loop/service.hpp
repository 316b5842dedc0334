#pragma once
// Service: an object that belongs to a loop and is reached by its type.
//
//     class Metrics : public weft::Service { ... };
//     loop.add_service<Metrics>(args...);
//     loop.service<Metrics>().count("requests");
//
// Services are shut down in the reverse order of their registration when the loop closes.
//
// A service that an application may replace says so by `using service_type = Base;` in its base class: a class derived
// from it is then registered and found under that base.

#include <concepts>
#include <string_view>

namespace weft {

class EventLoop;

class Service {
public:
    virtual ~Service() = default;
    /// A short name for dumps and errors.
    virtual std::string_view name() const noexcept = 0;
    /// Called once on the loop's thread while the loop closes; what the service holds of the loop must be let go here.
    /// Must not throw.
    virtual void shutdown() noexcept {}
    /// Asked before a descriptor is watched for the application: throws RuntimeError if the service has it in its
    /// hands.
    virtual void check_descriptor_free(int fd) const { (void)fd; }
};

namespace detail {

/// One address per type, which stands for the type without RTTI.
template <class T>
inline constexpr char service_key = 0;

template <class T>
struct ServiceType {
    using type = T;
};
template <class T>
    requires requires { typename T::service_type; }
struct ServiceType<T> {
    using type = typename T::service_type;
};
/// What a T is registered under.
template <class T>
using service_type_t = typename ServiceType<T>::type;

/// T::of() gives the loop's, and makes it if there is none: such a T says so by `static constexpr bool has_default =
/// true`.
template <class T>
concept HasDefaultService = T::has_default && requires(EventLoop& loop) {
    { T::of(loop) } -> std::same_as<T&>;
};

}  // namespace detail
}  // namespace weft
