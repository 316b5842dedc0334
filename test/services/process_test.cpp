// Process and its surroundings: who else reaps, closes, throws or starts processes meanwhile. What asyncio pins is in
// subprocess_test.cpp.
#include "support/harness.hpp"
#include "support/temporary_directory.hpp"

#include <weft/services/subprocess.hpp>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <limits>
#include <thread>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace weft;
using namespace weft::testing;

namespace {

SubprocessOptions piped() {
    return SubprocessOptions().stdin(PIPE).stdout(PIPE).stderr(PIPE);
}

/// Whether a child of this process is left, running or as a zombie.
bool has_children() {
    siginfo_t info{};
    return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

class Pipe {
public:
    Pipe() { REQUIRE(::pipe2(ends_, O_CLOEXEC) == 0); }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    ~Pipe() {
        ::close(ends_[0]);
        ::close(ends_[1]);
    }
    int writing() const noexcept { return ends_[1]; }
    /// What has been written so far.
    std::string text() const {
        ::fcntl(ends_[0], F_SETFL, O_NONBLOCK);
        char buffer[256];
        const ssize_t count = ::read(ends_[0], buffer, sizeof buffer);
        return count > 0 ? std::string(buffer, static_cast<std::size_t>(count)) : std::string();
    }

private:
    int ends_[2];
};

/// Puts another descriptor, or none (-1), in the place of a standard one while it lives.
class Replaced {
public:
    Replaced(int fd, int by) : fd_(fd), saved_(::fcntl(fd, F_DUPFD_CLOEXEC, 10)) {
        if (by >= 0)
            ::dup2(by, fd);
        else
            ::close(fd);
    }
    Replaced(const Replaced&) = delete;
    Replaced& operator=(const Replaced&) = delete;
    ~Replaced() {
        ::dup2(saved_, fd_);
        ::close(saved_);
    }

private:
    const int fd_;
    const int saved_;
};

/// Sets a signal's disposition while it lives.
class Disposition {
public:
    Disposition(int signal_number, void (*action)(int))
        : number_(signal_number), before_(std::signal(signal_number, action)) {}
    Disposition(const Disposition&) = delete;
    Disposition& operator=(const Disposition&) = delete;
    ~Disposition() { std::signal(number_, before_); }

private:
    const int number_;
    void (*const before_)(int);
};

ContextVar<std::string> request("request", "none");

}  // namespace

TEST_CASE("regression: a Process may go before the coroutines that it gave have started") {
    run_real([]() -> Coro<> {
        Process process = co_await create_subprocess_exec("cat", piped());
        Task<std::pair<Bytes, Bytes>> talk = create_task(Process(process).communicate("text"));
        Task<int> end = create_task(Process(process).wait());
        process = Process();
        const auto output = co_await talk;
        const int status = co_await end;
        CHECK(output.first.str() == "text");
        CHECK(status == 0);
    });
}

TEST_CASE("regression: a zero byte in the name of a program without arguments is a ValueError, too") {
    run_real([]() -> Coro<> {
        const std::string end = co_await ending(create_subprocess_exec(std::string("true\0x", 6)));
        CHECK(end == "ValueError");
    });
}

TEST_CASE("a status that somebody else has collected is 255") {
    run_real([]() -> Coro<> {
        Process process = co_await create_subprocess_exec("cat", SubprocessOptions().stdin(PIPE));
        process.kill();
        int status = 0;
        REQUIRE(::waitpid(process.pid(), &status, 0) == process.pid());
        CHECK(ending_of_call([&] { process.kill(); }) == "ProcessLookupError");
        const int seen = co_await process.wait();
        CHECK(seen == 255);
        CHECK(process.returncode() == 255);
    });
}

TEST_CASE("a program that ignores SIGCHLD learns no status, but of the end and of errors") {
    run_real([]() -> Coro<> {
        const Disposition ignored(SIGCHLD, SIG_IGN);
        Process process = co_await create_subprocess_exec("sh", "-c", "exit 3", piped());
        const int status = co_await process.wait();
        CHECK(status == 255);
        const std::string missing = co_await ending(create_subprocess_exec("no-such-program", piped()));
        CHECK(missing == "FileNotFoundError");
    });
}

TEST_CASE("loops on several threads start processes at once: no child keeps another's pipe open") {
    std::atomic<int> right{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&right, i] {
            run_real([&right, i]() -> Coro<> {
                for (int round = 0; round < 25; ++round) {
                    // It ends when its input does: would another child have that pipe's end, it never would.
                    const std::string text = std::to_string(i) + "/" + std::to_string(round);
                    Process cat = co_await create_subprocess_exec("cat", piped());
                    auto [out, err] = co_await cat.communicate(text);
                    if (out.str() == text && cat.returncode() == 0) ++right;
                }
            });
        });
    }
    for (std::thread& thread : threads)
        thread.join();
    CHECK(right == 100);
    CHECK_FALSE(has_children());
}

TEST_CASE("a read with a limit loses nothing; communicate goes on from there") {
    run_real([]() -> Coro<> {
        Process process = co_await create_subprocess_shell("echo first; read line; echo $line", piped());
        StreamReader reader = process.stdout();
        const Bytes first = co_await reader.readline();
        CHECK(first.str() == "first\n");
        process.stdin().write("sec");
        const std::string late = co_await ending(wait_for(reader.readline(), 5ms));
        CHECK(late == "TimeoutError");
        CHECK_FALSE(process.returncode());
        auto [out, err] = co_await process.communicate("ond\n");
        CHECK(out.str() == "second\n");
        CHECK(process.returncode() == 0);
    });
}

TEST_CASE("communicate with a limit while a grandchild keeps the pipes: the error has what was read") {
    const TemporaryDirectory directory;
    run_real([&]() -> Coro<> {
        const std::string flag = directory / "flag";
        SubprocessOptions options = piped().start_new_session(true);
        Process process = co_await create_subprocess_shell("echo first; : > " + flag + "; sleep 100 & :", options);
        while (!std::filesystem::exists(flag))
            co_await sleep(1ms);
        std::string read;
        try {
            co_await process.communicate(Bytes(), 20ms);
        } catch (const CommunicateTimeoutError& error) {
            read = error.out().str();
        }
        CHECK(read == "first\n");
        const int status = co_await process.wait();
        CHECK(status == 0);
        process.kill_group();
        auto [out, err] = co_await process.communicate();
        CHECK(out.empty());
    });
}

TEST_CASE("writing to a child that has ended is a ConnectionError, not a signal") {
    run_real([]() -> Coro<> {
        const Disposition standard(SIGPIPE, SIG_DFL);
        Process process = co_await create_subprocess_exec("true", SubprocessOptions().stdin(PIPE));
        const int status = co_await process.wait();
        CHECK(status == 0);
        bool refused = false;
        try {
            while (true) {
                process.stdin().write("x");
                co_await process.stdin().drain();
                co_await sleep(0s);
            }
        } catch (const ConnectionError&) {
            refused = true;
        }
        CHECK(refused);
    });
}

TEST_CASE("a child's output and error can change places") {
    run_real([]() -> Coro<> {
        const Pipe out;
        const Pipe err;
        int status = -1;
        {
            const Replaced first(1, out.writing());
            const Replaced second(2, err.writing());
            Process process =
                co_await create_subprocess_shell("echo out; echo err >&2", SubprocessOptions().stdout(2).stderr(1));
            status = co_await process.wait();
        }
        CHECK(status == 0);
        CHECK(out.text() == "err\n");
        CHECK(err.text() == "out\n");
    });
}

TEST_CASE("a program without a standard input of its own gives its children theirs") {
    run_real([]() -> Coro<> {
        std::string echoed;
        std::string without;
        {
            const Replaced none(0, -1);
            Process cat = co_await create_subprocess_exec("cat", SubprocessOptions().stdin(PIPE).stdout(PIPE));
            auto [out, err] = co_await cat.communicate("text");
            echoed = out.str();
            Process echo = co_await create_subprocess_exec("echo", "words", SubprocessOptions().stdout(PIPE));
            auto [words, nothing] = co_await echo.communicate();
            without = words.str();
        }
        CHECK(echoed == "text");
        CHECK(without == "words\n");
    });
}

TEST_CASE("a child can join the group of another, or lead a session") {
    run_real([]() -> Coro<> {
        Process leader = co_await create_subprocess_exec("sleep", "100", SubprocessOptions().process_group(0));
        CHECK(::getpgid(leader.pid()) == leader.pid());
        Process member =
            co_await create_subprocess_exec("sleep", "100", SubprocessOptions().process_group(leader.pid()));
        CHECK(::getpgid(member.pid()) == leader.pid());
        leader.kill_group();
        const int first = co_await leader.wait();
        const int second = co_await member.wait();
        CHECK(first == -SIGKILL);
        CHECK(second == -SIGKILL);
        CHECK(ending_of_call([&] { leader.kill_group(); }) == "ProcessLookupError");
        Process session = co_await create_subprocess_exec("sleep", "100", SubprocessOptions().start_new_session(true));
        CHECK(::getsid(session.pid()) == session.pid());
        session.kill();
        co_await session.wait();
        const std::string nobody = co_await ending(
            create_subprocess_exec("true", SubprocessOptions().process_group(std::numeric_limits<int>::max())));
        CHECK(nobody == "PermissionError");
    });
}

TEST_CASE("rule 118: a subprocess's protocol is called in the context of who started it") {
    class Witness : public SubprocessProtocol {
    public:
        void connection_made(std::shared_ptr<SubprocessTransport>) override { note(); }
        void pipe_data_received(int, std::span<const std::byte>) override { note(); }
        void pipe_connection_lost(int, std::exception_ptr) override { note(); }
        void process_exited() override { note(); }
        void connection_lost(std::exception_ptr) override {
            note();
            lost.set_result();
        }
        void note() {
            ++calls;
            if (request.get() == "mine") ++mine;
        }
        int calls = 0;
        int mine = 0;
        Future<> lost = get_running_loop().create_future<void>();
    };
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        request.set("mine");
        const auto factory = [] { return std::make_shared<Witness>(); };
        auto [transport, protocol] = co_await loop.subprocess_exec(factory, "echo", "text");
        CHECK(transport->get_extra_info("subprocess") == std::to_string(transport->get_pid()));
        CHECK_FALSE(transport->get_extra_info("peername"));
        request.set("other");
        co_await protocol->lost;
        CHECK(protocol->calls == 7);  // made, data, three pipes, exited, lost
        CHECK(protocol->mine == protocol->calls);
    });
}

TEST_CASE("a subprocess's protocol has three pipes whatever other options are given; the arguments may be a list") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const auto factory = [] { return std::make_shared<SubprocessProtocol>(); };
        const auto pipes_of = [](const std::shared_ptr<SubprocessTransport>& transport) {
            std::string pipes;
            for (int fd : {0, 1, 2})
                pipes += transport->get_pipe_transport(fd) ? 'p' : '-';
            return pipes;
        };
        auto [exec, one] = co_await loop.subprocess_exec(factory, "true", SubprocessOptions().cwd("/"));
        CHECK(pipes_of(exec) == "ppp");
        auto [shell, two] =
            co_await loop.subprocess_shell(factory, "true", SubprocessOptions().stdout(DEVNULL).cwd("/"));
        CHECK(pipes_of(shell) == "p-p");
        auto starting = loop.subprocess_exec(factory, {"sh", "-c", "exit 3"});  // g++ 12: not in the co_await
        auto [list, three] = co_await std::move(starting);
        CHECK(pipes_of(list) == "ppp");
        const int status = co_await list->wait();
        CHECK(status == 3);
        Coro<Process> other_starting = create_subprocess_exec({"sh", "-c", "exit 4"});
        Process plain = co_await std::move(other_starting);
        const int other = co_await plain.wait();
        CHECK(other == 4);
        co_await exec->wait();
        co_await shell->wait();
        for (const auto& transport : {exec, shell, list})
            transport->close();
    });
}

TEST_CASE("what a subprocess's protocol throws is reported, and all of it is called still") {
    class Throwing : public SubprocessProtocol {
    public:
        void connection_made(std::shared_ptr<SubprocessTransport>) override { fail("made"); }
        void pipe_data_received(int, std::span<const std::byte>) override { fail("data"); }
        void pipe_connection_lost(int fd, std::exception_ptr) override { fail("pipe" + std::to_string(fd)); }
        void process_exited() override { fail("exited"); }
        void connection_lost(std::exception_ptr) override {
            lost.set_result();
            fail("lost");
        }
        void fail(const std::string& where) {
            calls(where);
            throw ValueError(where);
        }
        Trace calls;
        Future<> lost = get_running_loop().create_future<void>();
    };
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Reports reports(loop);
        const auto factory = [] { return std::make_shared<Throwing>(); };
        auto [transport, protocol] = co_await loop.subprocess_exec(factory, "echo", "text");
        co_await protocol->lost;
        co_await sleep(0s);
        std::vector<std::string> calls = protocol->calls.events();
        CHECK(calls.back() == "lost");
        std::sort(calls.begin(), calls.end());
        CHECK(calls == std::vector<std::string>{"data", "exited", "lost", "made", "pipe0", "pipe1", "pipe2"});
        REQUIRE(reports.size() == 7);
        CHECK(reports[0].protocol.ends_with("Throwing>"));
        CHECK(reports[0].transport.starts_with("<SubprocessTransport pid="));
        CHECK_FALSE(has_children());
    });
}

TEST_CASE("a transport that is closed in connection_made kills the child, and all ends in order") {
    class Closing : public SubprocessProtocol {
    public:
        void connection_made(std::shared_ptr<SubprocessTransport> transport) override { transport->close(); }
        void process_exited() override { calls("exited"); }
        void connection_lost(std::exception_ptr) override {
            calls("lost");
            lost.set_result();
        }
        Trace calls;
        Future<> lost = get_running_loop().create_future<void>();
    };
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const auto factory = [] { return std::make_shared<Closing>(); };
        auto [transport, protocol] = co_await loop.subprocess_exec(factory, "sleep", "100");
        co_await protocol->lost;
        CHECK(protocol->calls.text() == "exited lost");
        CHECK(transport->get_returncode() == -SIGKILL);
        CHECK_FALSE(has_children());
    });
}
