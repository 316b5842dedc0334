// Watching descriptors. Real loops only: a simulated one has none.
#include "support/harness.hpp"

#include <unistd.h>

using namespace weft;
using namespace weft::testing;

namespace {

class Pipe {
public:
    Pipe() { REQUIRE(::pipe(ends) == 0); }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    ~Pipe() {
        ::close(ends[0]);
        ::close(ends[1]);
    }
    int read_end() const { return ends[0]; }
    int write_end() const { return ends[1]; }
    void put() const { REQUIRE(::write(ends[1], "x", 1) == 1); }
    void get() const {
        char byte;
        REQUIRE(::read(ends[0], &byte, 1) == 1);
    }

private:
    int ends[2];
};

}  // namespace

TEST_CASE("add_reader calls back for as long as there is something to read") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Pipe pipe;
        Future<> twice = loop.create_future<void>();
        int calls = 0;
        loop.add_reader(pipe.read_end(), [&, twice]() mutable {
            if (++calls == 2) {
                pipe.get();
                twice.set_result();
            }
        });
        co_await turns(70);  // at least one poll
        CHECK(calls == 0);
        pipe.put();
        co_await twice;
        co_await turns(70);
        CHECK(calls == 2);
        CHECK(loop.remove_reader(pipe.read_end()));
        CHECK_FALSE(loop.remove_reader(pipe.read_end()));
        pipe.put();
        co_await turns(70);
        CHECK(calls == 2);
    });
}

TEST_CASE("one descriptor may be watched for reading and for writing") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Pipe pipe;
        Trace trace;
        Future<> written = loop.create_future<void>();
        Future<> read = loop.create_future<void>();
        loop.add_writer(pipe.write_end(), [&, written]() mutable {
            trace("writable");
            pipe.put();
            CHECK(loop.remove_writer(pipe.write_end()));
            written.set_result();
        });
        loop.add_reader(pipe.read_end(), [&, read]() mutable {
            trace("readable");
            pipe.get();
            CHECK(loop.remove_reader(pipe.read_end()));
            read.set_result();
        });
        co_await written;
        co_await read;
        CHECK(trace.text() == "writable readable");
    });
}

TEST_CASE("rule 18: removing a watcher in the same iteration cancels its queued callback") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Pipe one;
        Pipe two;
        Future<> called = loop.create_future<void>();
        int calls = 0;
        const auto remove_both = [&, called]() mutable {
            ++calls;
            loop.remove_reader(one.read_end());
            loop.remove_reader(two.read_end());
            if (!called.done()) called.set_result();
        };
        loop.add_reader(one.read_end(), remove_both);
        loop.add_reader(two.read_end(), remove_both);
        one.put();
        two.put();
        co_await called;
        co_await turns(200);
        CHECK(calls == 1);
    });
}

TEST_CASE("rule 18: a watcher removed before its first callback never calls") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Pipe pipe;
        int calls = 0;
        pipe.put();
        loop.add_reader(pipe.read_end(), [&] { ++calls; });
        CHECK(loop.remove_reader(pipe.read_end()));
        co_await turns(200);
        CHECK(calls == 0);
    });
}

TEST_CASE("rule 19: a second add_reader replaces the first") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Pipe pipe;
        Future<> called = loop.create_future<void>();
        Trace trace;
        auto first = std::make_shared<int>(0);
        loop.add_reader(pipe.read_end(), [&trace, first] { trace("first"); });
        pipe.put();
        loop.add_reader(pipe.read_end(), [&, called]() mutable {
            trace("second");
            loop.remove_reader(pipe.read_end());
            called.set_result();
        });
        co_await called;
        co_await turns(200);
        CHECK(trace.text() == "second");
        CHECK(first.use_count() == 1);
        CHECK_FALSE(loop.remove_reader(pipe.read_end()));
    });
}

TEST_CASE("an exception of a watcher's callback is reported, and the watch goes on") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Reports reports(loop);
        Pipe pipe;
        Future<> again = loop.create_future<void>();
        int calls = 0;
        loop.add_reader(pipe.read_end(), [&, again]() mutable {
            if (++calls == 1) throw ValueError("reader");
            loop.remove_reader(pipe.read_end());
            again.set_result();
        });
        pipe.put();
        co_await again;
        CHECK(calls == 2);
        REQUIRE(reports.size() == 1);
        CHECK(error_text(reports[0].exception) == "ValueError: reader");
    });
}

TEST_CASE("a descriptor that cannot be watched is an error, and leaves nothing behind") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        CHECK(ending_of_call([&] { loop.add_reader(-1, [] {}); }) == "ValueError");
        Pipe other;
        loop.add_reader(other.read_end(), [] {});  // now the backend has opened what it needs
        int closed;
        {
            Pipe pipe;
            closed = pipe.read_end();
        }
        CHECK(ending_of_call([&] { loop.add_reader(closed, [] {}); }) == "OSError");
        CHECK_FALSE(loop.remove_reader(closed));
        co_return;
    });
}

TEST_CASE("a file is always ready and is not watched: PermissionError") {
    run_real([]() -> Coro<> {
        std::FILE* const stream = std::fopen("/proc/self/exe", "rb");
        REQUIRE(stream);
        const int file = ::fileno(stream);
        CHECK(ending_of_call([&] { get_running_loop().add_reader(file, [] {}); }) == "PermissionError");
        CHECK_FALSE(get_running_loop().remove_reader(file));
        std::fclose(stream);
        co_return;
    });
}

TEST_CASE("closing the loop lets go of its watchers") {
    Pipe pipe;
    auto token = std::make_shared<int>(0);
    auto loop = make_real_loop();
    loop->add_reader(pipe.read_end(), [token] {});
    loop->add_writer(pipe.write_end(), [token] {});
    loop->close();
    CHECK(token.use_count() == 1);
    CHECK_FALSE(loop->remove_reader(pipe.read_end()));
}

TEST_CASE("a simulated loop has no descriptors") {
    run_simulated([]() -> Coro<> {
        CHECK(ending_of_call([] { get_running_loop().add_reader(0, [] {}); }) == "RuntimeError");
        CHECK_FALSE(get_running_loop().remove_reader(0));
        co_return;
    });
}
