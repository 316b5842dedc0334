#include <weft/backends/asio/backend.hpp>

#include <weft/backends/asio/signals.hpp>
#include <weft/base/constants.hpp>
#include <weft/base/exceptions.hpp>
#include <weft/loop/event_loop.hpp>
#include <weft/loop/policy.hpp>
#include <weft/services/executor.hpp>

#include <algorithm>
#include <utility>

namespace weft::asio_backend {

AsioBackend::AsioBackend()
    : own_context_(std::make_unique<IoContext>(1)),
      context_(*own_context_),
      wake_up_(context_),
      work_(context_.get_executor()),
      network_(std::make_unique<AsioNetwork>(context_)) {}

AsioBackend::AsioBackend(IoContext& context)
    : context_(context),
      shared_(true),
      wake_up_(context_),
      work_(context_.get_executor()),
      network_(std::make_unique<AsioNetwork>(context_)) {}

AsioBackend::~AsioBackend() = default;

void AsioBackend::attach(EventLoop& loop) {
    network_->set_loop(loop);
}

void AsioBackend::close() noexcept {
    for (auto& [key, watch] : watches_)
        watch->stop();
    close_signals();
    watches_.clear();
    called_.clear();
    network_->close();
    work_.reset();
    // Cancelled operations still have to be told; the objects that they hold are freed here.
    try {
        context_.restart();
        for (int i = 0; i < 1000 && context_.poll_one() > 0; ++i) {}
    } catch (...) {
        // A foreign handler of a shared io_context threw while the loop closes: nobody is left to tell.
    }
}

void AsioBackend::poll(std::optional<TimePoint> deadline) {
    if (!called_.wait_again()) {
        const TimePoint soon = now() + constants::out_of_memory_pause;
        deadline = deadline ? std::min(*deadline, soon) : soon;
    }
    SocketContext& sockets = network_->sockets();
    std::size_t ran;
    if (sockets.read_queued())
        ran = context_.poll_one();
    else
        ran = deadline ? context_.run_one_until(*deadline) : context_.run_one();
    sockets.deliver();
    // Somebody stopped the io_context: the loop goes on.
    if (ran == 0 && context_.stopped()) context_.restart();
}

void AsioBackend::poll_ready() {
    if (is_idle()) return;
    called_.wait_again();
    if (context_.stopped()) context_.restart();
    SocketContext& sockets = network_->sockets();
    sockets.read_queued();
    // Bounded: a peer that sends as fast as it is read must not keep the loop here.
    for (unsigned count = 0; count < constants::busy_poll_completions; ++count) {
        const std::size_t ran = context_.poll_one();
        sockets.deliver();
        if (ran == 0) return;
    }
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
