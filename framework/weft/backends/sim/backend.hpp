#pragma once
// SimBackend: a loop whose time is virtual and whose network is in memory; the same program and seed give the same run.
//
//     auto loop = sim::new_event_loop();
//     loop->run_until_complete(test());            // sleep(1h) takes no time
//
// When nothing is ready, the clock jumps to the next timer or delivery. When there is none either, the program would
// wait for ever: DeadlockError is thrown out of the loop, with the task tree.

#include <weft/backends/sim/network.hpp>
#include <weft/base/exceptions.hpp>
#include <weft/loop/backend.hpp>
#include <weft/loop/event_loop.hpp>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <vector>

namespace weft::sim {

/// Every task waits for something that cannot come; what() has the task tree.
class DeadlockError : public RuntimeError {
    using RuntimeError::RuntimeError;
};

class SimBackend final : public Backend {
public:
    explicit SimBackend(std::uint64_t seed = 1);

    std::string_view name() const noexcept override { return "sim"; }
    void attach(EventLoop& loop) override { loop_ = &loop; }
    void close() noexcept override;
    TimePoint now() const noexcept override { return now_; }
    void poll(std::optional<TimePoint> deadline) override;
    void poll_ready() override;
    void wake() noexcept override { woken_ = true; }
    bool polls_each_iteration() const noexcept override { return true; }
    /// A simulated loop has no descriptors: RuntimeError.
    void watch_fd(int fd, FdEvent event, UniqueFunction<void()> callback) override;
    void unwatch_fd(int, FdEvent) noexcept override {}
    void watch_signal(int signal_number, UniqueFunction<void()> callback) override;
    void unwatch_signal(int signal_number) noexcept override { signals_.erase(signal_number); }
    std::unique_ptr<Executor> new_executor(std::string name, std::size_t max_workers) override;
    std::uint64_t entropy() override { return random_(); }
    SimNetwork& network() override { return network_; }

    /// Runs `event` from a poll when the clock reaches now() + delay; equal times in the order of the calls.
    void post(Duration delay, UniqueFunction<void()> event);
    /// Room for an event that must not fail when it is posted.
    class EventRoom {
    public:
        EventRoom() noexcept = default;
        static EventRoom reserve() { return EventRoom(reserve_event()); }

    private:
        friend class SimBackend;
        using Node = std::map<std::pair<TimePoint, std::uint64_t>, UniqueFunction<void()>>::node_type;
        explicit EventRoom(Node node) noexcept : node_(std::move(node)) {}
        Node node_;
    };
    /// The same as post(), in `room`, which is used up.
    void post(Duration delay, UniqueFunction<void()> event, EventRoom room) noexcept;
    /// As if the process got the signal: its watcher runs in the next poll. False if nobody watches it.
    bool raise_signal(int signal_number);
    EventLoop& loop() const noexcept { return *loop_; }

private:
    using Key = std::pair<TimePoint, std::uint64_t>;
    using Events = std::map<Key, UniqueFunction<void()>>;
    static Events::node_type reserve_event();
    bool run_due();

    EventLoop* loop_ = nullptr;
    TimePoint now_;
    std::uint64_t next_sequence_ = 0;
    Events events_;
    std::map<int, std::shared_ptr<UniqueFunction<void()>>> signals_;
    std::mt19937_64 random_;
    std::atomic<bool> woken_{false};
    SimNetwork network_;
};

/// A loop on a simulated backend of its own.
std::unique_ptr<EventLoop> new_event_loop(std::uint64_t seed = 1);

}  // namespace weft::sim
