#include "support/harness.hpp"

#include <weft/io/pipes.hpp>

#include <csignal>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace weft;
using namespace weft::testing;

namespace {

class Recorder : public Protocol {
public:
    void connection_made(std::shared_ptr<Transport>) override { events("made"); }
    void data_received(std::span<const std::byte> data) override {
        received.append(reinterpret_cast<const char*>(data.data()), data.size());
    }
    void pause_writing() override { events("pause"); }
    void resume_writing() override { events("resume"); }
    void connection_lost(std::exception_ptr error) override {
        events(error ? "lost:" + error_type(error) : "lost");
        lost.set_result();
    }
    Trace events;
    std::string received;
    Future<> lost = get_running_loop().create_future<void>();
};

auto recorder() {
    return [] { return std::make_shared<Recorder>(); };
}

class Pipe {
public:
    Pipe() { REQUIRE(::pipe2(ends_, O_CLOEXEC) == 0); }
    int reading() const noexcept { return ends_[0]; }
    int writing() const noexcept { return ends_[1]; }

private:
    int ends_[2];
};

}  // namespace

TEST_CASE("a pipe between two transports of one loop") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const Pipe pipe;
        auto reading = co_await loop.connect_read_pipe(recorder(), pipe.reading());
        auto writing = co_await loop.connect_write_pipe(recorder(), pipe.writing());
        CHECK(reading.transport->is_pipe());
        CHECK(reading.transport->get_extra_info("pipe") == std::to_string(pipe.reading()));
        CHECK(writing.transport->get_extra_info("pipe") == std::to_string(pipe.writing()));
        CHECK_FALSE(writing.transport->get_extra_info("socket"));
        const std::string much(2'000'000, 'x');
        writing.transport->write(much);
        CHECK(writing.transport->can_write_eof());
        writing.transport->write_eof();
        co_await reading.protocol->lost;
        co_await writing.protocol->lost;
        CHECK((reading.protocol->received == much));
        CHECK(reading.protocol->events.text() == "made lost");
        CHECK(writing.protocol->events.text() == "made pause resume lost");
        CHECK(::fcntl(pipe.writing(), F_GETFD) == -1);
        CHECK(::fcntl(pipe.reading(), F_GETFD) == -1);
    });
}

TEST_CASE("pausing a reading pipe holds the data back in the system") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const Pipe pipe;
        auto reading = co_await loop.connect_read_pipe(recorder(), pipe.reading());
        reading.transport->pause_reading();
        REQUIRE(::write(pipe.writing(), "abc", 3) == 3);
        co_await sleep(5ms);
        CHECK(reading.protocol->received.empty());
        reading.transport->resume_reading();
        ::close(pipe.writing());
        co_await reading.protocol->lost;
        CHECK(reading.protocol->received == "abc");
    });
}

TEST_CASE("a writing pipe notices that its reader has gone, without a signal to the program") {
    run_real([]() -> Coro<> {
        void (*const before)(int) = std::signal(SIGPIPE, SIG_DFL);
        EventLoop& loop = get_running_loop();
        const Pipe idle;
        auto writing = co_await loop.connect_write_pipe(recorder(), idle.writing());
        ::close(idle.reading());
        co_await writing.protocol->lost;
        CHECK(writing.protocol->events.text() == "made lost");

        const Pipe full;
        auto stuck = co_await loop.connect_write_pipe(recorder(), full.writing());
        stuck.transport->write(std::string(1'000'000, 'x'));
        ::close(full.reading());
        co_await stuck.protocol->lost;
        CHECK(stuck.protocol->events.text() == "made pause lost:BrokenPipeError");

        const Pipe gone;
        ::close(gone.reading());
        auto late = co_await loop.connect_write_pipe(recorder(), gone.writing());
        late.transport->write("x");
        co_await late.protocol->lost;
        std::signal(SIGPIPE, before);
    });
}

TEST_CASE("rule 96: a pipe drops what is written after close(), and flushes what was before") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const Pipe pipe;
        auto reading = co_await loop.connect_read_pipe(recorder(), pipe.reading());
        auto writing = co_await loop.connect_write_pipe(recorder(), pipe.writing());
        writing.transport->write(std::string(500'000, 'a'));
        writing.transport->close();
        writing.transport->write("dropped");
        co_await reading.protocol->lost;
        CHECK((reading.protocol->received == std::string(500'000, 'a')));
    });
}

namespace {

/// A terminal of its own.
class Terminal {
public:
    Terminal() : master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
        REQUIRE(master >= 0);
        REQUIRE(::grantpt(master) == 0);
        REQUIRE(::unlockpt(master) == 0);
        slave = ::open(::ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
        REQUIRE(slave >= 0);
    }
    Terminal(const Terminal&) = delete;
    Terminal& operator=(const Terminal&) = delete;
    ~Terminal() { ::close(master); }
    int master;
    int slave;  // the test's
};

/// Would keep a socket open for writing.
class Stays : public Protocol {
public:
    bool eof_received() override { return true; }
    void connection_lost(std::exception_ptr) override { lost.set_result(); }
    Future<> lost = get_running_loop().create_future<void>();
};

}  // namespace

TEST_CASE("regression: a terminal that is written to stays open when somebody types") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const Terminal terminal;
        auto writing = co_await loop.connect_write_pipe(recorder(), terminal.slave);
        REQUIRE(::write(terminal.master, "typed\n", 6) == 6);
        co_await sleep(5ms);
        CHECK(writing.protocol->events.text() == "made");
        writing.transport->write("shown");
        writing.transport->close();
        co_await writing.protocol->lost;
        CHECK(writing.protocol->events.text() == "made lost");
    });
}

TEST_CASE("regression: a socket that is written to stays open when its peer sends something") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        int pair[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
        auto writing = co_await loop.connect_write_pipe(recorder(), pair[0]);
        REQUIRE(::write(pair[1], "x", 1) == 1);
        co_await sleep(5ms);
        CHECK(writing.protocol->events.text() == "made");
        ::close(pair[1]);
        writing.transport->write("into the void");
        co_await writing.protocol->lost;
    });
}

TEST_CASE("regression: what the reactor cannot watch is always ready: /dev/null") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto reading = co_await loop.connect_read_pipe(recorder(), ::open("/dev/null", O_RDONLY | O_CLOEXEC));
        co_await reading.protocol->lost;
        CHECK(reading.protocol->events.text() == "made lost");
        auto writing = co_await loop.connect_write_pipe(recorder(), ::open("/dev/null", O_WRONLY | O_CLOEXEC));
        writing.transport->write("gone");
        co_await sleep(1ms);
        CHECK(writing.protocol->events.text() == "made");
        writing.transport->close();
        co_await writing.protocol->lost;
        CHECK(writing.protocol->events.text() == "made lost");
    });
}

TEST_CASE("regression: the end of the stream closes a reading pipe, whatever eof_received() says") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const Pipe pipe;
        auto factory = [] { return std::make_shared<Stays>(); };
        auto reading = co_await loop.connect_read_pipe(factory, pipe.reading());
        ::close(pipe.writing());
        co_await reading.protocol->lost;
        CHECK(::fcntl(pipe.reading(), F_GETFD) == -1);
    });
}

TEST_CASE("what is neither pipe, socket nor device is a ValueError and stays the caller's") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const int file = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        const std::string kind = co_await ending(loop.connect_read_pipe(recorder(), file));
        CHECK(kind == "ValueError");
        CHECK(::fcntl(file, F_GETFD) >= 0);
        ::close(file);
        const std::string none = co_await ending(loop.connect_read_pipe(recorder(), -1));
        CHECK(none == "OSError");
    });
    run_simulated([]() -> Coro<> {
        const Pipe pipe;
        const std::string simulated = co_await ending(get_running_loop().connect_read_pipe(recorder(), pipe.reading()));
        CHECK(simulated == "RuntimeError");
        ::close(pipe.reading());
        ::close(pipe.writing());
    });
}

TEST_CASE("a socket as a pipe, read with a StreamReader of one's own") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        int pair[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
        StreamReader reader(65536);
        auto protocol = std::make_shared<StreamReaderProtocol>(reader);
        auto factory = [protocol] { return protocol; };
        auto pipe = co_await loop.connect_read_pipe(factory, pair[0]);
        REQUIRE(::write(pair[1], "a\nb\n", 4) == 4);
        ::close(pair[1]);
        const auto a = co_await reader.next();
        const auto b = co_await reader.next();
        const auto end = co_await reader.next();
        CHECK(a->str() == "a\n");
        CHECK(b->str() == "b\n");
        CHECK_FALSE(end);
    });
}
