#include <weft/backends/asio/epoll_set.hpp>

#ifdef WEFT_ASIO_EPOLL

#include <weft/base/prefetch.hpp>

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

namespace weft::asio_backend {

namespace {

epoll_event event_of(std::uint32_t events, EpollEntry& entry) noexcept {
    epoll_event event{};
    event.events = events;
    event.data.ptr = &entry;
    return event;
}

/// Counts the forks that lead to this process.
std::atomic<unsigned> generation{0};

unsigned this_generation() {
    [[maybe_unused]] static const int registered = pthread_atfork(nullptr, nullptr, [] { ++generation; });
    return generation;
}

}  // namespace

EpollSet::EpollSet()
    : descriptor_(io::check_call(::epoll_create1(EPOLL_CLOEXEC), "epoll")), generation_(this_generation()) {}

int EpollSet::control(int command, int descriptor, std::uint32_t events, EpollEntry& entry) noexcept {
    if (generation_ != generation) return EBADF;
    epoll_event event = event_of(events, entry);
    return ::epoll_ctl(descriptor_.get(), command, descriptor, &event) == 0 ? 0 : errno;
}

int EpollSet::add(int descriptor, std::uint32_t events, EpollEntry& entry) noexcept {
    return control(EPOLL_CTL_ADD, descriptor, events, entry);
}

int EpollSet::change(int descriptor, std::uint32_t events, EpollEntry& entry) noexcept {
    return control(EPOLL_CTL_MOD, descriptor, events, entry);
}

void EpollSet::remove(int descriptor, EpollEntry& entry) noexcept {
    // By name: a copy of the descriptor in a child that is just being started would keep it in the set.
    control(EPOLL_CTL_DEL, descriptor, 0, entry);
    for (std::size_t i = next_; i < count_; ++i)
        if (events_[i].data.ptr == &entry) events_[i].data.ptr = nullptr;
    std::erase_if(noted_, [&](const epoll_event& event) { return event.data.ptr == &entry; });
}

void EpollSet::note(EpollEntry& entry, std::uint32_t events) {
    noted_.push_back(event_of(events, entry));
}

void EpollSet::append_noted() noexcept {
    const auto end = noted_.begin() + static_cast<std::ptrdiff_t>(std::min(noted_.size(), noted_per_poll));
    for (auto event = noted_.begin(); event != end; ++event)
        events_[count_++] = *event;
    noted_.erase(noted_.begin(), end);
}

void EpollSet::fetch(int timeout) noexcept {
    if (next_ != count_) return;
    next_ = count_ = 0;
    const int count = ::epoll_wait(descriptor_.get(), events_.data(), events_per_poll, noted_.empty() ? timeout : 0);
    if (count > 0) count_ = static_cast<std::size_t>(count);  // a signal is no event
    if (!noted_.empty()) append_noted();
}

/// While one event is handled, with its system calls, the memory of those after it comes: a thousand connections do
/// not fit into the cache, and what a message needs is found from pointer to pointer.
void EpollSet::prefetch_next() const noexcept {
    if (next_ + 2 >= count_) return;
    // An entry is in the middle of what it belongs to.
    detail::prefetch(entry(next_ + 2), detail::cache_line, detail::cache_line / 2);
    if (const EpollEntry* second = entry(next_ + 1)) second->prefetch(0);
    if (const EpollEntry* first = entry(next_)) first->prefetch(1);
}

bool EpollSet::handle_next() {
    if (next_ == count_) return false;
    const epoll_event event = events_[next_++];
    if (count_ >= prefetched_from) prefetch_next();
    if (event.data.ptr) static_cast<EpollEntry*>(event.data.ptr)->handle_events(event.events);
    return true;
}

void EpollSet::handle_all() {
    while (handle_next()) {}  // what an earlier fetch has left
    fetch(0);
    while (handle_next()) {}
}

}  // namespace weft::asio_backend

#endif
