#pragma once
// Subprocesses: other programs, with pipes to and from them (asyncio.create_subprocess_exec and its kin).
//
//     Process process = co_await create_subprocess_exec("sort", "-u", SubprocessOptions().stdin(PIPE).stdout(PIPE));
//     auto [out, err] = co_await process.communicate("b\na\nb\n");      // "a\nb\n"
//     int status = *process.returncode();                                // 0; -9 if it was killed
//
// A program that cannot be started is an OSError at the call: FileNotFoundError, PermissionError, and so on, with its
// name. The child has no descriptors but those it was given, no blocked signals, and of the ignored ones all but
// SIGPIPE. It is reaped exactly once, when it ends. Closing the loop kills and reaps those that still run.
//
// An application may put a service of its own before the first process:
//
//     class Sandbox : public SubprocessService { ... };
//     loop.add_service<Sandbox>();

#include <weft/base/constants.hpp>
#include <weft/base/exceptions.hpp>
#include <weft/io/connection.hpp>
#include <weft/io/streams.hpp>
#include <weft/loop/service.hpp>

#include <cstddef>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace weft {

/// Where a child's standard input, output or error goes: PIPE, STDOUT, DEVNULL, or a descriptor of the parent's, which
/// stays the parent's.
class Stdio {
public:
    enum class Kind : std::uint8_t { inherit, pipe, stdout_too, null, descriptor };

    constexpr Stdio() noexcept = default;
    constexpr Stdio(int fd) noexcept : kind_(Kind::descriptor), fd_(fd) {}
    constexpr explicit Stdio(Kind kind) noexcept : kind_(kind) {}
    constexpr Kind kind() const noexcept { return kind_; }
    constexpr int fd() const noexcept { return fd_; }

private:
    Kind kind_ = Kind::inherit;
    int fd_ = -1;
};

/// A pipe to or from this program.
inline constexpr Stdio PIPE{Stdio::Kind::pipe};
/// Standard error goes where standard output goes.
inline constexpr Stdio STDOUT{Stdio::Kind::stdout_too};
/// /dev/null.
inline constexpr Stdio DEVNULL{Stdio::Kind::null};

/// How a program is started.
class SubprocessOptions {
public:
    SubprocessOptions() = default;
    /// Default for all three: this program's; of loop.subprocess_exec() and subprocess_shell(): PIPE.
    SubprocessOptions& stdin(Stdio value) & { return stdin_ = value, *this; }
    SubprocessOptions&& stdin(Stdio value) && { return std::move(stdin(value)); }
    SubprocessOptions& stdout(Stdio value) & { return stdout_ = value, *this; }
    SubprocessOptions&& stdout(Stdio value) && { return std::move(stdout(value)); }
    SubprocessOptions& stderr(Stdio value) & { return stderr_ = value, *this; }
    SubprocessOptions&& stderr(Stdio value) && { return std::move(stderr(value)); }
    /// The directory it runs in; default: this program's.
    SubprocessOptions& cwd(std::string value) & { return cwd_ = std::move(value), *this; }
    SubprocessOptions&& cwd(std::string value) && { return std::move(cwd(std::move(value))); }
    /// The whole environment, in place of this program's. Its PATH is where the program is looked for.
    SubprocessOptions& env(std::map<std::string, std::string> value) & { return env_ = std::move(value), *this; }
    SubprocessOptions&& env(std::map<std::string, std::string> value) && { return std::move(env(std::move(value))); }
    /// Descriptors that the child has too, under the same numbers.
    SubprocessOptions& pass_fds(std::vector<int> value) & { return pass_fds_ = std::move(value), *this; }
    SubprocessOptions&& pass_fds(std::vector<int> value) && { return std::move(pass_fds(std::move(value))); }
    /// It leads a session and a process group of its own.
    SubprocessOptions& start_new_session(bool value) & { return start_new_session_ = value, *this; }
    SubprocessOptions&& start_new_session(bool value) && { return std::move(start_new_session(value)); }
    /// The process group it joins; 0: one of its own, which it leads.
    SubprocessOptions& process_group(int value) & { return process_group_ = value, *this; }
    SubprocessOptions&& process_group(int value) && { return std::move(process_group(value)); }
    /// Bytes that each stream buffers before the child has to wait (at twice this); default 64 KiB.
    SubprocessOptions& limit(std::size_t value) & { return limit_ = value, *this; }
    SubprocessOptions&& limit(std::size_t value) && { return std::move(limit(value)); }

    Stdio stdin() const noexcept { return stdin_.value_or(Stdio()); }
    Stdio stdout() const noexcept { return stdout_.value_or(Stdio()); }
    Stdio stderr() const noexcept { return stderr_.value_or(Stdio()); }
    /// Pipes where nothing was said.
    SubprocessOptions pipes_by_default() && {
        for (std::optional<Stdio>* stream : {&stdin_, &stdout_, &stderr_})
            if (!*stream) *stream = PIPE;
        return std::move(*this);
    }
    const std::string& cwd() const noexcept { return cwd_; }
    const std::optional<std::map<std::string, std::string>>& env() const noexcept { return env_; }
    const std::vector<int>& pass_fds() const noexcept { return pass_fds_; }
    bool start_new_session() const noexcept { return start_new_session_; }
    std::optional<int> process_group() const noexcept { return process_group_; }
    std::size_t limit() const noexcept { return limit_; }

private:
    std::optional<Stdio> stdin_;
    std::optional<Stdio> stdout_;
    std::optional<Stdio> stderr_;
    std::string cwd_;
    std::optional<std::map<std::string, std::string>> env_;
    std::vector<int> pass_fds_;
    bool start_new_session_ = false;
    std::optional<int> process_group_;
    std::size_t limit_ = constants::stream_limit;
};

/// A running or ended child (asyncio.SubprocessTransport). Used on the loop's thread.
class SubprocessTransport {
public:
    virtual ~SubprocessTransport() = default;
    virtual int get_pid() const noexcept = 0;
    /// The exit status, or minus the number of the signal that ended it; nothing while it runs. 255 if the system does
    /// not know.
    virtual std::optional<int> get_returncode() const noexcept = 0;
    /// Waits until the child has ended, and gives its returncode.
    virtual Coro<int> wait() = 0;
    /// The pipe to standard input (0) or from output (1) or error (2); null if there is none.
    virtual std::shared_ptr<Transport> get_pipe_transport(int fd) const = 0;
    /// ProcessLookupError once it has ended.
    virtual void send_signal(int signal_number) = 0;
    /// SIGTERM and SIGKILL.
    virtual void terminate() = 0;
    virtual void kill() = 0;
    /// To every process of its group; RuntimeError unless it leads one (start_new_session, process_group(0)).
    /// ProcessLookupError if nobody is left in it.
    virtual void send_signal_to_group(int signal_number) = 0;
    /// Closes the pipes and kills the child if it runs.
    virtual void close() = 0;
    virtual bool is_closing() const noexcept = 0;
    virtual EventLoop& get_loop() const noexcept = 0;
    /// asyncio's key as text: "subprocess", the process's number; nothing for another one.
    std::optional<std::string> get_extra_info(std::string_view key) const;
    /// As asyncio's repr: "<SubprocessTransport pid=12 running stdin=... stdout=...>".
    virtual std::string repr() const = 0;
};

/// What is called for a child (asyncio.SubprocessProtocol): process_exited when it has ended, which may be before its
/// pipes have; connection_lost last, when both have.
class SubprocessProtocol {
public:
    virtual ~SubprocessProtocol() = default;
    virtual void connection_made(std::shared_ptr<SubprocessTransport> transport) { (void)transport; }
    /// `fd` is 1 or 2; `data` is valid during the call only.
    virtual void pipe_data_received(int fd, std::span<const std::byte> data) { (void)fd, (void)data; }
    virtual void pipe_connection_lost(int fd, std::exception_ptr error) { (void)fd, (void)error; }
    virtual void process_exited() {}
    virtual void connection_lost(std::exception_ptr error) { (void)error; }
    /// Of the pipe to standard input; see BaseProtocol.
    virtual void pause_writing() {}
    virtual void resume_writing() {}
};

/// Starts processes for a loop.
class SubprocessService : public Service {
public:
    using service_type = SubprocessService;
    static constexpr bool has_default = true;
    /// The loop's; one that starts real processes is put there if there is none.
    static SubprocessService& of(EventLoop& loop);
    std::string_view name() const noexcept override { return "subprocess"; }
    /// Starts `arguments`, the first of which is the program; done when connection_made has returned. Cancelling it
    /// kills and reaps what was started.
    virtual Coro<std::shared_ptr<SubprocessTransport>> start(std::shared_ptr<SubprocessProtocol> protocol,
                                                             std::vector<std::string> arguments,
                                                             SubprocessOptions options) = 0;
};

/// communicate() took longer than its limit. The process runs on, and what was not read yet can still be read.
class CommunicateTimeoutError : public TimeoutError {
public:
    CommunicateTimeoutError(Bytes out, Bytes err)
        : TimeoutError("communicate() timed out"), out_(std::move(out)), err_(std::move(err)) {}
    /// What was read until then.
    const Bytes& out() const noexcept { return out_; }
    const Bytes& err() const noexcept { return err_; }

private:
    Bytes out_;
    Bytes err_;
};

namespace io {
class ProcessState;
}

/// A child with streams (asyncio.subprocess.Process). Copies mean the same one. When the last one goes, its standard
/// input is closed, and it runs on.
class Process {
public:
    Process() = default;
    explicit Process(std::shared_ptr<io::ProcessState> state) noexcept : state_(std::move(state)) {}

    int pid() const noexcept;
    /// See SubprocessTransport::get_returncode().
    std::optional<int> returncode() const noexcept;
    /// The pipes; RuntimeError if the options had no PIPE there.
    StreamWriter stdin() const;
    StreamReader stdout() const;
    StreamReader stderr() const;
    /// Waits until the child has ended, and gives its returncode(). Pipes that a grandchild holds do not matter.
    /// With pipes that nobody reads the child may never end: use communicate().
    Coro<int> wait() const;
    /// Writes `input` to standard input and closes it, while it reads output and error to their end; waits for the
    /// child. Gives both (empty where there is no pipe). A child that does not read its input is no error. ValueError
    /// if there is input and no pipe for it. Cancelling it leaves the child running, and loses what it has read.
    Coro<std::pair<Bytes, Bytes>> communicate(Bytes input = {}) const;
    Coro<std::pair<Bytes, Bytes>> communicate(std::string_view input) const { return communicate(Bytes(input)); }
    /// The same within `limit`; CommunicateTimeoutError has what was read.
    Coro<std::pair<Bytes, Bytes>> communicate(Bytes input, Duration limit) const;
    /// As SubprocessTransport's.
    void send_signal(int signal_number) const;
    void terminate() const;
    void kill() const;
    void send_signal_to_group(int signal_number) const;
    /// SIGKILL to the group.
    void kill_group() const;
    explicit operator bool() const noexcept { return static_cast<bool>(state_); }
    /// As asyncio's repr: "<Process 12>".
    std::string repr() const;

private:
    std::shared_ptr<io::ProcessState> state_;
};

/// Starts a program, found by PATH unless its name has a slash. The last argument may be a SubprocessOptions:
/// `create_subprocess_exec("ls", "-l", SubprocessOptions().stdout(PIPE))`.
Coro<Process> create_subprocess_exec(std::vector<std::string> arguments, SubprocessOptions options = {});
inline Coro<Process> create_subprocess_exec(std::initializer_list<const char*> arguments,
                                            SubprocessOptions options = {}) {
    return create_subprocess_exec(std::vector<std::string>(arguments.begin(), arguments.end()), std::move(options));
}
/// Runs a command with /bin/sh.
Coro<Process> create_subprocess_shell(std::string command, SubprocessOptions options = {});

namespace io {

/// What SubprocessService::start() gives, with the protocol.
template <class P>
class SubprocessConnection {
public:
    SubprocessConnection(std::shared_ptr<SubprocessTransport> transport, std::shared_ptr<P> protocol) noexcept
        : transport(std::move(transport)), protocol(std::move(protocol)) {}
    std::shared_ptr<SubprocessTransport> transport;
    std::shared_ptr<P> protocol;
};

inline void add_argument(std::vector<std::string>& arguments, SubprocessOptions&, std::string text) {
    arguments.push_back(std::move(text));
}
inline void add_argument(std::vector<std::string>&, SubprocessOptions& options, SubprocessOptions value) {
    options = std::move(value);
}

template <class... Args>
inline constexpr bool options_are_last = [] {
    constexpr bool is_options[] = {std::is_same_v<std::remove_cvref_t<Args>, SubprocessOptions>..., false};
    for (std::size_t i = 0; i + 1 < sizeof...(Args); ++i)
        if (is_options[i]) return false;
    return true;
}();

std::vector<std::string> shell_arguments(std::string command);

template <class F>
Coro<SubprocessConnection<ProtocolOf<F>>> start_subprocess(EventLoop& loop, F factory,
                                                           std::vector<std::string> arguments,
                                                           SubprocessOptions options) {
    std::shared_ptr<ProtocolOf<F>> protocol = factory();
    auto transport = co_await SubprocessService::of(loop).start(protocol, std::move(arguments), std::move(options));
    co_return SubprocessConnection<ProtocolOf<F>>(std::move(transport), std::move(protocol));
}

}  // namespace io

template <class... Args>
    requires(sizeof...(Args) > 0)
Coro<Process> create_subprocess_exec(std::string program, Args... args) {
    static_assert(io::options_are_last<Args...>, "create_subprocess_exec: SubprocessOptions come last");
    std::vector<std::string> arguments;
    SubprocessOptions options;
    arguments.push_back(std::move(program));
    (io::add_argument(arguments, options, std::move(args)), ...);
    return create_subprocess_exec(std::move(arguments), std::move(options));
}
inline Coro<Process> create_subprocess_exec(std::string program) {
    std::vector<std::string> arguments;
    arguments.push_back(std::move(program));
    return create_subprocess_exec(std::move(arguments));
}
inline Coro<Process> create_subprocess_exec(const char* program) {
    return create_subprocess_exec(std::string(program));
}

/// The same for a SubprocessProtocol that `protocol_factory()` makes (loop.subprocess_exec). In asyncio's default the
/// three standard streams are pipes; here too, unless the options say otherwise.
template <class F, class... Args>
auto EventLoop::subprocess_exec(F protocol_factory, std::string program, Args... args) {
    static_assert(io::options_are_last<Args...>, "subprocess_exec: SubprocessOptions come last");
    std::vector<std::string> arguments;
    SubprocessOptions options;
    arguments.push_back(std::move(program));
    (io::add_argument(arguments, options, std::move(args)), ...);
    return subprocess_exec(std::move(protocol_factory), std::move(arguments), std::move(options));
}
template <class F>
auto EventLoop::subprocess_exec(F protocol_factory, std::vector<std::string> arguments, SubprocessOptions options) {
    return io::start_subprocess(*this, std::move(protocol_factory), std::move(arguments),
                                std::move(options).pipes_by_default());
}
template <class F>
auto EventLoop::subprocess_exec(F protocol_factory, std::vector<std::string> arguments) {
    return subprocess_exec(std::move(protocol_factory), std::move(arguments), SubprocessOptions());
}
template <class F>
auto EventLoop::subprocess_exec(F protocol_factory, std::initializer_list<const char*> arguments,
                                SubprocessOptions options) {
    return subprocess_exec(std::move(protocol_factory), std::vector<std::string>(arguments.begin(), arguments.end()),
                           std::move(options));
}
template <class F>
auto EventLoop::subprocess_exec(F protocol_factory, std::initializer_list<const char*> arguments) {
    return subprocess_exec(std::move(protocol_factory), arguments, SubprocessOptions());
}
template <class F>
auto EventLoop::subprocess_shell(F protocol_factory, std::string command, SubprocessOptions options) {
    return io::start_subprocess(*this, std::move(protocol_factory), io::shell_arguments(std::move(command)),
                                std::move(options).pipes_by_default());
}
template <class F>
auto EventLoop::subprocess_shell(F protocol_factory, std::string command) {
    return subprocess_shell(std::move(protocol_factory), std::move(command), SubprocessOptions());
}

}  // namespace weft
