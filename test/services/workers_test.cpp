#include "support/harness.hpp"

#include <weft/services/workers.hpp>

#include <atomic>
#include <csignal>
#include <mutex>
#include <set>
#include <thread>

#include <unistd.h>

using namespace weft;
using namespace weft::testing;

namespace {

/// Captures what run_workers prints, which is not for the test's output.
class Quiet {
public:
    Quiet() : saved_(::dup(2)) {
        if (std::FILE* nowhere = std::fopen("/dev/null", "w")) {
            ::dup2(::fileno(nowhere), 2);
            std::fclose(nowhere);
        }
    }
    Quiet(const Quiet&) = delete;
    Quiet& operator=(const Quiet&) = delete;
    ~Quiet() {
        ::dup2(saved_, 2);
        ::close(saved_);
    }

private:
    const int saved_;
};

}  // namespace

TEST_CASE("each worker runs on a thread and a loop of its own") {
    std::mutex mutex;
    std::atomic<int> here = 0;
    std::set<std::thread::id> threads;
    std::set<const EventLoop*> loops;
    std::set<std::size_t> indices;
    const int status = run_workers(3, [&](Worker& worker) -> Coro<> {
        {
            const std::lock_guard lock(mutex);
            threads.insert(std::this_thread::get_id());
            loops.insert(&get_running_loop());
            indices.insert(worker.index());
            CHECK(worker.count() == 3);
            ++here;
        }
        // All at the same time: a loop that has ended would give its address away.
        while (here < 3)
            co_await sleep(1ms);
    });
    CHECK(status == 0);
    CHECK(threads.size() == 3);
    CHECK(threads.contains(std::this_thread::get_id()));
    CHECK(loops.size() == 3);
    CHECK(indices == std::set<std::size_t>{0, 1, 2});
}

TEST_CASE("workers that take nothing, and the status of one that gives a number") {
    std::atomic<int> runs = 0;
    CHECK(run_workers(2, [&]() -> Coro<> {
              ++runs;
              co_return;
          }) == 0);
    CHECK(runs == 2);
    CHECK(run_workers(2, [](Worker& worker) -> Coro<int> { co_return worker.index() == 1 ? 7 : 0; }) == 7);
}

TEST_CASE("no worker is a ValueError") {
    const auto none = []() -> Coro<> { co_return; };
    CHECK(ending_of_call([&] { (void)run_workers(0, none); }) == "ValueError");
}

TEST_CASE("stop() cancels the main task of every worker, which cleans up") {
    std::atomic<int> cleaned = 0;
    const int status = run_workers(3, [&](Worker& worker) -> Coro<> {
        std::exception_ptr cancelled;
        if (worker.index() == 2) get_running_loop().call_later(5ms, [&worker] { worker.stop(); });
        try {
            co_await sleep(1h);
        } catch (const CancelledError&) {
            cancelled = std::current_exception();
        }
        co_await sleep(1ms);
        ++cleaned;
        std::rethrow_exception(cancelled);
    });
    CHECK(status == 0);
    CHECK(cleaned == 3);
}

TEST_CASE("stop() before the others have begun keeps them from running") {
    for (int round = 0; round < 20; ++round) {
        const int status = run_workers(4, [](Worker& worker) -> Coro<> {
            worker.stop();
            co_await sleep(1h);
        });
        CHECK(status == 0);
    }
}

TEST_CASE("an error in one worker ends them all, with status 1") {
    std::atomic<int> cancelled = 0;
    const Quiet quiet;
    const int status = run_workers(3, [&](Worker& worker) -> Coro<> {
        if (worker.index() == 1) throw ValueError("bad");
        try {
            co_await sleep(1h);
        } catch (const CancelledError&) {
            ++cancelled;
            throw;
        }
    });
    CHECK(status == 1);
    CHECK(cancelled <= 2);
}

TEST_CASE("rule 117: Ctrl-C cancels every worker, with status 130") {
    /// The test framework handles SIGINT; a program does not.
    class DefaultInterrupt {
    public:
        DefaultInterrupt() : before_(std::signal(SIGINT, SIG_DFL)) {}
        DefaultInterrupt(const DefaultInterrupt&) = delete;
        DefaultInterrupt& operator=(const DefaultInterrupt&) = delete;
        ~DefaultInterrupt() { std::signal(SIGINT, before_); }

    private:
        void (*const before_)(int);
    } const interrupt;
    std::atomic<int> waiting = 0;
    std::atomic<int> cancelled = 0;
    const int status = run_workers(2, [&](Worker& worker) -> Coro<> {
        ++waiting;
        if (worker.index() == 0) {
            while (waiting < 2)
                co_await sleep(1ms);
            ::kill(::getpid(), SIGINT);
        }
        try {
            co_await sleep(1h);
        } catch (const CancelledError&) {
            ++cancelled;
            throw;
        }
    });
    CHECK(status == 130);
    CHECK(cancelled == 2);
}

TEST_CASE("workers call each other's loops, in the order of the calls, also before the other has begun") {
    std::vector<int> received;  // by worker 0's thread only
    constexpr int calls = 1000;
    const int status = run_workers(2, [&](Worker& worker) -> Coro<> {
        if (worker.index() == 1) {
            for (int i = 0; i < calls; ++i)
                CHECK(worker.call_soon_threadsafe(0, [&received, i] { received.push_back(i); }));
            CHECK(ending_of_call([&] { (void)worker.call_soon_threadsafe(2, [] {}); }) == "ValueError");
            co_return;
        }
        while (received.size() < calls)
            co_await sleep(1ms);
    });
    CHECK(status == 0);
    CHECK(received.size() == calls);
    CHECK(std::is_sorted(received.begin(), received.end()));
}

TEST_CASE("workers share a port by reuse_port and serve together") {
    std::atomic<int> port = 0;
    std::atomic<int> served[2] = {0, 0};
    const int status = run_workers(2, [&](Worker& worker) -> Coro<> {
        const auto handler = [&served, &worker](StreamReader reader, StreamWriter writer) -> Coro<> {
            ++served[worker.index()];
            const Bytes data = co_await reader.read(100);
            writer.write(data);
            co_await writer.drain();
            writer.close();
        };
        if (worker.index() == 1)
            while (port == 0)
                co_await sleep(1ms);
        Server server =
            co_await start_server(handler, "127.0.0.1", port, ServerOptions().reuse_port(true).backlog(512));
        if (worker.index() == 0) {
            port = server.sockets().front().port();
        } else {
            // Connections from here reach either worker.
            for (int i = 0; i < 200; ++i) {
                auto [reader, writer] = co_await open_connection("127.0.0.1", port);
                writer.write("x");
                const Bytes answer = co_await reader.read(100);
                CHECK(answer.size() == 1);
                writer.close();
            }
            worker.stop();
        }
        co_await server.serve_forever();
    });
    CHECK(status == 0);
    CHECK(served[0] + served[1] == 200);
    CHECK(served[0] > 0);
    CHECK(served[1] > 0);
}
