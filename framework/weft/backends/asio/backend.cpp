#include <weft/backends/asio/backend.hpp>

#include <weft/backends/asio/signals.hpp>
#include <weft/base/constants.hpp>
#include <weft/base/exceptions.hpp>
#include <weft/loop/event_loop.hpp>
#include <weft/loop/policy.hpp>
#include <weft/services/executor.hpp>

#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/post.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace weft::asio_backend {

namespace asio = boost::asio;
using Descriptor = asio::posix::basic_stream_descriptor<IoContext::executor_type>;

/// Watches one descriptor for one event. It works on a duplicate: the descriptor stays its owner's, who may watch it
/// for the other event too. After a call it waits again from the next poll on: within one poll a descriptor that
/// stays ready would be ready for ever.
class FdWatch : public std::enable_shared_from_this<FdWatch> {
public:
    FdWatch(AsioBackend::FdWatches& called, SocketContext& context, int fd, FdEvent event,
            UniqueFunction<void()> callback)
        : called_(called),
          context_(&context),
          descriptor_(context.io.get_executor()),
          event_(event),
          callback_(std::move(callback)) {
        const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (copy < 0) throw_os_error(std::error_code(errno, std::system_category()), "cannot watch descriptor");
        boost::system::error_code error;
        descriptor_.assign(copy, error);
        if (error) {
            ::close(copy);
            throw_os_error(to_std(error), "cannot watch descriptor " + std::to_string(fd));
        }
    }
    void wait() {
        if (stopped_) return;
        descriptor_.async_wait(event_ == FdEvent::readable ? Descriptor::wait_read : Descriptor::wait_write,
                               [self = shared_from_this()](const boost::system::error_code& error) {
                                   if (self->stopped_ || error == asio::error::operation_aborted) return;
                                   self->called_.push_back(self);
                                   self->callback_();
                               });
    }
    void stop() noexcept {
        stopped_ = true;
        boost::system::error_code ignored;  // the duplicate is gone in any case
        descriptor_.close(ignored);
    }

private:
    AsioBackend::FdWatches& called_;
    const detail::Ref<SocketContext> context_;
    Descriptor descriptor_;
    const FdEvent event_;
    UniqueFunction<void()> callback_;
    bool stopped_ = false;
};

#ifdef WEFT_ASIO_INTERNALS

/// Ends a poll from another thread. It is queued as it is, so that waking a loop allocates nothing and cannot fail; if
/// it is still queued when its backend ends, it frees itself when its turn comes.
class WakeUp final : private asio::detail::scheduler_operation {
public:
    struct Retire {
        void operator()(WakeUp* wake_up) const noexcept {
            if ((wake_up->state_.fetch_or(retired, std::memory_order_acq_rel) & queued) == 0) delete wake_up;
        }
    };
    explicit WakeUp(IoContext& context)
        : scheduler_operation(&WakeUp::complete), scheduler_(asio::use_service<asio::detail::scheduler>(context)) {}
    void post() noexcept {
        if ((state_.fetch_or(queued, std::memory_order_acq_rel) & queued) == 0)
            scheduler_.post_immediate_completion(this, false);
    }

private:
    ~WakeUp() = default;
    static void complete(void*, scheduler_operation* base, const boost::system::error_code&, std::size_t) {
        auto* self = static_cast<WakeUp*>(base);
        if ((self->state_.fetch_and(~queued, std::memory_order_acq_rel) & retired) != 0) delete self;
    }

    static constexpr unsigned queued = 1;
    static constexpr unsigned retired = 2;
    asio::detail::scheduler& scheduler_;
    std::atomic<unsigned> state_{0};
};

#else

class WakeUp {
public:
    using Retire = std::default_delete<WakeUp>;
    explicit WakeUp(IoContext& context) : context_(context) {}
    void post() noexcept {
        asio::post(context_, [] {});
    }

private:
    IoContext& context_;
};

#endif

void WakeUpDeleter::operator()(WakeUp* wake_up) const noexcept {
    WakeUp::Retire()(wake_up);
}

AsioBackend::AsioBackend()
    : own_context_(std::make_unique<IoContext>(1)),
      context_(*own_context_),
      wake_up_(new WakeUp(context_)),
      work_(context_.get_executor()),
      network_(std::make_unique<AsioNetwork>(context_)) {}

AsioBackend::AsioBackend(IoContext& context)
    : context_(context),
      shared_(true),
      wake_up_(new WakeUp(context_)),
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

void AsioBackend::wait_again() {
    for (const auto& watch : std::exchange(called_, {}))
        watch->wait();
}

void AsioBackend::poll(std::optional<TimePoint> deadline) {
    if (!called_.empty()) wait_again();
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
    if (!called_.empty()) wait_again();
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
    wake_up_->post();
}

void AsioBackend::watch_fd(int fd, FdEvent event, UniqueFunction<void()> callback) {
    auto watch = std::make_shared<FdWatch>(called_, network_->sockets(), fd, event, std::move(callback));
    watch->wait();
    watches_[{fd, event}] = std::move(watch);
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
