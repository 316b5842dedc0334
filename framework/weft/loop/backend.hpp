#pragma once
// Backend: the seam between the loop and the world. The loop owns no I/O: time, waiting, wake-ups, sockets, names,
// randomness and threads all come from its backend, so a loop on a simulated backend runs the same programs with
// virtual time and an in-memory network, and nothing above this seam can tell.
//
// Two are real: backends/asio (boost::asio::io_context) and backends/sim (deterministic simulation). An application can
// bring its own: derive, and hand it to `EventLoop(std::move(backend))` or to a policy.

#include <weft/base/unique_function.hpp>
#include <weft/loop/handle.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace weft {

class EventLoop;
class Executor;

namespace io {
class Network;
}

/// Which readiness of a descriptor is watched.
enum class FdEvent : std::uint8_t { readable, writable };

class Backend {
public:
    virtual ~Backend() = default;

    /// A short name for dumps: "asio", "sim".
    virtual std::string_view name() const noexcept = 0;
    /// Told once, before anything else, which loop this backend serves. It outlives the backend.
    virtual void attach(EventLoop& loop) = 0;
    /// Lets go of every operation and descriptor; called once, when the loop closes. Nothing of the loop is called
    /// back afterwards.
    virtual void close() noexcept = 0;

    /// The time of the loop's clock.
    virtual TimePoint now() const noexcept = 0;
    /// Runs what I/O has completed. Returns as soon as something ran, wake() was called, or `deadline` has passed;
    /// no deadline means to wait without bound. Completions may call protocols from inside.
    virtual void poll(std::optional<TimePoint> deadline) = 0;
    /// Runs what I/O has completed, all of it, without waiting.
    virtual void poll_ready() = 0;
    /// Runs a part of what the last poll has left, without asking the system. False if there is nothing.
    virtual bool poll_rest() { return false; }
    /// True if nothing is awaited of the world, so that poll_ready() would find nothing.
    virtual bool is_idle() const noexcept { return false; }
    /// Makes a waiting poll() return, or the next one not wait. Any thread.
    virtual void wake() noexcept = 0;
    /// True if a poll costs nothing, so that the loop polls at each iteration, as asyncio does.
    virtual bool polls_each_iteration() const noexcept = 0;

    /// Calls `callback` from poll() each time the descriptor is ready, until unwatched (level-triggered). At most one
    /// callback for each descriptor and event: the caller unwatches before it watches anew.
    virtual void watch_fd(int fd, FdEvent event, UniqueFunction<void()> callback) = 0;
    virtual void unwatch_fd(int fd, FdEvent event) noexcept = 0;
    /// Calls `callback` from poll() after each arrival of the signal, until unwatched, which restores its default.
    virtual void watch_signal(int signal_number, UniqueFunction<void()> callback) = 0;
    virtual void unwatch_signal(int signal_number) noexcept = 0;
    /// A signal that is watched has arrived and its callback was not called yet.
    virtual bool signal_is_pending(int signal_number) const noexcept {
        (void)signal_number;
        return false;
    }

    /// Runs functions beside the loop's thread; 0 workers means a sensible number.
    virtual std::unique_ptr<Executor> new_executor(std::string name, std::size_t max_workers) = 0;
    /// 64 random bits.
    virtual std::uint64_t entropy() = 0;
    /// Streams over TCP and name resolution.
    virtual io::Network& network() = 0;
};

}  // namespace weft
