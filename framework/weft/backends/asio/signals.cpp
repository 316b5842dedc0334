#include <weft/backends/asio/signals.hpp>

#include <weft/backends/asio/network.hpp>
#include <weft/base/exceptions.hpp>
#include <weft/io/descriptor.hpp>

#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <mutex>
#include <thread>
#include <utility>

namespace weft::asio_backend {

namespace asio = boost::asio;

namespace {

constexpr std::uint64_t bit_of(int signal_number) noexcept {
    return std::uint64_t{1} << (signal_number - 1);
}
static_assert(NSIG <= 65);

}  // namespace

/// What the signal's handler sees of a receiver. Slots are never freed, only used again: a handler may look at any.
class SignalReceiver::Slot {
public:
    std::atomic<std::uint64_t> wanted{0};
    std::atomic<std::uint64_t> pending{0};
    std::atomic<int> wake_up{-1};
    bool taken = true;  // under Process::mutex
    Slot* next = nullptr;
};

/// The signals of this process, and who wants them.
class SignalReceiver::Process {
public:
    static Slot& take_slot(int wake_up) {
        const std::lock_guard lock(mutex);
        Slot* slot = first.load();
        while (slot && slot->taken)
            slot = slot->next;
        if (!slot) {
            slot = new Slot;
            slot->next = first.load();
            first = slot;
        }
        slot->taken = true;
        slot->pending = 0;
        slot->wake_up = wake_up;
        return *slot;
    }
    static void free_slot(Slot& slot) noexcept {
        slot.wake_up = -1;
        // A handler on another thread may be about to write to the descriptor; handlers are short.
        while (handlers > 0)
            std::this_thread::yield();
        const std::lock_guard lock(mutex);
        slot.taken = false;
    }
    static void want(Slot& slot, int signal_number) {
        const std::lock_guard lock(mutex);
        int& count = counts[static_cast<std::size_t>(signal_number)];
        slot.wanted |= bit_of(signal_number);
        if (count == 0) {
            struct sigaction action{};
            action.sa_handler = &arrived;
            action.sa_flags = SA_RESTART;
            sigfillset(&action.sa_mask);
            if (::sigaction(signal_number, &action, nullptr) != 0) {
                slot.wanted &= ~bit_of(signal_number);
                throw_os_error(io::last_error(), "signal " + std::to_string(signal_number));
            }
        }
        ++count;
    }
    static void want_no_more(Slot& slot, int signal_number) noexcept {
        const std::lock_guard lock(mutex);
        slot.wanted &= ~bit_of(signal_number);
        slot.pending &= ~bit_of(signal_number);
        if (--counts[static_cast<std::size_t>(signal_number)] > 0) return;
        struct sigaction action{};
        action.sa_handler = SIG_DFL;
        ::sigaction(signal_number, &action, nullptr);
    }

    static bool is_pending(const Slot& slot, int signal_number) noexcept {
        return (slot.pending & bit_of(signal_number)) != 0;
    }

private:
    /// The handler: any thread, at any moment.
    static void arrived(int signal_number) noexcept {
        const int error = errno;
        ++handlers;
        const std::uint64_t bit = bit_of(signal_number);
        for (Slot* slot = first.load(); slot; slot = slot->next) {
            if ((slot->wanted & bit) == 0) continue;
            if (slot->pending.fetch_or(bit) != 0) continue;  // it is being woken already
            const std::uint64_t one = 1;
            if (const int fd = slot->wake_up; fd >= 0) (void)!::write(fd, &one, sizeof one);
        }
        --handlers;
        errno = error;
    }

    static inline std::mutex mutex;
    static inline std::array<int, NSIG> counts{};
    static inline std::atomic<Slot*> first{nullptr};
    static inline std::atomic<int> handlers{0};  // that run now
    static_assert(std::atomic<std::uint64_t>::is_always_lock_free && std::atomic<Slot*>::is_always_lock_free);
};

SignalReceiver::SignalReceiver(SocketContext& context) : context_(&context), wake_up_(context) {
    io::OwnedDescriptor event(io::check_call(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd"));
    if (const auto error = wake_up_.assign(event.get())) throw_os_error(to_std(error), "cannot watch for signals");
    slot_ = &Process::take_slot(event.take());
}

SignalReceiver::~SignalReceiver() {
    close();
}

void SignalReceiver::watch(int signal_number, UniqueFunction<void()> callback) {
    callbacks_[signal_number] = std::make_shared<UniqueFunction<void()>>(std::move(callback));
    try {
        if (!waiting_) wait();
        Process::want(*slot_, signal_number);
    } catch (...) {
        callbacks_.erase(signal_number);
        throw;
    }
}

void SignalReceiver::unwatch(int signal_number) noexcept {
    const auto found = callbacks_.find(signal_number);
    if (found == callbacks_.end()) return;
    const auto callback = std::move(found->second);  // what it holds goes last
    callbacks_.erase(found);
    Process::want_no_more(*slot_, signal_number);
}

bool SignalReceiver::is_pending(int signal_number) const noexcept {
    return slot_ && callbacks_.contains(signal_number) && Process::is_pending(*slot_, signal_number);
}

void SignalReceiver::close() noexcept {
    if (!slot_) return;
    while (!callbacks_.empty())
        unwatch(callbacks_.begin()->first);
    Process::free_slot(*std::exchange(slot_, nullptr));
    wake_up_.close();
}

void SignalReceiver::wait() {
    wake_up_.async_wait(Wait::read, [self = shared_from_this()](const boost::system::error_code&) {
        self->waiting_ = false;
        if (self->slot_) self->deliver();
    });
    waiting_ = true;
}

void SignalReceiver::deliver() {
    wait();
    std::uint64_t count;
    (void)!::read(wake_up_.native_handle(), &count, sizeof count);
    // After the read: what arrives from now on wakes again.
    std::uint64_t arrived = slot_->pending.exchange(0);
    for (int number = 1; arrived != 0; ++number, arrived >>= 1) {
        if ((arrived & 1) == 0) continue;
        const auto found = callbacks_.find(number);
        if (found == callbacks_.end()) continue;
        const auto callback = found->second;  // it may unwatch itself
        (*callback)();
        if (!slot_) return;
    }
}

}  // namespace weft::asio_backend
