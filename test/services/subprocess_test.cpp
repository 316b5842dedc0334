#include "support/harness.hpp"
#include "support/temporary_directory.hpp"

#include <weft/services/subprocess.hpp>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace weft;
using namespace weft::testing;

namespace {

SubprocessOptions piped() {
    return SubprocessOptions().stdin(PIPE).stdout(PIPE).stderr(PIPE);
}

std::size_t open_descriptors() {
    const auto entries = std::filesystem::directory_iterator("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

/// Whether a child of this process is left, running or as a zombie.
bool has_children() {
    siginfo_t info{};
    return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

class Recorder : public SubprocessProtocol {
public:
    void connection_made(std::shared_ptr<SubprocessTransport> made) override {
        transport = made;
        events("made");
    }
    void pipe_data_received(int fd, std::span<const std::byte> data) override {
        (fd == 1 ? out : err).append(reinterpret_cast<const char*>(data.data()), data.size());
    }
    void pipe_connection_lost(int fd, std::exception_ptr error) override {
        events("pipe" + std::to_string(fd) + (error ? "!" : ""));
    }
    void process_exited() override { events("exited"); }
    void connection_lost(std::exception_ptr error) override {
        events(error ? "lost!" : "lost");
        if (!lost.done()) lost.set_result();
    }
    Trace events;
    std::string out;
    std::string err;
    std::shared_ptr<SubprocessTransport> transport;
    Future<> lost = get_running_loop().create_future<void>();
};

}  // namespace

TEST_CASE("a program's output, error and status") {
    run_real([]() -> Coro<> {
        Process process = co_await create_subprocess_exec("sh", "-c", "echo out; echo err >&2; exit 3", piped());
        CHECK(process.pid() > 0);
        CHECK(process.repr() == "<Process " + std::to_string(process.pid()) + ">");
        auto [out, err] = co_await process.communicate();
        CHECK(out.str() == "out\n");
        CHECK(err.str() == "err\n");
        CHECK(process.returncode() == 3);
        const int status = co_await process.wait();
        CHECK(status == 3);
        CHECK_FALSE(has_children());
    });
}

TEST_CASE("a shell command; standard error to standard output; to nowhere") {
    run_real([]() -> Coro<> {
        Process both =
            co_await create_subprocess_shell("echo a; echo b >&2", SubprocessOptions().stdout(PIPE).stderr(STDOUT));
        auto [out, err] = co_await both.communicate();
        CHECK(out.str() == "a\nb\n");
        CHECK(err.empty());
        Process nowhere =
            co_await create_subprocess_shell("echo a; cat", SubprocessOptions().stdin(DEVNULL).stdout(DEVNULL));
        const int status = co_await nowhere.wait();
        CHECK(status == 0);
        CHECK(ending_of_call([&] { (void)nowhere.stdout(); }) == "RuntimeError");
    });
}

TEST_CASE("streams to and from a program, line by line") {
    run_real([]() -> Coro<> {
        Process cat = co_await create_subprocess_exec("cat", SubprocessOptions().stdin(PIPE).stdout(PIPE));
        StreamReader reader = cat.stdout();
        for (const char* line : {"one\n", "two\n"}) {
            cat.stdin().write(line);
            co_await cat.stdin().drain();
            const Bytes answer = co_await reader.readline();
            CHECK(answer.str() == line);
        }
        CHECK_FALSE(cat.returncode());
        cat.stdin().close();
        co_await cat.stdin().wait_closed();
        const Bytes end = co_await reader.read(-1);
        CHECK(end.empty());
        const int status = co_await cat.wait();
        CHECK(status == 0);
    });
}

TEST_CASE("rule 111: -9 after kill, -15 after terminate; signals after the end are a ProcessLookupError") {
    run_real([]() -> Coro<> {
        Process killed = co_await create_subprocess_exec("sleep", "100");
        killed.kill();
        int status = co_await killed.wait();
        CHECK(status == -9);
        CHECK(ending_of_call([&] { killed.kill(); }) == "ProcessLookupError");
        CHECK(ending_of_call([&] { killed.terminate(); }) == "ProcessLookupError");
        CHECK(ending_of_call([&] { killed.send_signal(SIGUSR1); }) == "ProcessLookupError");
        Process terminated = co_await create_subprocess_exec("sleep", "100");
        terminated.terminate();
        status = co_await terminated.wait();
        CHECK(status == -15);
    });
}

TEST_CASE("rule 112: communicate feeds the input while it reads: megabytes both ways") {
    run_real([]() -> Coro<> {
        Process cat = co_await create_subprocess_exec("cat", piped());
        const std::string much(8'000'000, 'x');
        auto [out, err] = co_await cat.communicate(much);
        CHECK((out.str() == much));
        CHECK(cat.returncode() == 0);
    });
}

TEST_CASE("rule 112: a program that does not read its input is no error") {
    run_real([]() -> Coro<> {
        Process deaf = co_await create_subprocess_shell("exec <&-; echo done", piped());
        auto [out, err] = co_await deaf.communicate(std::string(4'000'000, 'x'));
        CHECK(out.str() == "done\n");
        CHECK(deaf.returncode() == 0);
        Process none = co_await create_subprocess_exec("true", SubprocessOptions().stdout(PIPE));
        const std::string no_pipe = co_await ending(none.communicate("input"));
        CHECK(no_pipe == "ValueError");
        co_await none.wait();
    });
}

TEST_CASE("communicate with a limit gives what was read so far, and can go on") {
    run_real([]() -> Coro<> {
        Process slow = co_await create_subprocess_shell("echo first; read line; echo second", piped());
        std::string out;
        try {
            co_await slow.communicate(Bytes(), 1ms);
        } catch (const CommunicateTimeoutError& error) {
            out = error.out().str();
        } catch (const BrokenPipeError&) {}
        if (slow.returncode()) co_return;  // it was faster
        auto [rest, err] = co_await slow.communicate();
        CHECK((out + rest.str() == "first\nsecond\n"));
        Process silent = co_await create_subprocess_exec("sleep", "100", piped());
        const std::string end = co_await ending(silent.communicate(Bytes(), 5ms));
        CHECK(end == "CommunicateTimeoutError");
        CHECK_FALSE(silent.returncode());
        silent.kill();
        co_await silent.wait();
    });
}

TEST_CASE("rule 113: cancelling while a process is started kills and reaps it") {
    for (int steps = 0; steps < 4; ++steps) {
        run_real([&]() -> Coro<> {
            auto task = create_task(create_subprocess_exec("sleep", "100", piped()));
            co_await turns(steps);
            task.cancel();
            const std::string end = co_await ending(task);
            if (end == "ok") {
                // It had been started already.
                Process process = task.result();
                process.kill();
                co_await process.wait();
            } else {
                CHECK(end == "CancelledError");
            }
            CHECK_FALSE(has_children());
        });
    }
}

TEST_CASE("rule 114: what was written before the end can be read after it") {
    run_real([]() -> Coro<> {
        Process process = co_await create_subprocess_exec("echo", "words", SubprocessOptions().stdout(PIPE));
        const int status = co_await process.wait();
        CHECK(status == 0);
        StreamReader reader = process.stdout();
        const Bytes words = co_await reader.read(-1);
        CHECK(words.str() == "words\n");
    });
}

TEST_CASE("rule 115: connection_lost comes last, after the exit and every pipe") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const auto factory = [] { return std::make_shared<Recorder>(); };
        auto [transport, protocol] =
            co_await loop.subprocess_exec(factory, "sh", "-c", "echo out; echo err >&2; exit 7");
        CHECK(protocol->transport == transport);
        CHECK(transport->get_pid() > 0);
        CHECK(transport->get_pipe_transport(1));
        CHECK_FALSE(transport->get_pipe_transport(3));
        co_await protocol->lost;
        CHECK(protocol->out == "out\n");
        CHECK(protocol->err == "err\n");
        CHECK(transport->get_returncode() == 7);
        std::vector<std::string> events = protocol->events.events();
        CHECK(events.front() == "made");
        CHECK(events.back() == "lost");
        std::sort(events.begin(), events.end());
        CHECK(events == std::vector<std::string>{"exited", "lost", "made", "pipe0", "pipe1", "pipe2"});
        CHECK(transport->repr().find("returncode=7") != std::string::npos);
    });
}

TEST_CASE("subprocess_shell; closing the transport kills the child and ends its pipes") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const auto factory = [] { return std::make_shared<Recorder>(); };
        auto [transport, protocol] = co_await loop.subprocess_shell(factory, "sleep 100");
        transport->close();
        CHECK(transport->is_closing());
        co_await protocol->lost;
        CHECK(transport->get_returncode() == -9);
        CHECK_FALSE(has_children());
    });
}

TEST_CASE("wait() ends with the child, also when a grandchild keeps the pipe") {
    run_real([]() -> Coro<> {
        SubprocessOptions options = SubprocessOptions().stdout(PIPE).start_new_session(true);
        Process process = co_await create_subprocess_shell("sleep 100 & echo started", options);
        const int status = co_await process.wait();
        CHECK(status == 0);
        StreamReader reader = process.stdout();
        const Bytes line = co_await reader.readline();
        CHECK(line.str() == "started\n");
        CHECK_FALSE(reader.at_eof());
        process.kill_group();  // the grandchild
        const Bytes end = co_await reader.read(-1);
        CHECK(end.empty());
    });
}

TEST_CASE("a group of its own can be signalled as a whole; without one that is an error") {
    run_real([]() -> Coro<> {
        Process process =
            co_await create_subprocess_shell("sleep 100 | sleep 100", SubprocessOptions().process_group(0));
        process.send_signal_to_group(SIGTERM);
        const int status = co_await process.wait();
        CHECK(status == -15);
        Process plain = co_await create_subprocess_exec("sleep", "100");
        CHECK(ending_of_call([&] { plain.kill_group(); }) == "RuntimeError");
        plain.kill();
        co_await plain.wait();
    });
}

TEST_CASE("cwd, env and pass_fds") {
    const TemporaryDirectory directory;
    run_real([&]() -> Coro<> {
        std::map<std::string, std::string> environment;
        environment["GREETING"] = "hello";
        environment["PATH"] = "/usr/bin:/bin";
        const int fd = ::open((directory / "passed").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
        const int kept_back = ::dup(fd);  // not close-on-exec
        SubprocessOptions options;
        std::vector<int> passed;
        passed.push_back(fd);
        options.cwd(directory / "").env(environment).pass_fds(passed).stdout(PIPE).stderr(PIPE);
        const std::string script = "pwd -P; echo $GREETING; env | wc -l; echo text >&" + std::to_string(fd) +
                                   "; (echo no >&" + std::to_string(kept_back) + ") 2>/dev/null || echo closed";
        Process process = co_await create_subprocess_exec("bash", "-c", script, options);
        auto [out, err] = co_await process.communicate();
        ::close(kept_back);
        ::close(fd);
        const std::string text = out.str();
        CHECK(text.find(std::filesystem::canonical(directory / "").string()) == 0);
        CHECK(text.find("hello\n") != std::string::npos);
        CHECK(text.ends_with("closed\n"));
        std::ifstream file(directory / "passed");
        std::string word;
        file >> word;
        CHECK(word == "text");
    });
}

TEST_CASE("a program that cannot be started is the system's error, with its name, and leaves nothing") {
    const TemporaryDirectory directory;
    run_real([&]() -> Coro<> {
        const std::size_t before = open_descriptors();
        const auto missing = co_await error_of(create_subprocess_exec("no-such-program", "x", piped()));
        CHECK(error_type(missing) == "FileNotFoundError");
        CHECK(error_text(missing).find("no-such-program") != std::string::npos);
        std::ofstream(directory / "data") << "text";
        const auto forbidden = co_await error_of(create_subprocess_exec(directory / "data", piped()));
        CHECK(error_type(forbidden) == "PermissionError");
        const auto nowhere =
            co_await error_of(create_subprocess_exec("true", SubprocessOptions().cwd("/no/such/directory")));
        CHECK(error_type(nowhere) == "FileNotFoundError");
        CHECK(error_text(nowhere).find("/no/such/directory") != std::string::npos);
        const std::string closed = co_await ending(create_subprocess_exec("true", SubprocessOptions().stdout(987)));
        CHECK(closed == "ValueError");
        const std::string wrong = co_await ending(create_subprocess_exec("true", SubprocessOptions().stdin(STDOUT)));
        CHECK(wrong == "ValueError");
        const std::string zero = co_await ending(create_subprocess_exec("echo", std::string("a\0b", 3)));
        CHECK(zero == "ValueError");
        co_await turns(3);
        CHECK(open_descriptors() == before);
        CHECK_FALSE(has_children());
    });
}

TEST_CASE("a child has no signals blocked, and ignores those that this program ignores, but for SIGPIPE") {
    run_real([]() -> Coro<> {
        void (*const before)(int) = std::signal(SIGUSR1, SIG_IGN);
        void (*const pipe_before)(int) = std::signal(SIGPIPE, SIG_IGN);
        sigset_t blocked;
        sigemptyset(&blocked);
        sigaddset(&blocked, SIGUSR2);
        ::pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
        Process process = co_await create_subprocess_exec("grep", "-E", "Sig(Blk|Ign)", "/proc/self/status",
                                                          SubprocessOptions().stdout(PIPE));
        ::pthread_sigmask(SIG_UNBLOCK, &blocked, nullptr);
        std::signal(SIGUSR1, before);
        std::signal(SIGPIPE, pipe_before);
        auto [out, err] = co_await process.communicate();
        const std::string text = out.str();
        CHECK(text.starts_with("SigBlk:\t0000000000000000\nSigIgn:\t"));
        // Who started the tests may have others ignored.
        const auto ignored = std::stoull(text.substr(text.rfind('\t') + 1), nullptr, 16);
        CHECK((ignored >> (SIGUSR1 - 1) & 1) == 1);
        CHECK((ignored >> (SIGPIPE - 1) & 1) == 0);
    });
}

TEST_CASE("five hundred processes leave no descriptor and no zombie") {
    run_real([]() -> Coro<> {
        {
            Process first = co_await create_subprocess_exec("true", piped());
            co_await first.communicate();
        }
        co_await turns(5);
        const std::size_t before = open_descriptors();
        for (int round = 0; round < 50; ++round) {
            std::vector<Coro<int>> ends;
            for (int i = 0; i < 10; ++i) {
                const auto one = [](int number) -> Coro<int> {
                    Process process =
                        co_await create_subprocess_exec("sh", "-c", "exit " + std::to_string(number), piped());
                    co_await process.communicate();
                    co_return *process.returncode();
                };
                ends.push_back(one(i));
            }
            const auto statuses = co_await gather(std::move(ends));
            for (int i = 0; i < 10; ++i)
                CHECK(statuses[static_cast<std::size_t>(i)] == i);
        }
        co_await turns(5);
        CHECK(open_descriptors() == before);
        CHECK_FALSE(has_children());
    });
}

TEST_CASE("a loop that closes kills and reaps the children that run") {
    auto loop = make_real_loop();
    loop->run_until_complete([]() -> Coro<> {
        Process process = co_await create_subprocess_exec("sleep", "100", piped());
        Process other = co_await create_subprocess_exec("sleep", "100");
        (void)co_await create_subprocess_exec("cat", piped());
    }());
    loop->close();
    CHECK_FALSE(has_children());
}

TEST_CASE("regression: waits that were cancelled leave nothing behind, and the others end") {
    run_real([]() -> Coro<> {
        Process process = co_await create_subprocess_exec("cat", SubprocessOptions().stdin(PIPE));
        Task<int> other = create_task(process.wait());
        for (int i = 0; i < 100; ++i) {
            const std::string end = co_await ending(wait_for(process.wait(), 1us));
            CHECK(end == "TimeoutError");
        }
        process.stdin().close();
        const int status = co_await process.wait();
        const int seen = co_await other;
        CHECK(status == 0);
        CHECK(seen == 0);
    });
}

TEST_CASE("without a descriptor to watch a child by, a thread waits for it") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        loop.add_signal_handler(SIGUSR1, [] {});  // what the loop opens on its first wait is open
        co_await sleep(1ms);
        std::vector<int> all;
        for (int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC); fd >= 0; fd = ::dup(fd))
            all.push_back(fd);
        CHECK(errno == EMFILE);
        Process process = co_await create_subprocess_exec("/bin/sh", "-c", "kill -9 $$");
        const int status = co_await process.wait();
        CHECK(status == -SIGKILL);
        Process running = co_await create_subprocess_exec("/bin/sleep", "100");
        const std::string late = co_await ending(wait_for(running.wait(), 2ms));
        CHECK(late == "TimeoutError");
        running.terminate();
        const int terminated = co_await running.wait();
        CHECK(terminated == -SIGTERM);
        for (const int fd : all)
            ::close(fd);
        CHECK_FALSE(has_children());
    });
}

TEST_CASE("when the last Process goes its standard input is closed") {
    run_real([]() -> Coro<> {
        { Process cat = co_await create_subprocess_exec("cat", SubprocessOptions().stdin(PIPE)); }
        while (has_children())
            co_await sleep(1ms);
    });
}

TEST_CASE("a simulated loop has no processes; an application's own service is asked instead") {
    class Refusing final : public SubprocessService {
    public:
        Coro<std::shared_ptr<SubprocessTransport>> start(std::shared_ptr<SubprocessProtocol>,
                                                         std::vector<std::string> arguments,
                                                         SubprocessOptions) override {
            throw PermissionError(std::make_error_code(std::errc::permission_denied), arguments.front());
            co_return nullptr;
        }
    };
    run_simulated([]() -> Coro<> {
        const auto error = co_await error_of(create_subprocess_exec("true", "x"));
        CHECK(error_text(error) == "RuntimeError: this event loop's backend has no processes");
    });
    run_simulated([]() -> Coro<> {
        get_running_loop().add_service<Refusing>();
        const std::string refused = co_await ending(create_subprocess_exec("true", "x"));
        CHECK(refused == "PermissionError");
    });
}

TEST_CASE("Python's asyncio as the child, over its pipes") {
    run_real([]() -> Coro<> {
        const std::string program = R"(
import asyncio, sys
async def main():
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        print(line.decode().strip().upper(), flush=True)
    print("end", flush=True)
asyncio.run(main())
)";
        Process python = co_await create_subprocess_exec("/usr/bin/python3", "-c", program,
                                                         SubprocessOptions().stdin(PIPE).stdout(PIPE));
        StreamReader reader = python.stdout();
        for (const char* word : {"one", "two"}) {
            python.stdin().write(std::string(word) + "\n");
            const Bytes line = co_await reader.readline();
            CHECK(line.str() == (std::string(word) == "one" ? "ONE\n" : "TWO\n"));
        }
        auto [out, err] = co_await python.communicate();
        CHECK(out.str() == "end\n");
        CHECK(python.returncode() == 0);
    });
}
