#include <weft/services/executor.hpp>

#include <weft/base/constants.hpp>
#include <weft/base/exceptions.hpp>
#include <weft/loop/backend.hpp>
#include <weft/tasks/wait_for.hpp>

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

namespace weft {

namespace {

/// Waits at the end of the program for threads whose pool did not, as Python does: they may still use what ends then.
class Stragglers {
public:
    static Stragglers& instance() {
        static Stragglers stragglers;
        return stragglers;
    }
    ~Stragglers() {
        for (std::thread& thread : threads_)
            thread.join();
    }
    void add(std::vector<std::thread> threads) {
        const std::lock_guard lock(mutex_);
        for (std::thread& thread : threads)
            threads_.push_back(std::move(thread));
    }

private:
    std::mutex mutex_;
    std::vector<std::thread> threads_;
};

/// This thread may run while another does.
bool has_processors() noexcept {
    cpu_set_t allowed;
    return ::sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_COUNT(&allowed) > 1;
}

std::size_t default_workers() {
    return std::min<std::size_t>(32, std::max(1u, std::thread::hardware_concurrency()) + 4);
}

}  // namespace

/// The threads share it; it outlives the executor if that did not wait for them.
class ThreadPoolExecutor::Pool : public std::enable_shared_from_this<Pool> {
public:
    Pool(std::size_t limit, std::string name) : limit_(limit ? limit : default_workers()), name_(std::move(name)) {
        terminated_.set_running_or_notify_cancel();  // who waits for it cannot cancel it
    }

    void post(std::unique_ptr<ExecutorJob> job) {
        {
            const std::lock_guard lock(mutex_);
            if (shut_down_) throw RuntimeError("cannot schedule new futures after shutdown");
            if (idle_ <= jobs_.size() && threads_.size() < limit_) start_thread();
            jobs_.push_back(std::move(job));
            arrived_.store(true, std::memory_order_relaxed);
            if (lingering_ && jobs_.size() == 1) return;  // it looks, once more before it sleeps
        }
        // Without the lock, which who wakes up needs.
        work_.notify_one();
    }

    /// At the end of the executor: waits, unless somebody has said not to.
    void end() {
        bool left_alone;
        {
            const std::lock_guard lock(mutex_);
            left_alone = left_alone_;
        }
        if (!left_alone) shutdown(true, false);
    }
    void shutdown(bool wait, bool cancel_jobs) {
        std::deque<std::unique_ptr<ExecutorJob>> dropped;
        std::vector<std::thread> threads;
        bool ended;
        {
            const std::lock_guard lock(mutex_);
            shut_down_ = true;
            left_alone_ |= !wait;
            if (cancel_jobs) dropped.swap(jobs_);
            threads.swap(threads_);
            ended = running_ == 0 && !std::exchange(told_, running_ == 0);
            work_.notify_all();
        }
        for (auto& job : dropped)
            job->cancel();
        if (ended) terminated_.set_result();
        // One of its own threads cannot wait for itself.
        if (!wait || working_for == this) {
            Stragglers::instance().add(std::move(threads));
            return;
        }
        for (std::thread& thread : threads)
            thread.join();
        terminated_.result();
    }

    std::size_t queue_depth() const {
        const std::lock_guard lock(mutex_);
        return jobs_.size();
    }
    std::size_t workers() const {
        const std::lock_guard lock(mutex_);
        return running_;
    }
    const ConcurrentFuture<>& terminated() const noexcept { return terminated_; }
    const std::string& name() const noexcept { return name_; }

private:
    void start_thread() {
        Stragglers::instance();                 // so that it ends after those that it waits for
        threads_.reserve(threads_.size() + 1);  // there is no way back once it runs
        std::thread thread([self = shared_from_this()] { self->work(); });
        ++running_;
        pthread_setname_np(thread.native_handle(), name_.c_str());
        threads_.push_back(std::move(thread));
    }

    void work() {
        working_for = this;
        const bool lingers = has_processors();
        std::unique_lock lock(mutex_);
        for (;;) {
            ++idle_;
            if (lingers && !lingering_ && jobs_.empty() && !shut_down_) linger(lock);
            work_.wait(lock, [this] { return shut_down_ || !jobs_.empty(); });
            --idle_;
            if (jobs_.empty()) break;
            std::unique_ptr<ExecutorJob> job = std::move(jobs_.front());
            jobs_.pop_front();
            lock.unlock();
            job->run();
            job = nullptr;  // what it holds goes here, not while others wait for the lock
            lock.lock();
        }
        const bool last = --running_ == 0 && !std::exchange(told_, true);
        lock.unlock();
        if (last) terminated_.set_result();
    }

    /// Where functions come one after the other the next one is close, and to sleep and be woken up takes longer than
    /// it does to come. One thread at a time does this.
    void linger(std::unique_lock<std::mutex>& lock) {
        lingering_ = true;
        arrived_.store(false, std::memory_order_relaxed);
        lock.unlock();
        const TimePoint end = Clock::now() + constants::executor_linger;
        while (!arrived_.load(std::memory_order_relaxed) && Clock::now() < end) {}
        lock.lock();
        lingering_ = false;
    }

    static inline thread_local const Pool* working_for = nullptr;

    const std::size_t limit_;
    const std::string name_;
    mutable std::mutex mutex_;
    std::condition_variable work_;
    std::deque<std::unique_ptr<ExecutorJob>> jobs_;
    std::vector<std::thread> threads_;
    std::size_t idle_ = 0;
    std::size_t running_ = 0;
    bool shut_down_ = false;
    bool lingering_ = false;  // a thread does; it looks for a function before it sleeps
    std::atomic<bool> arrived_{false};
    bool left_alone_ = false;  // shut down without waiting
    bool told_ = false;        // terminated_ is set or about to be
    ConcurrentFuture<> terminated_;
};

ThreadPoolExecutor::ThreadPoolExecutor(std::size_t max_workers, std::string name) {
    if (name.size() > 15)
        throw ValueError("ThreadPoolExecutor: the name of a thread has at most 15 characters: " + name);
    pool_ = std::make_shared<Pool>(max_workers, std::move(name));
}

ThreadPoolExecutor::~ThreadPoolExecutor() {
    pool_->end();
}

void ThreadPoolExecutor::shutdown(bool wait, bool cancel_futures) {
    pool_->shutdown(wait, cancel_futures);
}
ConcurrentFuture<> ThreadPoolExecutor::terminated() const {
    return pool_->terminated();
}
std::size_t ThreadPoolExecutor::queue_depth() const {
    return pool_->queue_depth();
}
std::size_t ThreadPoolExecutor::workers() const {
    return pool_->workers();
}
std::string_view ThreadPoolExecutor::name() const noexcept {
    return pool_->name();
}
void ThreadPoolExecutor::post(std::unique_ptr<ExecutorJob> job) {
    pool_->post(std::move(job));
}

// ExecutorService

ExecutorService& ExecutorService::of(EventLoop& loop) {
    if (auto* service = loop.find_service<ExecutorService>()) return *service;
    return loop.add_service<ExecutorService>(loop);
}

void ExecutorService::shutdown() noexcept {
    try {
        if (default_) default_->shutdown(false);
        for (auto& [name, pool] : pools_)
            pool->shutdown(false);
    } catch (...) {
        // No memory to keep the threads for the end of the program: their pools wait for them now.
    }
    default_ = nullptr;
    pools_.clear();
}

std::shared_ptr<Executor> ExecutorService::new_executor(const std::string& name, std::size_t max_workers) {
    return loop_.backend().new_executor(name, max_workers);
}

Executor& ExecutorService::default_executor() {
    if (default_shut_down_) throw RuntimeError("Executor shutdown has been called");
    if (!default_) default_ = new_executor("weft", 0);
    return *default_;
}

void ExecutorService::set_default_executor(std::shared_ptr<Executor> executor) {
    if (!executor) throw ValueError("set_default_executor: the executor is null");
    // What the one before runs goes on, if nobody else has it: the loop does not wait for it.
    const std::shared_ptr<Executor> before = std::exchange(default_, std::move(executor));
    if (before.use_count() == 1) before->shutdown(false);
}

Executor& ExecutorService::pool(const std::string& name, std::size_t max_workers) {
    const auto known = pools_.find(name);
    if (known != pools_.end()) return *known->second;
    return *pools_.emplace(name, new_executor(name, max_workers)).first->second;
}

Coro<> ExecutorService::shutdown_default(std::optional<Duration> limit) {
    default_shut_down_ = true;
    const std::shared_ptr<Executor> executor = default_;
    if (!executor) co_return;
    executor->shutdown(false);
    Future<> ended = wrap_future(executor->terminated(), loop_);
    bool late = false;
    try {
        co_await detail::run_wait_for<Future<>>(ended, limit);
    } catch (const TimeoutError&) {
        late = true;
    }
    if (late)
        loop_.log("The executor did not finish joining its threads within " +
                  std::to_string(std::chrono::duration_cast<std::chrono::seconds>(*limit).count()) + " seconds.");
}

// EventLoop

Coro<void> EventLoop::shutdown_default_executor(std::optional<Duration> limit) {
    return ExecutorService::of(*this).shutdown_default(limit);
}

void EventLoop::set_default_executor(std::shared_ptr<Executor> executor) {
    check_usable();
    ExecutorService::of(*this).set_default_executor(std::move(executor));
}

}  // namespace weft
