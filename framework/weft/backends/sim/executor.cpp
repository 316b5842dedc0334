#include <weft/backends/sim/executor.hpp>

#include <weft/backends/sim/backend.hpp>

#include <deque>

namespace weft::sim {

class SimExecutor::Queue {
public:
    Queue() { terminated_.set_running_or_notify_cancel(); }  // who waits for it cannot cancel it
    void add(std::unique_ptr<ExecutorJob> job) {
        if (shut_down_) throw RuntimeError("cannot schedule new futures after shutdown");
        jobs_.push_back(std::move(job));
    }
    void run_next() {
        if (jobs_.empty()) return;
        const std::unique_ptr<ExecutorJob> job = std::move(jobs_.front());
        jobs_.pop_front();
        job->run();
        tell_if_ended();
    }
    void shutdown(bool wait, bool cancel_jobs) {
        shut_down_ = true;
        while (cancel_jobs && !jobs_.empty()) {
            jobs_.front()->cancel();
            jobs_.pop_front();
        }
        while (wait && !jobs_.empty())
            run_next();
        tell_if_ended();
    }
    std::size_t depth() const noexcept { return jobs_.size(); }
    const ConcurrentFuture<>& terminated() const noexcept { return terminated_; }

private:
    void tell_if_ended() {
        if (shut_down_ && jobs_.empty() && !terminated_.done()) terminated_.set_result();
    }

    std::deque<std::unique_ptr<ExecutorJob>> jobs_;
    bool shut_down_ = false;
    ConcurrentFuture<> terminated_;
};

SimExecutor::SimExecutor(SimBackend& backend, std::string name)
    : backend_(backend), name_(std::move(name)), queue_(std::make_shared<Queue>()) {}

SimExecutor::~SimExecutor() {
    queue_->shutdown(false, true);
}

void SimExecutor::shutdown(bool wait, bool cancel_futures) {
    queue_->shutdown(wait, cancel_futures);
}
ConcurrentFuture<> SimExecutor::terminated() const {
    return queue_->terminated();
}
std::size_t SimExecutor::queue_depth() const {
    return queue_->depth();
}

void SimExecutor::post(std::unique_ptr<ExecutorJob> job) {
    backend_.post(Duration::zero(), [queue = queue_] { queue->run_next(); });
    queue_->add(std::move(job));  // if it cannot, the event finds nothing
}

}  // namespace weft::sim
