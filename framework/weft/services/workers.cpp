#include <weft/services/workers.hpp>

#include <weft/base/exceptions.hpp>

#include <csignal>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace weft {

namespace detail {

class WorkerGroup {
public:
    WorkerGroup(std::size_t count, std::function<Coro<int>(Worker&)> main, RunOptions options)
        : main_(std::move(main)), options_(std::move(options)), places_(count) {
        for (std::size_t i = 0; i < count; ++i)
            places_[i].worker = std::make_unique<Worker>(*this, i);
    }

    std::size_t count() const noexcept { return places_.size(); }

    /// Runs one worker on this thread, to its end.
    void run(std::size_t index) {
        const int status = exit_status_of(
            [this, index](Runner& runner, std::string& trace) {
                // Also when it ends by an error or an interrupt: nobody may reach the loop afterwards.
                const Presence presence(*this, index, runner.get_loop());
                return runner.run(traced_main(run_main(index), trace));
            },
            options_);
        const std::lock_guard lock(mutex_);
        if (status_ == 0) status_ = status;
        if (status != 0) stop_locked();
    }

    void stop() {
        const std::lock_guard lock(mutex_);
        stop_locked();
    }

    bool call_soon_threadsafe(std::size_t index, UniqueFunction<void()> fn) {
        if (index >= places_.size())
            throw ValueError("there is no worker " + std::to_string(index) + " of " + std::to_string(places_.size()));
        const std::lock_guard lock(mutex_);
        Place& place = places_[index];
        if (place.state == State::ended) return false;
        if (place.state == State::coming)
            place.early.push_back(std::move(fn));
        else
            place.loop->call_soon_threadsafe(std::move(fn));
        return true;
    }

    int status() const {
        const std::lock_guard lock(mutex_);
        return status_;
    }

private:
    ///     coming -> running -> ended
    enum class State : std::uint8_t { coming, running, ended };
    struct Place {
        std::unique_ptr<Worker> worker;
        State state = State::coming;
        EventLoop* loop = nullptr;                  // while running
        UniqueFunction<void()> cancel;              // of its main task; see Stoppable
        std::vector<UniqueFunction<void()>> early;  // for when it runs
    };

    /// While it lives the worker's loop can be reached.
    class Presence {
    public:
        Presence(WorkerGroup& group, std::size_t index, EventLoop& loop) : group_(group), place_(group.places_[index]) {
            const std::lock_guard lock(group.mutex_);
            place_.loop = &loop;
            place_.state = State::running;
            for (auto& fn : std::exchange(place_.early, {}))
                loop.call_soon(std::move(fn));
        }
        Presence(const Presence&) = delete;
        Presence& operator=(const Presence&) = delete;
        ~Presence() {
            const std::lock_guard lock(group_.mutex_);
            place_.state = State::ended;
            place_.loop = nullptr;
        }

    private:
        WorkerGroup& group_;
        Place& place_;
    };

    /// While it lives stop() cancels the task that made it. The task is touched and let go on its own thread only.
    class Stoppable {
    public:
        Stoppable(WorkerGroup& group, Place& place) : group_(group), place_(place) {
            const std::lock_guard lock(group_.mutex_);
            place_.cancel = [task = current_task()]() mutable { task.cancel("the workers stop"); };
        }
        Stoppable(const Stoppable&) = delete;
        Stoppable& operator=(const Stoppable&) = delete;
        ~Stoppable() { (void)take(group_, place_); }
        static UniqueFunction<void()> take(WorkerGroup& group, Place& place) {
            const std::lock_guard lock(group.mutex_);
            return std::exchange(place.cancel, nullptr);
        }

    private:
        WorkerGroup& group_;
        Place& place_;
    };

    /// The program of one worker; that it was stopped is no error.
    Coro<int> run_main(std::size_t index) {
        Place& place = places_[index];
        const Stoppable stoppable(*this, place);
        if (is_stopping()) co_return 0;
        Coro<int> main = main_(*place.worker);
        int status = 0;
        std::exception_ptr cancelled;
        try {
            status = co_await std::move(main);
        } catch (const CancelledError&) {
            cancelled = std::current_exception();
        }
        if (cancelled && !is_stopping()) std::rethrow_exception(cancelled);
        co_return status;
    }

    bool is_stopping() const {
        const std::lock_guard lock(mutex_);
        return stopping_;
    }

    void stop_locked() {
        if (std::exchange(stopping_, true)) return;
        for (Place& place : places_) {
            if (place.state != State::running) continue;
            place.loop->call_soon_threadsafe([this, &place] {
                if (auto cancel = Stoppable::take(*this, place)) cancel();
            });
        }
    }

    mutable std::mutex mutex_;
    const std::function<Coro<int>(Worker&)> main_;
    const RunOptions options_;
    std::vector<Place> places_;
    bool stopping_ = false;
    int status_ = 0;
};

int run_worker_threads(std::size_t count, std::function<Coro<int>(Worker&)> main, RunOptions options) {
    if (count == 0) throw ValueError("run_workers: at least one worker is needed");
    if (running_loop) throw RuntimeError("run_workers() cannot be called from a running event loop");
    WorkerGroup group(count, std::move(main), std::move(options));
    std::vector<std::thread> threads;
    /// Also when a thread cannot be had.
    class Join {
    public:
        Join(WorkerGroup& group, std::vector<std::thread>& threads) : group_(group), threads_(threads) {}
        Join(const Join&) = delete;
        Join& operator=(const Join&) = delete;
        ~Join() {
            if (!done) group_.stop();
            for (std::thread& thread : threads_)
                thread.join();
        }
        bool done = false;

    private:
        WorkerGroup& group_;
        std::vector<std::thread>& threads_;
    };
    {
        Join join(group, threads);
        threads.reserve(count - 1);
        // Signals are for the calling thread.
        sigset_t all;
        sigset_t before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        try {
            for (std::size_t i = 1; i < count; ++i)
                threads.emplace_back([&group, i] { group.run(i); });
        } catch (...) {
            pthread_sigmask(SIG_SETMASK, &before, nullptr);
            throw;
        }
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
        group.run(0);
        join.done = true;
    }
    return group.status();
}

}  // namespace detail

std::size_t Worker::count() const noexcept {
    return group_.count();
}

void Worker::stop() const {
    group_.stop();
}

bool Worker::call_soon_threadsafe(std::size_t index, UniqueFunction<void()> fn) const {
    return group_.call_soon_threadsafe(index, std::move(fn));
}

}  // namespace weft
