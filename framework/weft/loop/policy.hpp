#pragma once
// EventLoopPolicy: how an application chooses what new_event_loop() makes, for the whole process.
//
//     class MyPolicy : public weft::EventLoopPolicy {
//         std::unique_ptr<weft::EventLoop> new_event_loop() override {
//             return std::make_unique<weft::EventLoop>(std::make_unique<MyBackend>());
//         }
//     };
//     weft::set_event_loop_policy(std::make_shared<MyPolicy>());
//
// Nothing makes a loop implicitly: run(), Runner and new_event_loop() are the only callers.

#include <weft/loop/event_loop.hpp>

#include <memory>

namespace weft {

class EventLoopPolicy {
public:
    virtual ~EventLoopPolicy() = default;
    virtual std::unique_ptr<EventLoop> new_event_loop() = 0;
};

/// Loops over Boost.Asio.
class DefaultEventLoopPolicy : public EventLoopPolicy {
public:
    std::unique_ptr<EventLoop> new_event_loop() override;
};

/// Any thread. The first call makes a DefaultEventLoopPolicy.
std::shared_ptr<EventLoopPolicy> get_event_loop_policy();
/// Any thread; null restores the default.
void set_event_loop_policy(std::shared_ptr<EventLoopPolicy> policy);
/// A new loop from the current policy; the caller owns it.
std::unique_ptr<EventLoop> new_event_loop();

namespace detail {
/// A backend on an io_context of its own; defined by backends/asio.
std::unique_ptr<Backend> make_asio_backend();
}  // namespace detail

}  // namespace weft
