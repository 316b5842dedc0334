#include <weft/services/spawn.hpp>

#include <weft/base/exceptions.hpp>

#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <utility>

namespace weft::detail {

namespace {

enum class Step : int { none, process_group, session, directory, descriptors, program };

/// What the child tells: it shares the parent's memory until it has become another program.
struct Report {
    Step step = Step::none;
    int error = 0;
};

// ThreadSanitizer makes a fork(2) of vfork(2), and nothing is shared: there the report comes by a pipe, too.
#if defined(__SANITIZE_THREAD__)
constexpr bool shares_memory = false;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
constexpr bool shares_memory = false;
#else
constexpr bool shares_memory = true;
#endif
#else
constexpr bool shares_memory = true;
#endif

/// A pipe that ends when the child has become another program or has ended. Without a descriptor for it a failure is
/// the child's status 127.
class ReportPipe {
public:
    ReportPipe() noexcept {
        if (!shares_memory && ::pipe2(ends_, O_CLOEXEC) != 0) ends_[0] = ends_[1] = -1;
    }
    ReportPipe(const ReportPipe&) = delete;
    ReportPipe& operator=(const ReportPipe&) = delete;
    ~ReportPipe() {
        for (const int end : ends_)
            if (end >= 0) ::close(end);
    }
    int writing() const noexcept { return ends_[1]; }
    void receive(volatile Report& report) noexcept {
        if (ends_[0] < 0) return;
        ::close(std::exchange(ends_[1], -1));
        Report received;
        ssize_t count;
        do {
            count = ::read(ends_[0], &received, sizeof received);
        } while (count < 0 && errno == EINTR);
        if (count != sizeof received) return;
        report.step = received.step;
        report.error = received.error;
    }

private:
    int ends_[2] = {-1, -1};
};

/// Everything as the system calls take it.
struct Prepared {
    const SpawnRequest* request;
    char* const* arguments;
    char* const* environment;
    const char* const* candidates;
    const int* pass_fds;
    std::size_t pass_count;
    int report_fd;  // -1: by memory alone
};

std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
    std::vector<char*> pointers;
    pointers.reserve(texts.size() + 1);
    for (const std::string& text : texts)
        pointers.push_back(const_cast<char*>(text.c_str()));
    pointers.push_back(nullptr);
    return pointers;
}

void close_range_of(unsigned first, unsigned last, int report_fd) noexcept {
    if (first > last) return;
    if (report_fd >= 0 && first <= static_cast<unsigned>(report_fd) && static_cast<unsigned>(report_fd) <= last) {
        close_range_of(first, static_cast<unsigned>(report_fd) - 1, -1);
        close_range_of(static_cast<unsigned>(report_fd) + 1, last, -1);
        return;
    }
#ifdef SYS_close_range
    if (::syscall(SYS_close_range, first, last, 0) == 0) return;
#endif
    const long limit = ::sysconf(_SC_OPEN_MAX);
    for (unsigned fd = first; fd <= last && fd < static_cast<unsigned long>(limit < 0 ? 1024 : limit); ++fd)
        ::close(static_cast<int>(fd));
}

/// Runs in the child, on the parent's memory: only system calls from here on.
[[noreturn]] void become(const Prepared& prepared, volatile Report& report) noexcept {
    const SpawnRequest& request = *prepared.request;
    int report_fd = prepared.report_fd;
    const auto fail = [&report, &report_fd](Step step, int error) {
        report.step = step;
        report.error = error;
        const Report message{step, error};
        if (report_fd >= 0) {
            const ssize_t written = ::write(report_fd, &message, sizeof message);
            (void)written;  // nobody is left to tell
        }
        ::_exit(127);
    };
    // Handlers are the parent's: none may run here. What is ignored stays so, for nohup(1), but for what languages and
    // libraries ignore for themselves.
    struct sigaction standard{};
    standard.sa_handler = SIG_DFL;
    for (int number = 1; number < NSIG; ++number) {
        struct sigaction current{};
        if (::sigaction(number, nullptr, &current) != 0 || current.sa_handler == SIG_DFL) continue;
        if (current.sa_handler == SIG_IGN && number != SIGPIPE && number != SIGXFSZ) continue;
        ::sigaction(number, &standard, nullptr);
    }
    if (request.new_session && ::setsid() < 0) fail(Step::session, errno);
    if (request.process_group >= 0 && ::setpgid(0, request.process_group) != 0) fail(Step::process_group, errno);
    // Out of the way of 0, 1 and 2 first, so that none is overwritten before its turn.
    if (report_fd >= 0 && report_fd < 3) report_fd = ::fcntl(report_fd, F_DUPFD_CLOEXEC, 3);
    int standard_fds[3];
    for (int i = 0; i < 3; ++i) {
        standard_fds[i] = request.standard[i];
        if (standard_fds[i] >= 0 && standard_fds[i] < 3 && standard_fds[i] != i) {
            standard_fds[i] = ::fcntl(standard_fds[i], F_DUPFD_CLOEXEC, 3);
            if (standard_fds[i] < 0) fail(Step::descriptors, errno);
        }
    }
    for (int i = 0; i < 3; ++i) {
        if (standard_fds[i] == i) {
            const int flags = ::fcntl(i, F_GETFD);
            ::fcntl(i, F_SETFD, flags & ~FD_CLOEXEC);
        } else if (standard_fds[i] >= 0 && ::dup2(standard_fds[i], i) < 0) {
            fail(Step::descriptors, errno);
        }
    }
    unsigned next = 3;
    for (std::size_t i = 0; i < prepared.pass_count; ++i) {
        const int fd = prepared.pass_fds[i];
        const int flags = ::fcntl(fd, F_GETFD);
        if (flags < 0) fail(Step::descriptors, errno);
        ::fcntl(fd, F_SETFD, flags & ~FD_CLOEXEC);
        if (fd < 3) continue;
        close_range_of(next, static_cast<unsigned>(fd) - 1, report_fd);
        next = static_cast<unsigned>(fd) + 1;
    }
    close_range_of(next, UINT_MAX, report_fd);
    if (!request.cwd.empty() && ::chdir(request.cwd.c_str()) != 0) fail(Step::directory, errno);
    sigset_t none;
    sigemptyset(&none);
    ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
    int error = ENOENT;
    for (const char* const* path = prepared.candidates; *path; ++path) {
        ::execve(*path, prepared.arguments, prepared.environment);
        if (errno != ENOENT && errno != ENOTDIR && error == ENOENT) error = errno;
    }
    fail(Step::program, error);
    ::_exit(127);
}

/// vfork() returns twice into this frame, which therefore does nothing else.
[[gnu::noinline]] pid_t fork_and_become(const Prepared& prepared, volatile Report& report) noexcept {
    const pid_t pid = ::vfork();
    if (pid == 0) become(prepared, report);
    return pid;
}

[[noreturn]] void throw_spawn_error(Step step, int error, const SpawnRequest& request) {
    const std::error_code code(error, std::system_category());
    switch (step) {
    case Step::directory: throw_os_error(code, "cannot start a process in the directory '" + request.cwd + "'");
    case Step::process_group:
        throw_os_error(code, "cannot put a process into the group " + std::to_string(request.process_group));
    case Step::session: throw_os_error(code, "cannot start a session for '" + request.arguments.front() + "'");
    case Step::descriptors: throw_os_error(code, "cannot pass a descriptor on to '" + request.arguments.front() + "'");
    case Step::program:
    case Step::none: break;
    }
    throw_os_error(code, "cannot start '" + request.arguments.front() + "'");
}

}  // namespace

pid_t spawn_process(const SpawnRequest& request) {
    const std::vector<char*> arguments = pointers_to(request.arguments);
    const std::vector<char*> environment = pointers_to(request.environment);
    const std::vector<char*> candidates = pointers_to(request.candidates);
    ReportPipe pipe;
    const Prepared prepared{&request,          arguments.data(),        environment.data(),
                            candidates.data(), request.pass_fds.data(), request.pass_fds.size(),
                            pipe.writing()};
    volatile Report report;
    report.step = Step::none;
    report.error = 0;
    // No handler of the parent's may run in the child, which shares its memory.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    const pid_t pid = fork_and_become(prepared, report);
    const int fork_error = errno;
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (pid < 0) throw_spawn_error(Step::none, fork_error, request);
    pipe.receive(report);
    const Step step = report.step;
    if (step == Step::none) return pid;
    // It has ended by itself.
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    throw_spawn_error(step, report.error, request);
}

}  // namespace weft::detail
