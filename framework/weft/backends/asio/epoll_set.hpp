#pragma once
// EpollSet: the descriptors that a loop waits for, in an epoll(7) set of their own.
//
// Asio's epoll reactor is edge-triggered, and each of its waits is a new operation that goes through its scheduler:
// with all that a message costs as many instructions again as what is done for it. Here an event is one call of its
// entry. Asio's own reactor comes in only where somebody uses the io_context; see AsioBackend.

#include <weft/backends/asio/socket_context.hpp>

#ifdef WEFT_ASIO_EPOLL
#include <weft/io/descriptor.hpp>

#include <sys/epoll.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace weft::asio_backend {

/// A descriptor's place in an EpollSet.
class EpollEntry {
public:
    /// `events` are epoll's. The entry may be removed and destroyed by this.
    virtual void handle_events(std::uint32_t events) = 0;
    /// Its events are among the next: asks for memory that they need, in two steps, the second of which finds what the
    /// first has asked for.
    virtual void prefetch(int step) const noexcept { (void)step; }

protected:
    ~EpollEntry() = default;
};

class EpollSet {
public:
    /// Throws the typed OS error.
    EpollSet();
    EpollSet(const EpollSet&) = delete;
    EpollSet& operator=(const EpollSet&) = delete;

    /// epoll_ctl(2): 0, or the error.
    int add(int descriptor, std::uint32_t events, EpollEntry& entry) noexcept;
    int change(int descriptor, std::uint32_t events, EpollEntry& entry) noexcept;
    /// The entry hears of nothing any more, also not of what has come already.
    void remove(int descriptor, EpollEntry& entry) noexcept;
    /// The next fetch has these events, too: of a descriptor that epoll refuses to watch, as it is always
    /// ready.
    void note(EpollEntry& entry, std::uint32_t events);

    /// Asks the system for events unless some are left; waits `timeout` milliseconds at most, -1 being for ever.
    void fetch(int timeout) noexcept;
    /// Has one event handled; false if none is left.
    bool handle_next();
    /// Has all that there are handled, without waiting.
    void handle_all();
    /// A fetch would not wait.
    bool has_events() const noexcept { return next_ != count_ || !noted_.empty(); }
    /// Readable while there are events.
    int native_handle() const noexcept { return descriptor_.get(); }

private:
    static constexpr std::size_t events_per_poll = 512;
    static constexpr std::size_t noted_per_poll = 16;
    /// With fewer events at once all that they need stays in the cache by itself.
    static constexpr std::size_t prefetched_from = 32;

    void append_noted() noexcept;
    void prefetch_next() const noexcept;
    const EpollEntry* entry(std::size_t index) const noexcept {
        return static_cast<const EpollEntry*>(events_[index].data.ptr);
    }
    int control(int command, int descriptor, std::uint32_t events, EpollEntry& entry) noexcept;

    io::OwnedDescriptor descriptor_;
    const unsigned generation_;  // of this process: a child that was forked shares the set, which stays its parent's
    std::size_t next_ = 0;
    std::size_t count_ = 0;
    std::array<epoll_event, events_per_poll + noted_per_poll> events_;
    std::vector<epoll_event> noted_;
};

}  // namespace weft::asio_backend

#endif
