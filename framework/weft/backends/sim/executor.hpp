#pragma once
// SimExecutor: the executor of a simulated loop. Functions run on the loop's own thread, one per poll, in the order in
// which they were submitted, so that a run can be repeated.

#include <weft/services/executor.hpp>

#include <memory>
#include <string>

namespace weft::sim {

class SimBackend;

class SimExecutor final : public Executor {
public:
    SimExecutor(SimBackend& backend, std::string name);
    ~SimExecutor() override;
    /// Waiting runs what is queued, here and now.
    void shutdown(bool wait = true, bool cancel_futures = false) override;
    ConcurrentFuture<> terminated() const override;
    std::size_t queue_depth() const override;
    std::string_view name() const noexcept override { return name_; }

private:
    class Queue;
    void post(std::unique_ptr<ExecutorJob> job) override;

    SimBackend& backend_;
    const std::string name_;
    std::shared_ptr<Queue> queue_;  // the backend's events share it
};

}  // namespace weft::sim
