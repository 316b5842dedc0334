#include <weft/loop/policy.hpp>

#include <mutex>

namespace weft {

namespace {

std::mutex policy_mutex;
std::shared_ptr<EventLoopPolicy>& current_policy() {
    static std::shared_ptr<EventLoopPolicy> policy;
    return policy;
}

}  // namespace

std::unique_ptr<EventLoop> DefaultEventLoopPolicy::new_event_loop() {
    return std::make_unique<EventLoop>(detail::make_asio_backend());
}

std::shared_ptr<EventLoopPolicy> get_event_loop_policy() {
    std::lock_guard lock(policy_mutex);
    auto& policy = current_policy();
    if (!policy) policy = std::make_shared<DefaultEventLoopPolicy>();
    return policy;
}

void set_event_loop_policy(std::shared_ptr<EventLoopPolicy> policy) {
    std::lock_guard lock(policy_mutex);
    current_policy() = std::move(policy);
}

std::unique_ptr<EventLoop> new_event_loop() {
    return get_event_loop_policy()->new_event_loop();
}

}  // namespace weft
