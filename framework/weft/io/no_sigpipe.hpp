#pragma once
// NoSigpipe: system calls that have no flag against SIGPIPE.

#include <cerrno>
#include <csignal>
#include <ctime>

namespace weft::io {

/// While it lives this thread gets no SIGPIPE.
class NoSigpipe {
public:
    NoSigpipe() noexcept {
        sigset_t pending;
        sigemptyset(&set_);
        sigaddset(&set_, SIGPIPE);
        ::sigpending(&pending);
        was_pending_ = sigismember(&pending, SIGPIPE) == 1;
        ::pthread_sigmask(SIG_BLOCK, &set_, &before_);
    }
    NoSigpipe(const NoSigpipe&) = delete;
    NoSigpipe& operator=(const NoSigpipe&) = delete;
    ~NoSigpipe() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    /// The system call gave EPIPE: its signal is taken away. Leaves errno alone.
    void consume() noexcept {
        const int error = errno;
        const timespec now{};
        while (!was_pending_ && ::sigtimedwait(&set_, nullptr, &now) < 0 && errno == EINTR) {}
        errno = error;
    }

private:
    sigset_t set_;
    sigset_t before_;
    bool was_pending_ = false;
};

}  // namespace weft::io
