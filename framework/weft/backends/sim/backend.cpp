#include <weft/backends/sim/backend.hpp>

#include <weft/backends/sim/executor.hpp>
#include <weft/inspect/dump.hpp>

namespace weft::sim {

SimBackend::SimBackend(std::uint64_t seed) : now_(std::chrono::seconds(1000)), random_(seed), network_(*this) {}

void SimBackend::close() noexcept {
    network_.close();
    signals_.clear();
    // Dropping an event may post another one.
    while (!events_.empty()) {
        auto events = std::move(events_);
        events_.clear();
    }
}

void SimBackend::post(Duration delay, UniqueFunction<void()> event) {
    events_.emplace(Key(now_ + delay, next_sequence_++), std::move(event));
}

void SimBackend::post(Duration delay, UniqueFunction<void()> event, EventRoom room) noexcept {
    room.node_.key() = Key(now_ + delay, next_sequence_++);
    room.node_.mapped() = std::move(event);
    events_.insert(std::move(room.node_));
}

SimBackend::Events::node_type SimBackend::reserve_event() {
    Events events;
    return events.extract(events.emplace(Key(), nullptr).first);
}

/// Runs the events due now; those they post for now wait for the next poll.
bool SimBackend::run_due() {
    const Key end(now_, next_sequence_);
    bool ran = false;
    while (!events_.empty() && events_.begin()->first < end) {
        auto event = events_.extract(events_.begin());
        ran = true;
        event.mapped()();
    }
    return ran;
}

void SimBackend::poll_ready() {
    run_due();
}

void SimBackend::poll(std::optional<TimePoint> deadline) {
    if (woken_.exchange(false) || run_due()) return;
    const bool has_event = !events_.empty();
    if (!has_event && !deadline)
        throw DeadlockError("every task waits and nothing can wake one:\n" + dump_tasks(*loop_));
    TimePoint next = has_event ? events_.begin()->first.first : *deadline;
    if (deadline && *deadline < next) next = *deadline;
    if (next > now_) now_ = next;
    run_due();
}

void SimBackend::watch_fd(int, FdEvent, UniqueFunction<void()>) {
    throw RuntimeError("a simulated loop has no file descriptors");
}

void SimBackend::watch_signal(int signal_number, UniqueFunction<void()> callback) {
    signals_[signal_number] = std::make_shared<UniqueFunction<void()>>(std::move(callback));
}

bool SimBackend::raise_signal(int signal_number) {
    if (!signals_.contains(signal_number)) return false;
    post(Duration::zero(), [this, signal_number] {
        auto found = signals_.find(signal_number);
        if (found == signals_.end()) return;
        const auto callback = found->second;
        (*callback)();
    });
    return true;
}

std::unique_ptr<Executor> SimBackend::new_executor(std::string name, std::size_t) {
    return std::make_unique<SimExecutor>(*this, std::move(name));
}

std::unique_ptr<EventLoop> new_event_loop(std::uint64_t seed) {
    return std::make_unique<EventLoop>(std::make_unique<SimBackend>(seed));
}

}  // namespace weft::sim
