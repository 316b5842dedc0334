#pragma once
// AsioBackend: a loop's I/O on a boost::asio::io_context, its own or one the application already has.
//
// With epoll what is Weft's waits in an epoll set of the loop's, and the io_context is run only once somebody has asked
// for it: then the loop waits there, and there for its set. With another reactor everything waits in the io_context.

#include <weft/backends/asio/fd_watch.hpp>
#include <weft/backends/asio/network.hpp>
#include <weft/backends/asio/set_watch.hpp>
#include <weft/backends/asio/wake_up.hpp>
#include <weft/loop/backend.hpp>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <atomic>
#include <map>
#include <memory>
#include <random>

namespace weft::asio_backend {

class SignalReceiver;

class AsioBackend final : public Backend {
public:
    /// With an io_context of its own.
    AsioBackend();
    /// On `context`, which must outlive this. While the loop runs it runs the context's handlers too.
    explicit AsioBackend(IoContext& context);
    ~AsioBackend() override;

    std::string_view name() const noexcept override { return "asio"; }
    void attach(EventLoop& loop) override;
    void close() noexcept override;
    TimePoint now() const noexcept override { return Clock::now(); }
    void poll(std::optional<TimePoint> deadline) override;
    void poll_ready() override;
#ifdef WEFT_ASIO_EPOLL
    bool poll_rest() override;
#endif
    bool is_idle() const noexcept override { return !shared_ && !network_->sockets().in_use(); }
    void wake() noexcept override;
    bool polls_each_iteration() const noexcept override { return false; }
    void watch_fd(int fd, FdEvent event, UniqueFunction<void()> callback) override;
    void unwatch_fd(int fd, FdEvent event) noexcept override;
    void watch_signal(int signal_number, UniqueFunction<void()> callback) override;
    void unwatch_signal(int signal_number) noexcept override;
    bool signal_is_pending(int signal_number) const noexcept override;
    std::unique_ptr<Executor> new_executor(std::string name, std::size_t max_workers) override;
    std::uint64_t entropy() override;
    io::Network& network() override { return *network_; }

    /// For operations that are not Weft's: from now on each poll looks for them. Any thread, as what follows may be.
    IoContext& share_context() noexcept {
        if (!shared_.exchange(true)) wake_up_.post();
        return context_;
    }

private:
    void close_signals() noexcept;
    void run_context(std::optional<TimePoint> deadline);
    void run_context_ready();
#ifdef WEFT_ASIO_EPOLL
    void poll_shared(std::optional<TimePoint> deadline);
#endif

    EventLoop* loop_ = nullptr;
    std::unique_ptr<IoContext> own_context_;
    IoContext& context_;
    std::atomic<bool> shared_{false};  // the io_context has handlers that are not Weft's
    std::unique_ptr<AsioNetwork> network_;
    WakeUp wake_up_;
#ifdef WEFT_ASIO_EPOLL
    std::unique_ptr<SetWatch> set_watch_;  // while it is shared
#endif
    boost::asio::executor_work_guard<IoContext::executor_type> work_;
    std::map<std::pair<int, FdEvent>, std::shared_ptr<FdWatch>> watches_;
    FdWatches called_;
    std::shared_ptr<SignalReceiver> signals_;  // while there is something to receive
    std::random_device random_;
};

}  // namespace weft::asio_backend
