#pragma once
// Service: an object that belongs to a loop and is reached by its type.
//
//     class Metrics : public weft::Service { ... };
//     loop.add_service<Metrics>(args...);
//     loop.service<Metrics>().count("requests");
//
// Services are shut down in the reverse order of their registration when the loop closes.

#include <string_view>

namespace weft {

class Service {
public:
    virtual ~Service() = default;
    /// A short name for dumps and errors.
    virtual std::string_view name() const noexcept = 0;
    /// Called once on the loop's thread while the loop closes; what the service holds of the loop must be let go here.
    /// Must not throw.
    virtual void shutdown() noexcept {}
};

namespace detail {

/// One address per type, which stands for the type without RTTI.
template <class T>
inline constexpr char service_key = 0;

}  // namespace detail
}  // namespace weft
