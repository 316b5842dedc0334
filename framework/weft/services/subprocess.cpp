#include <weft/services/subprocess.hpp>

#include <weft/services/process_transport.hpp>
#include <weft/tasks/gather.hpp>
#include <weft/tasks/shield.hpp>
#include <weft/tasks/wait_for.hpp>

#include <csignal>

namespace weft {

namespace io {

namespace {

/// Starts children of this process.
class SystemSubprocesses final : public SubprocessService {
public:
    explicit SystemSubprocesses(EventLoop& loop) noexcept : loop_(loop) {}
    Coro<std::shared_ptr<SubprocessTransport>> start(std::shared_ptr<SubprocessProtocol> protocol,
                                                     std::vector<std::string> arguments,
                                                     SubprocessOptions options) override {
        Future<> connected = loop_.create_future<void>();
        const std::shared_ptr<ProcessTransport> process = ProcessTransport::start(
            loop_, std::move(protocol), std::move(arguments), std::move(options), [connected]() mutable {
                if (!connected.done()) connected.set_result();
            });
        std::exception_ptr cancelled;
        try {
            co_await connected;
        } catch (const CancelledError&) {
            cancelled = std::current_exception();
        }
        if (cancelled) {
            process->close();
            Task<int> ended = create_task(process->wait());
            while (!ended.done()) {
                // A child that was killed ends soon; a second cancellation does not leave it behind.
                try {
                    co_await shield(ended);
                } catch (const CancelledError&) {
                    cancelled = std::current_exception();
                }
            }
            std::rethrow_exception(cancelled);
        }
        co_return process;
    }

private:
    EventLoop& loop_;
};

}  // namespace

std::vector<std::string> shell_arguments(std::string command) {
    std::vector<std::string> arguments;
    arguments.emplace_back("/bin/sh");
    arguments.emplace_back("-c");
    arguments.push_back(std::move(command));
    return arguments;
}

/// The protocol behind a Process: asyncio's SubprocessStreamProtocol.
class ProcessProtocol final : public SubprocessProtocol {
public:
    /// Makes its streams now: later there is nobody who could be told that this has failed.
    explicit ProcessProtocol(const SubprocessOptions& options) : limit_(options.limit()) {
        if (options.stdin().kind() == Stdio::Kind::pipe) input = StreamReader(limit_);
        if (options.stdout().kind() == Stdio::Kind::pipe) output = StreamReader(limit_);
        if (options.stderr().kind() == Stdio::Kind::pipe) error = StreamReader(limit_);
    }

    void connection_made(std::shared_ptr<SubprocessTransport> transport) override {
        connect(input, transport->get_pipe_transport(0));
        connect(output, transport->get_pipe_transport(1));
        connect(error, transport->get_pipe_transport(2));
    }
    void pipe_data_received(int fd, std::span<const std::byte> data) override {
        (fd == 1 ? output : error).feed_data(data);
    }
    void pipe_connection_lost(int fd, std::exception_ptr reason) override {
        StreamReader& stream = fd == 0 ? input : fd == 1 ? output : error;
        if (stream.state()) stream.state()->connection_lost(std::move(reason));
    }
    void pause_writing() override { input.state()->pause_writing(); }
    void resume_writing() override { input.state()->resume_writing(); }

    StreamReader input;  // standard input: the writer's half of its state
    StreamReader output;
    StreamReader error;

private:
    /// The pipes are the service's choice in the end.
    void connect(StreamReader& stream, const std::shared_ptr<Transport>& pipe) {
        if (!pipe) {
            stream = StreamReader();
            return;
        }
        if (!stream.state()) stream = StreamReader(limit_);
        stream.set_transport(pipe);
    }
    const std::size_t limit_;
};

class ProcessState {
public:
    ProcessState(std::shared_ptr<SubprocessTransport> transport, std::shared_ptr<ProcessProtocol> protocol)
        : transport(std::move(transport)), protocol(std::move(protocol)) {
        if (this->protocol->input.state()) input = StreamWriter(this->protocol->input.state());
    }
    const std::shared_ptr<SubprocessTransport> transport;
    const std::shared_ptr<ProcessProtocol> protocol;
    StreamWriter input;
};

namespace {

Coro<Process> start_process(std::vector<std::string> arguments, SubprocessOptions options) {
    EventLoop& loop = get_running_loop();
    auto protocol = std::make_shared<ProcessProtocol>(options);
    auto transport = co_await SubprocessService::of(loop).start(protocol, std::move(arguments), std::move(options));
    co_return Process(std::make_shared<ProcessState>(std::move(transport), std::move(protocol)));
}

// They hold what they need from the call on: a Process may go before its coroutine starts.

Coro<int> wait_for_end(std::shared_ptr<ProcessState> process) {
    if (const auto known = process->transport->get_returncode()) co_return *known;
    co_return co_await process->transport->wait();
}

Coro<> feed_input(std::shared_ptr<ProcessState> process, Bytes input) {
    StreamWriter& writer = process->input;
    try {
        if (!input.empty()) {
            writer.write(input);
            co_await writer.drain();
        }
    } catch (const ConnectionError&) {
        // The child does not want it all.
    }
    writer.close();
}

Coro<> read_into(StreamReader reader, std::shared_ptr<Bytes> to) {
    while (true) {
        const Bytes data = co_await reader.read(65536);
        if (data.empty()) co_return;
        to->append(data);
    }
}

/// What communicate() has read so far.
class Output {
public:
    std::shared_ptr<Bytes> out = std::make_shared<Bytes>();
    std::shared_ptr<Bytes> err = std::make_shared<Bytes>();
};

Coro<> run_communicate(std::shared_ptr<ProcessState> process, Bytes input, Output output) {
    const std::shared_ptr<ProcessProtocol>& protocol = process->protocol;
    if (!input.empty() && !protocol->input.state())
        throw ValueError("communicate: there is input, and standard input is no PIPE");
    std::vector<Coro<>> parts;
    if (protocol->input.state()) parts.push_back(feed_input(process, std::move(input)));
    if (protocol->output.state()) parts.push_back(read_into(protocol->output, output.out));
    if (protocol->error.state()) parts.push_back(read_into(protocol->error, output.err));
    if (!parts.empty()) co_await gather(std::move(parts));
    co_await wait_for_end(process);
}

Coro<std::pair<Bytes, Bytes>> communicate(std::shared_ptr<ProcessState> process, Bytes input,
                                          std::optional<Duration> limit) {
    Output output;
    bool late = false;
    if (!limit) {
        co_await run_communicate(std::move(process), std::move(input), output);
    } else {
        try {
            co_await wait_for(run_communicate(std::move(process), std::move(input), output), *limit);
        } catch (const TimeoutError&) {
            late = true;
        }
    }
    if (late) throw CommunicateTimeoutError(std::move(*output.out), std::move(*output.err));
    co_return std::make_pair(std::move(*output.out), std::move(*output.err));
}

}  // namespace
}  // namespace io

SubprocessService& SubprocessService::of(EventLoop& loop) {
    if (auto* service = loop.find_service<SubprocessService>()) return *service;
    return loop.add_service<io::SystemSubprocesses>(loop);
}

Coro<Process> create_subprocess_exec(std::vector<std::string> arguments, SubprocessOptions options) {
    return io::start_process(std::move(arguments), std::move(options));
}

Coro<Process> create_subprocess_shell(std::string command, SubprocessOptions options) {
    return io::start_process(io::shell_arguments(std::move(command)), std::move(options));
}

int Process::pid() const noexcept {
    return state_->transport->get_pid();
}
std::optional<int> Process::returncode() const noexcept {
    return state_->transport->get_returncode();
}

StreamWriter Process::stdin() const {
    if (!state_->protocol->input.state()) throw RuntimeError("the process's standard input is no PIPE");
    return state_->input;
}
StreamReader Process::stdout() const {
    if (!state_->protocol->output.state()) throw RuntimeError("the process's standard output is no PIPE");
    return state_->protocol->output;
}
StreamReader Process::stderr() const {
    if (!state_->protocol->error.state()) throw RuntimeError("the process's standard error is no PIPE");
    return state_->protocol->error;
}

Coro<int> Process::wait() const {
    return io::wait_for_end(state_);
}
Coro<std::pair<Bytes, Bytes>> Process::communicate(Bytes input) const {
    return io::communicate(state_, std::move(input), std::nullopt);
}
Coro<std::pair<Bytes, Bytes>> Process::communicate(Bytes input, Duration limit) const {
    return io::communicate(state_, std::move(input), limit);
}

void Process::send_signal(int signal_number) const {
    state_->transport->send_signal(signal_number);
}
void Process::terminate() const {
    state_->transport->terminate();
}
void Process::kill() const {
    state_->transport->kill();
}
void Process::send_signal_to_group(int signal_number) const {
    state_->transport->send_signal_to_group(signal_number);
}
void Process::kill_group() const {
    send_signal_to_group(SIGKILL);
}

std::optional<std::string> SubprocessTransport::get_extra_info(std::string_view key) const {
    if (key == "subprocess") return std::to_string(get_pid());
    return std::nullopt;
}

std::string Process::repr() const {
    return state_ ? "<Process " + std::to_string(pid()) + ">" : "<Process>";
}

}  // namespace weft
