#pragma once
// SignalReceiver: the system's signals for one loop. Boost.Asio's signal_set sends each signal through one pipe of the
// process: when a storm of one has filled it another is lost, and it interrupts system calls. Here a signal sets a bit
// for each loop that wants it, and wakes it: none is lost, those of one number that come together are one.

#include <weft/backends/asio/socket_context.hpp>
#include <weft/backends/asio/waiter.hpp>
#include <weft/base/unique_function.hpp>

#include <map>
#include <memory>

namespace weft::asio_backend {

class SignalReceiver : public std::enable_shared_from_this<SignalReceiver> {
public:
    /// Throws the typed OS error if there is no descriptor left for it.
    explicit SignalReceiver(SocketContext& context);
    SignalReceiver(const SignalReceiver&) = delete;
    SignalReceiver& operator=(const SignalReceiver&) = delete;
    ~SignalReceiver();

    /// Calls `callback` from a poll after each arrival. There must be none for this signal.
    void watch(int signal_number, UniqueFunction<void()> callback);
    /// When the last receiver of the process does not watch it any more it has its default action again.
    void unwatch(int signal_number) noexcept;
    bool watches_any() const noexcept { return !callbacks_.empty(); }
    /// It has arrived since the last poll.
    bool is_pending(int signal_number) const noexcept;
    /// Nothing is called afterwards.
    void close() noexcept;

private:
    class Slot;
    class Process;

    void wait();
    void deliver();

    const detail::Ref<SocketContext> context_;
    Waiter wake_up_;
    Slot* slot_ = nullptr;
    std::map<int, std::shared_ptr<UniqueFunction<void()>>> callbacks_;
    bool waiting_ = false;
};

}  // namespace weft::asio_backend
