#pragma once
// DefaultInterrupt: what SIGINT does while the application has no handler of its own for it. A Runner says so for as
// long as it runs, as asyncio's does; loop.add_signal_handler(SIGINT, ...) takes its place and
// loop.remove_signal_handler(SIGINT) brings it back.

#include <weft/loop/service.hpp>

#include <functional>
#include <string_view>
#include <utility>

namespace weft::detail {

class DefaultInterrupt final : public Service {
public:
    std::string_view name() const noexcept override { return "interrupt"; }
    void shutdown() noexcept override { action_ = nullptr; }

    void set(std::function<void()> action) {
        action_ = std::move(action);
        replaced_ = false;
    }
    void clear() noexcept { action_ = nullptr; }
    bool is_set() const noexcept { return static_cast<bool>(action_); }
    const std::function<void()>& action() const noexcept { return action_; }
    /// The application has a handler of its own.
    bool is_replaced() const noexcept { return replaced_; }
    void set_replaced(bool replaced) noexcept { replaced_ = replaced; }

private:
    std::function<void()> action_;
    bool replaced_ = false;
};

}  // namespace weft::detail
