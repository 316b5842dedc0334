#pragma once
// What the torture tests share: scenarios, and a simulated loop that can be stopped after a number of iterations.
//
// A scenario is a coroutine that uses a part of the framework and throws if a result is wrong. Whatever it captures
// lives in its own frame or is shared: it may be destroyed at any point.

#include "support/harness.hpp"
#include "torture/allocations.hpp"

#include <cstddef>
#include <exception>
#include <filesystem>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace weft::testing {

/// Longer than what a std::string holds without an allocation.
inline const char* const long_text = "a text that is much too long for the small string optimization";

/// What a scenario throws on purpose.
class Expected : public std::exception {
public:
    const char* what() const noexcept override { return "expected"; }
};

/// A result that is wrong.
class WrongResult : public std::logic_error {
    using std::logic_error::logic_error;
};
inline void require(bool holds, const char* what) {
    if (!holds) throw WrongResult(what);
}

/// An object that is counted: put into frames, arguments and captures to see that each is destroyed exactly once.
class Probe {
public:
    Probe() noexcept { ++alive_; }
    Probe(const Probe&) noexcept : Probe() {}
    Probe& operator=(const Probe&) noexcept { return *this; }
    ~Probe() {
        if (std::exchange(self_, nullptr) != this) ++broken_;
        --alive_;
    }
    /// Those of this thread that were made and not destroyed.
    static long alive() noexcept { return alive_; }
    /// Destructions of what was none, or none any more.
    static long broken() noexcept { return broken_; }

private:
    static inline thread_local constinit long alive_ = 0;
    static inline thread_local constinit long broken_ = 0;
    const Probe* volatile self_ = this;
};

/// A coroutine of a name.
class Scenario {
public:
    constexpr Scenario(const char* name, Coro<> (*run)()) noexcept : name(name), run(run) {}
    const char* name;
    Coro<> (*run)();
};

/// Futures, tasks, the combinators, executors.
const std::vector<Scenario>& task_scenarios();
/// What is cancelled while it waits for one thing or another.
const std::vector<Scenario>& cancel_scenarios();
/// Locks, conditions, queues.
const std::vector<Scenario>& sync_scenarios();
/// Servers, connections, streams.
const std::vector<Scenario>& io_scenarios();
/// What only a real loop has: descriptors, Unix sockets, TLS, pipes, processes, threads.
const std::vector<Scenario>& system_scenarios();
/// All but those.
std::vector<Scenario> all_scenarios();

/// True if `error` is an E, or a group that has one.
template <class E>
bool contains(const std::exception_ptr& error) {
    if (!error) return false;
    try {
        std::rethrow_exception(error);
    } catch (const ExceptionGroup& group) {
        for (const auto& one : group.exceptions())
            if (contains<E>(one)) return true;
        return false;
    } catch (const E&) {
        return true;
    } catch (...) {
        return false;
    }
}

inline std::size_t running_threads() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/task"))
        ++count;
    return count;
}

/// Calls `fn` on a thread of its own, whose frame pool is empty before and gone afterwards.
template <class F>
void on_fresh_thread(F&& fn) {
    const std::size_t before = running_threads();
    std::thread thread([&fn] { fn(); });
    thread.join();
    // Threads that looked up names may end a moment later than the loop, and free what is theirs then.
    for (int waited = 0; running_threads() > before && waited < 500; ++waited)
        std::this_thread::sleep_for(10ms);
}

/// A simulated backend that counts the loop's iterations and stops the loop in a given one.
class SteppedBackend final : public Backend {
public:
    /// The loop is stopped in iteration `steps`, counted from 1; 0: never.
    explicit SteppedBackend(std::size_t steps) : left_(steps) {}
    std::string_view name() const noexcept override { return sim_.name(); }
    void attach(EventLoop& loop) override {
        loop_ = &loop;
        sim_.attach(loop);
    }
    void close() noexcept override { sim_.close(); }
    TimePoint now() const noexcept override { return sim_.now(); }
    void poll(std::optional<TimePoint> deadline) override {
        step();
        sim_.poll(deadline);
    }
    void poll_ready() override {
        step();
        sim_.poll_ready();
    }
    void wake() noexcept override { sim_.wake(); }
    bool polls_each_iteration() const noexcept override { return true; }
    void watch_fd(int fd, FdEvent event, UniqueFunction<void()> callback) override {
        sim_.watch_fd(fd, event, std::move(callback));
    }
    void unwatch_fd(int fd, FdEvent event) noexcept override { sim_.unwatch_fd(fd, event); }
    void watch_signal(int number, UniqueFunction<void()> callback) override {
        sim_.watch_signal(number, std::move(callback));
    }
    void unwatch_signal(int number) noexcept override { sim_.unwatch_signal(number); }
    std::unique_ptr<Executor> new_executor(std::string name, std::size_t workers) override {
        return sim_.new_executor(std::move(name), workers);
    }
    std::uint64_t entropy() override { return sim_.entropy(); }
    io::Network& network() override { return sim_.network(); }

private:
    void step() {
        if (left_ > 0 && --left_ == 0) loop_->stop();
    }
    sim::SimBackend sim_;
    EventLoop* loop_ = nullptr;
    std::size_t left_;
};

}  // namespace weft::testing
