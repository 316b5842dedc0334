#include <weft/backends/asio/backend.hpp>

#include <weft/backends/asio/signals.hpp>
#include <weft/base/constants.hpp>
#include <weft/base/exceptions.hpp>
#include <weft/loop/event_loop.hpp>
#include <weft/loop/policy.hpp>
#include <weft/services/executor.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <utility>

namespace weft::asio_backend {

AsioBackend::AsioBackend()
    : own_context_(std::make_unique<IoContext>(1)),
      context_(*own_context_),
      network_(std::make_unique<AsioNetwork>(context_)),
      wake_up_(network_->sockets()),
      work_(context_.get_executor()) {}

AsioBackend::AsioBackend(IoContext& context)
    : context_(context),
      shared_(true),
      network_(std::make_unique<AsioNetwork>(context_)),
      wake_up_(network_->sockets()),
      work_(context_.get_executor()) {}

AsioBackend::~AsioBackend() = default;

void AsioBackend::attach(EventLoop& loop) {
    loop_ = &loop;
    network_->set_loop(loop);
#ifndef WEFT_ASIO_EPOLL
    network_->sockets().set_loop(&loop);
#endif
}

void AsioBackend::close() noexcept {
    for (auto& [key, watch] : watches_)
        watch->stop();
    close_signals();
    watches_.clear();
    called_.clear();
    network_->close();
#ifdef WEFT_ASIO_EPOLL
    set_watch_ = nullptr;
#else
    network_->sockets().set_loop(nullptr);
#endif
    work_.reset();
    // Cancelled operations still have to be told; the objects that they hold are freed here.
    try {
        context_.restart();
        for (int i = 0; i < 1000 && context_.poll_one() > 0; ++i) {}
    } catch (...) {
        // A foreign handler of a shared io_context threw while the loop closes: nobody is left to tell.
    }
}

#ifdef WEFT_ASIO_EPOLL

namespace {

/// What epoll_wait(2) takes, in milliseconds.
int timeout_until(std::optional<TimePoint> deadline) noexcept {
    if (!deadline) return -1;
    const TimePoint now = Clock::now();
    if (*deadline <= now) return 0;
    constexpr std::int64_t longest = std::numeric_limits<int>::max();
    return static_cast<int>(std::min(std::chrono::ceil<std::chrono::milliseconds>(*deadline - now).count(), longest));
}

}  // namespace

#endif

void AsioBackend::poll(std::optional<TimePoint> deadline) {
    if (!called_.wait_again()) {
        const TimePoint soon = now() + constants::out_of_memory_pause;
        deadline = deadline ? std::min(*deadline, soon) : soon;
    }
#ifdef WEFT_ASIO_EPOLL
    if (shared_) {
        poll_shared(deadline);
        return;
    }
    network_->sockets().events.fetch(timeout_until(deadline));
    poll_rest();
#else
    if (network_->sockets().call_late()) deadline = now();
    run_context(deadline);
#endif
}

#ifdef WEFT_ASIO_EPOLL

/// What a read has woken goes on before the next read: its data is in the cache, and in the same memory.
bool AsioBackend::poll_rest() {
    EpollSet& events = network_->sockets().events;
    if (shared_ || !events.handle_next()) return false;
    while (!loop_->has_ready() && events.handle_next()) {}
    return true;
}

#endif

void AsioBackend::poll_ready() {
    if (is_idle()) return;
    called_.wait_again();
#ifdef WEFT_ASIO_EPOLL
    network_->sockets().events.handle_all();
    if (!shared_) return;
#else
    network_->sockets().call_late();
#endif
    run_context_ready();
}

#ifdef WEFT_ASIO_EPOLL

void AsioBackend::poll_shared(std::optional<TimePoint> deadline) {
    EpollSet& events = network_->sockets().events;
    if (events.has_events()) {
        events.handle_all();
        run_context_ready();
        return;
    }
    try {
        if (!set_watch_) set_watch_ = std::make_unique<SetWatch>(context_, *loop_, events);
        set_watch_->wait();
    } catch (...) {
        // No descriptor or no memory to wait for both: each in its turn.
        const TimePoint soon = now() + constants::out_of_memory_pause;
        events.fetch(timeout_until(deadline ? std::min(*deadline, soon) : soon));
        events.handle_all();
        run_context_ready();
        return;
    }
    run_context(deadline);
}

#endif

void AsioBackend::run_context(std::optional<TimePoint> deadline) {
    std::size_t ran;
    if (!deadline)
        ran = context_.run_one();
    else if (*deadline > now())
        ran = context_.run_one_until(*deadline);
    else
        ran = context_.poll_one();  // which run_one_until() would not, also what is ready
    // Somebody stopped the io_context: the loop goes on.
    if (ran == 0 && context_.stopped()) context_.restart();
}

/// All that there are up to a bound: a peer that sends as fast as it is read must not keep the loop here.
void AsioBackend::run_context_ready() {
    if (context_.stopped()) context_.restart();
    const unsigned bound = shared_ ? constants::busy_poll_completions : constants::busy_poll_own_completions;
    for (unsigned count = 0; count < bound; ++count)
        if (context_.poll_one() == 0) return;
}

void AsioBackend::wake() noexcept {
    wake_up_.post();
}

void AsioBackend::watch_fd(int fd, FdEvent event, UniqueFunction<void()> callback) {
    auto watch = std::make_shared<FdWatch>(called_, network_->sockets(), fd, event, std::move(callback));
    const auto place = watches_.insert_or_assign({fd, event}, watch).first;
    try {
        watch->wait();
    } catch (...) {
        watches_.erase(place);
        throw;
    }
}

void AsioBackend::unwatch_fd(int fd, FdEvent event) noexcept {
    auto found = watches_.find({fd, event});
    if (found == watches_.end()) return;
    found->second->stop();
    watches_.erase(found);
}

void AsioBackend::watch_signal(int signal_number, UniqueFunction<void()> callback) {
    if (!signals_) signals_ = std::make_shared<SignalReceiver>(network_->sockets());
    try {
        signals_->watch(signal_number, std::move(callback));
    } catch (...) {
        if (!signals_->watches_any()) close_signals();
        throw;
    }
}

void AsioBackend::unwatch_signal(int signal_number) noexcept {
    if (!signals_) return;
    signals_->unwatch(signal_number);
    if (!signals_->watches_any()) close_signals();
}

bool AsioBackend::signal_is_pending(int signal_number) const noexcept {
    return signals_ && signals_->is_pending(signal_number);
}

void AsioBackend::close_signals() noexcept {
    if (const auto signals = std::move(signals_)) signals->close();
}

std::unique_ptr<Executor> AsioBackend::new_executor(std::string name, std::size_t max_workers) {
    return std::make_unique<ThreadPoolExecutor>(max_workers, std::move(name));
}

std::uint64_t AsioBackend::entropy() {
    return (static_cast<std::uint64_t>(random_()) << 32) | random_();
}

}  // namespace weft::asio_backend

namespace weft::detail {

std::unique_ptr<Backend> make_asio_backend() {
    return std::make_unique<asio_backend::AsioBackend>();
}

}  // namespace weft::detail
