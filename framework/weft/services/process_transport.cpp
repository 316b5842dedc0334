#include <weft/services/process_transport.hpp>

#include <weft/io/descriptor.hpp>
#include <weft/io/socket_transport.hpp>
#include <weft/services/spawn.hpp>

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <thread>

extern char** environ;

namespace weft::io {

namespace {

/// The child's standard streams, and this end of those that are pipes.
class StandardStreams {
public:
    explicit StandardStreams(const SubprocessOptions& options) {
        add(0, options.stdin());
        add(1, options.stdout());
        add(2, options.stderr());
    }
    int child(int fd) const noexcept { return numbers_[static_cast<std::size_t>(fd)]; }
    OwnedDescriptor& parent(int fd) noexcept { return parents_[static_cast<std::size_t>(fd)]; }

private:
    void add(int fd, Stdio target) {
        const auto at = static_cast<std::size_t>(fd);
        switch (target.kind()) {
        case Stdio::Kind::inherit: break;
        case Stdio::Kind::pipe: {
            int ends[2];
            if (::pipe2(ends, O_CLOEXEC) != 0) throw_os_error(last_error(), "pipe");
            children_[at] = OwnedDescriptor(ends[fd == 0 ? 0 : 1]);
            parents_[at] = OwnedDescriptor(ends[fd == 0 ? 1 : 0]);
            numbers_[at] = children_[at].get();
            break;
        }
        case Stdio::Kind::stdout_too:
            if (fd != 2) throw ValueError("STDOUT is for standard error only");
            numbers_[at] = numbers_[1] >= 0 ? numbers_[1] : 1;
            break;
        case Stdio::Kind::null:
            children_[at] = OwnedDescriptor(::open("/dev/null", O_RDWR | O_CLOEXEC));
            if (children_[at].get() < 0) throw_os_error(last_error(), "/dev/null");
            numbers_[at] = children_[at].get();
            break;
        case Stdio::Kind::descriptor:
            if (target.fd() < 0 || ::fcntl(target.fd(), F_GETFD) < 0)
                throw ValueError("file descriptor " + std::to_string(target.fd()) + " is not open");
            numbers_[at] = target.fd();
            break;
        }
    }

    std::array<OwnedDescriptor, 3> children_;
    std::array<OwnedDescriptor, 3> parents_;
    std::array<int, 3> numbers_{-1, -1, -1};
};

/// Where a program of this name may be.
std::vector<std::string> candidates_for(const std::string& program, const std::vector<std::string>& environment) {
    std::vector<std::string> candidates;
    if (program.find('/') != std::string::npos) {
        candidates.push_back(program);
        return candidates;
    }
    std::string path = "/bin:/usr/bin";
    for (const std::string& entry : environment)
        if (entry.starts_with("PATH=")) path = entry.substr(5);
    for (std::size_t begin = 0; begin <= path.size();) {
        const std::size_t end = std::min(path.find(':', begin), path.size());
        const std::string directory = path.substr(begin, end - begin);
        candidates.push_back((directory.empty() ? "." : directory) + "/" + program);
        begin = end + 1;
    }
    return candidates;
}

void check_text(const std::string& text, const char* what) {
    if (text.find('\0') != std::string::npos) throw ValueError(std::string("embedded zero byte in ") + what);
}

detail::SpawnRequest make_request(std::vector<std::string> arguments, const SubprocessOptions& options) {
    if (arguments.empty() || arguments.front().empty()) throw ValueError("there is no program to start");
    for (const std::string& argument : arguments)
        check_text(argument, "an argument");
    check_text(options.cwd(), "cwd");
    detail::SpawnRequest request;
    if (options.env()) {
        for (const auto& [name, value] : *options.env()) {
            if (name.empty() || name.find('=') != std::string::npos)
                throw ValueError("illegal name of an environment variable: '" + name + "'");
            check_text(name, "env");
            check_text(value, "env");
            request.environment.push_back(name + "=" + value);
        }
    } else {
        for (char** entry = environ; entry && *entry; ++entry)
            request.environment.emplace_back(*entry);
    }
    request.candidates = candidates_for(arguments.front(), request.environment);
    request.arguments = std::move(arguments);
    request.cwd = options.cwd();
    request.pass_fds = options.pass_fds();
    std::sort(request.pass_fds.begin(), request.pass_fds.end());
    request.pass_fds.erase(std::unique(request.pass_fds.begin(), request.pass_fds.end()), request.pass_fds.end());
    for (const int fd : request.pass_fds)
        if (fd < 0 || ::fcntl(fd, F_GETFD) < 0)
            throw ValueError("pass_fds: file descriptor " + std::to_string(fd) + " is not open");
    request.new_session = options.start_new_session();
    if (options.process_group()) {
        if (*options.process_group() < 0)
            throw ValueError("process_group: " + std::to_string(*options.process_group()) + " is no process group");
        request.process_group = *options.process_group();
    }
    return request;
}

int open_pidfd(pid_t pid) noexcept {
#ifdef SYS_pidfd_open
    return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
#else
    errno = ENOSYS;
    return -1;
#endif
}

constexpr int unknown_status = 255;

int returncode_of(int status) noexcept {
    if (WIFSIGNALED(status)) return -WTERMSIG(status);
    return WIFEXITED(status) ? WEXITSTATUS(status) : unknown_status;
}

}  // namespace

/// The protocol of one pipe.
class ProcessTransport::PipeProtocol final : public Protocol {
public:
    PipeProtocol(std::shared_ptr<ProcessTransport> process, int fd) : process_(std::move(process)), fd_(fd) {}
    void data_received(std::span<const std::byte> data) override { process_->pipe_data(fd_, data); }
    void connection_lost(std::exception_ptr error) override {
        const auto process = std::move(process_);
        process->pipe_lost(fd_, std::move(error));
    }
    void pause_writing() override {
        if (process_->protocol_) process_->protocol_->pause_writing();
    }
    void resume_writing() override {
        if (process_->protocol_) process_->protocol_->resume_writing();
    }

private:
    std::shared_ptr<ProcessTransport> process_;
    const int fd_;
};

std::shared_ptr<ProcessTransport> ProcessTransport::start(EventLoop& loop, std::shared_ptr<SubprocessProtocol> protocol,
                                                          std::vector<std::string> arguments, SubprocessOptions options,
                                                          UniqueFunction<void()> connected) {
    if (!loop.backend().network().has_descriptors()) throw RuntimeError("this event loop's backend has no processes");
    detail::SpawnRequest request = make_request(std::move(arguments), options);
    const bool leads_group = options.start_new_session() || options.process_group() == 0;
    auto process = std::make_shared<ProcessTransport>(loop, std::move(protocol), leads_group);
    IoRegistry::of(loop).add(process);
    try {
        StandardStreams streams(options);
        for (int fd = 0; fd < 3; ++fd)
            request.standard[fd] = streams.child(fd);
        process->pid_ = detail::spawn_process(request);
        process->watch_exit();
        for (int fd = 0; fd < 3; ++fd)
            if (streams.parent(fd).get() >= 0) process->connect_pipe(fd, streams.parent(fd).take());
        loop.schedule_internal([process, connected = std::move(connected)]() mutable {
            if (!process->protocol_) return;
            process->made_ = true;
            process->call_protocol("connection_made", [&] { process->protocol_->connection_made(process); });
            if (connected) connected();
        });
    } catch (...) {
        process->drop();
        IoRegistry::of(loop).remove(*process);
        throw;
    }
    return process;
}

ProcessTransport::ProcessTransport(EventLoop& loop, std::shared_ptr<SubprocessProtocol> protocol, bool leads_group)
    : loop_(loop),
      protocol_(std::move(protocol)),
      context_(detail::ContextSlot::copy_of_current()),
      leads_group_(leads_group) {
    if (!protocol_) throw ValueError("a subprocess needs a protocol");
}

ProcessTransport::~ProcessTransport() {
    if (pidfd_ >= 0) ::close(pidfd_);
}

void ProcessTransport::connect_pipe(int fd, int end) {
    SocketRef socket = loop_.backend().network().adopt_pipe(end, fd == 0 ? PipeEnd::writing : PipeEnd::reading);
    auto protocol = std::make_shared<PipeProtocol>(shared_from_this(), fd);
    const auto at = static_cast<std::size_t>(fd);
    pipe_open_[at] = true;
    pipes_[at] = SocketTransport::open(loop_, std::move(socket), std::move(protocol), nullptr, nullptr);
}

// The child's end

void ProcessTransport::watch_exit() {
    pidfd_ = open_pidfd(pid_);
    if (pidfd_ < 0) {
        watch_exit_by_thread();
        return;
    }
    loop_.backend().watch_fd(pidfd_, FdEvent::readable, [weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->exit_seen();
    });
}

/// For systems without pidfd_open(2).
void ProcessTransport::watch_exit_by_thread() {
    /// Reaches the loop also when that may be gone.
    class ExitNode final : public detail::RemoteNode {
    public:
        ExitNode(EventLoop& loop, std::weak_ptr<ProcessTransport> process)
            : RemoteNode(loop), process_(std::move(process)) {}
        std::string describe() const override { return "<end of a process>"; }

    private:
        void deliver() override {
            if (const auto process = process_.lock()) process->exit_seen();
        }
        void let_go() noexcept override { process_.reset(); }
        std::weak_ptr<ProcessTransport> process_;
    };
    const auto node = detail::Ref<ExitNode>::adopt(new ExitNode(loop_, weak_from_this()));
    std::thread([pid = pid_, node] {
        siginfo_t info{};
        while (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {}
        node->post();
    }).detach();
}

void ProcessTransport::exit_seen() {
    if (returncode_) return;
    int status = 0;
    const pid_t reaped = ::waitpid(pid_, &status, WNOHANG);
    if (reaped == 0) return;
    child_ended(reaped == pid_ ? returncode_of(status) : unknown_status);
}

void ProcessTransport::child_ended(int status) {
    const auto keep = shared_from_this();
    returncode_ = status;
    if (pidfd_ >= 0) {
        loop_.backend().unwatch_fd(pidfd_, FdEvent::readable);
        ::close(std::exchange(pidfd_, -1));
    }
    for (Future<>& waiter : std::exchange(waiters_, {}))
        if (!waiter.done()) waiter.set_result();
    // After connection_made, which is scheduled first.
    loop_.schedule_internal([self = keep] {
        if (!self->protocol_) return;
        self->call_protocol("process_exited", [&] { self->protocol_->process_exited(); });
        self->finish_if_ended();
    });
}

Coro<int> ProcessTransport::wait() {
    const auto keep = shared_from_this();
    if (!returncode_) {
        std::erase_if(waiters_, [](const Future<>& waiter) { return waiter.done(); });  // cancelled ones
        Future<> ended = loop_.create_future<void>();
        waiters_.push_back(ended);
        co_await ended;
    }
    co_return *returncode_;
}

// The pipes

std::shared_ptr<Transport> ProcessTransport::get_pipe_transport(int fd) const {
    return fd >= 0 && fd < 3 ? pipes_[static_cast<std::size_t>(fd)] : nullptr;
}

void ProcessTransport::pipe_data(int fd, std::span<const std::byte> data) {
    if (protocol_) call_protocol("pipe_data_received", [&] { protocol_->pipe_data_received(fd, data); });
}

void ProcessTransport::pipe_lost(int fd, std::exception_ptr error) {
    const auto keep = shared_from_this();
    pipe_open_[static_cast<std::size_t>(fd)] = false;
    if (protocol_)
        call_protocol("pipe_connection_lost", [&] { protocol_->pipe_connection_lost(fd, std::move(error)); });
    finish_if_ended();
}

void ProcessTransport::finish_if_ended() {
    if (lost_ || !returncode_ || !made_) return;
    if (std::any_of(pipe_open_.begin(), pipe_open_.end(), [](bool open) { return open; })) return;
    lost_ = true;
    loop_.schedule_internal([self = shared_from_this()] {
        const std::shared_ptr<SubprocessProtocol> protocol = self->protocol_;
        if (protocol) self->call_protocol("connection_lost", [&] { protocol->connection_lost(nullptr); });
        self->protocol_ = nullptr;
        IoRegistry::of(self->loop_).remove(*self);
    });
}

template <class F>
void ProcessTransport::call_protocol(const char* name, F&& fn) {
    const detail::ContextScope scope(context_);
    detail::run_guarded(fn, [&](const std::exception_ptr& error) {
        io::report_error(loop_, error, "Exception in callback protocol." + std::string(name) + "()",
                         io::type_of(protocol_.get()), *this);
    });
}

// Signals

void ProcessTransport::send_signal(int signal_number) {
    // Not reaped yet, so the number is still this child's.
    if (returncode_ || ::kill(pid_, signal_number) != 0) {
        const std::error_code error = returncode_ ? std::make_error_code(std::errc::no_such_process) : last_error();
        throw_os_error(error, "process " + std::to_string(pid_));
    }
}

void ProcessTransport::terminate() {
    send_signal(SIGTERM);
}
void ProcessTransport::kill() {
    send_signal(SIGKILL);
}

void ProcessTransport::send_signal_to_group(int signal_number) {
    if (!leads_group_)
        throw RuntimeError("process " + std::to_string(pid_) +
                           " leads no group: start it with start_new_session(true) or process_group(0)");
    if (::killpg(pid_, signal_number) != 0) throw_os_error(last_error(), "process group " + std::to_string(pid_));
}

void ProcessTransport::close() {
    if (closed_) return;
    closed_ = true;
    const auto keep = shared_from_this();
    for (const auto& pipe : pipes_)
        if (pipe) pipe->close();
    if (!returncode_) ::kill(pid_, SIGKILL);
}

/// The loop closes: nobody would reap the child.
void ProcessTransport::drop() noexcept {
    closed_ = lost_ = true;
    if (pid_ > 0 && !returncode_) {
        ::kill(pid_, SIGKILL);
        int status = 0;
        pid_t reaped;
        do {
            reaped = ::waitpid(pid_, &status, 0);
        } while (reaped < 0 && errno == EINTR);
        returncode_ = reaped == pid_ ? returncode_of(status) : unknown_status;
    }
    if (pidfd_ >= 0) {
        loop_.backend().unwatch_fd(pidfd_, FdEvent::readable);
        ::close(std::exchange(pidfd_, -1));
    }
    waiters_.clear();
    for (auto& pipe : pipes_) {
        const auto dropped = std::move(pipe);
        if (dropped && !loop_.is_closed()) dropped->abort();
    }
    const std::shared_ptr<SubprocessProtocol> protocol = std::move(protocol_);
}

std::string ProcessTransport::repr() const {
    std::string text = "<SubprocessTransport" + std::string(closed_ ? " closed" : "") + " pid=" + std::to_string(pid_);
    text += returncode_ ? " returncode=" + std::to_string(*returncode_) : std::string(" running");
    static constexpr const char* names[] = {" stdin=", " stdout=", " stderr="};
    for (std::size_t i = 0; i < 3; ++i)
        if (pipes_[i]) text += names[i] + pipes_[i]->repr();
    return text + ">";
}

}  // namespace weft::io
