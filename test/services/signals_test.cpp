// Signals from the system: several loops, storms, removal while they arrive. Rule 20 itself is in
// loop/signals_test.cpp.
#include "support/harness.hpp"

#include <atomic>
#include <csignal>
#include <thread>

#include <pthread.h>
#include <unistd.h>

using namespace weft;
using namespace weft::testing;

namespace {

bool has_default_action(int signal_number) {
    struct sigaction now{};
    REQUIRE(::sigaction(signal_number, nullptr, &now) == 0);
    return now.sa_handler == SIG_DFL;
}

std::size_t resident_kib() {
    std::FILE* file = std::fopen("/proc/self/statm", "r");
    REQUIRE(file);
    unsigned long size = 0;
    unsigned long resident = 0;
    REQUIRE(std::fscanf(file, "%lu %lu", &size, &resident) == 2);
    std::fclose(file);
    return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) / 1024;
}

/// Waits until `condition()`, which other threads bring about.
template <class F>
Coro<> until(F condition) {
    while (!condition())
        co_await sleep(1ms);
}

}  // namespace

TEST_CASE("a storm of signals: none blocks, memory stays, and a callback follows the last one") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        constexpr int raises = 100'000;
        int raised = 0;
        int seen_after = 0;  // how many had been raised when the last callback ran
        int calls = 0;
        loop.add_signal_handler(SIGUSR1, [&] {
            ++calls;
            seen_after = raised;
        });
        const std::size_t before = resident_kib();
        for (int i = 0; i < raises; ++i) {
            ++raised;
            std::raise(SIGUSR1);
            if (i % 1000 == 999) co_await sleep(0s);
        }
        auto all_seen = [&] { return seen_after == raises; };
        co_await until(all_seen);
        CHECK(calls >= 1);
        CHECK(calls <= raises);
        CHECK(resident_kib() < before + 8 * 1024);
        loop.remove_signal_handler(SIGUSR1);
    });
}

TEST_CASE("a storm without a turn of the loop in between costs no other signal") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        int storm = 0;
        int other = 0;
        loop.add_signal_handler(SIGUSR1, [&] { ++storm; });
        loop.add_signal_handler(SIGUSR2, [&] { ++other; });
        for (int i = 0; i < 100'000; ++i)
            std::raise(SIGUSR1);
        std::raise(SIGUSR2);
        auto both = [&] { return storm > 0 && other > 0; };
        co_await until(both);
        CHECK(other == 1);
        loop.remove_signal_handler(SIGUSR1);
        loop.remove_signal_handler(SIGUSR2);
    });
}

TEST_CASE("each loop that has a handler runs it, on its own thread, whichever thread gets the signal") {
    constexpr int count = 4;
    std::atomic<int> ready{0};
    std::atomic<int> called{0};
    std::atomic<int> wrong_thread{0};
    std::atomic<bool> over{false};
    std::vector<std::thread> threads;
    for (int i = 0; i < count; ++i) {
        threads.emplace_back([&] {
            run_real([&]() -> Coro<> {
                EventLoop& loop = get_running_loop();
                const std::thread::id own = std::this_thread::get_id();
                Future<> seen = loop.create_future<void>();
                loop.add_signal_handler(SIGUSR1, [&, seen, own]() mutable {
                    if (std::this_thread::get_id() != own) ++wrong_thread;
                    if (!seen.done()) seen.set_result();
                });
                ++ready;
                co_await seen;
                ++called;
                auto is_over = [&] { return over.load(); };
                co_await until(is_over);
                loop.remove_signal_handler(SIGUSR1);
            });
        });
    }
    while (ready < count)
        std::this_thread::yield();
    REQUIRE(::kill(::getpid(), SIGUSR1) == 0);
    while (called < count)
        std::this_thread::yield();
    over = true;
    for (std::thread& thread : threads)
        thread.join();
    CHECK(wrong_thread == 0);
    CHECK(has_default_action(SIGUSR1));
}

TEST_CASE("a loop that removes its handler or closes leaves the others theirs") {
    auto first = make_real_loop();
    auto second = make_real_loop();
    int first_calls = 0;
    int second_calls = 0;
    first->add_signal_handler(SIGUSR1, [&] { ++first_calls; });
    second->add_signal_handler(SIGUSR1, [&] {
        ++second_calls;
        second->stop();
    });
    CHECK(first->remove_signal_handler(SIGUSR1));
    CHECK_FALSE(has_default_action(SIGUSR1));
    std::raise(SIGUSR1);
    second->run_forever();
    CHECK(second_calls == 1);
    first->add_signal_handler(SIGUSR1, [&] { ++first_calls; });
    first->close();
    std::raise(SIGUSR1);
    second->run_forever();
    CHECK(second_calls == 2);
    CHECK(first_calls == 0);
    second->close();
    CHECK(has_default_action(SIGUSR1));
}

TEST_CASE("a signal that came before its handler was removed does not call it, and one handler may remove another") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        void (*const before)(int) = std::signal(SIGUSR2, SIG_IGN);
        int removed_calls = 0;
        Future<> seen = loop.create_future<void>();
        loop.add_signal_handler(SIGUSR1, [&] { ++removed_calls; });
        std::raise(SIGUSR1);
        CHECK(loop.remove_signal_handler(SIGUSR1));
        loop.add_signal_handler(SIGUSR2, [&, seen]() mutable {
            CHECK(loop.remove_signal_handler(SIGUSR2));
            seen.set_result();
        });
        std::raise(SIGUSR2);
        co_await seen;
        co_await turns(100);
        CHECK(removed_calls == 0);
        CHECK(has_default_action(SIGUSR2));
        std::signal(SIGUSR2, before);
    });
}

TEST_CASE("handlers come and go while another thread sends the signal") {
    void (*const before)(int) = std::signal(SIGUSR1, SIG_IGN);
    auto loop = make_real_loop();
    // The process must survive the moments without a handler: this one stays.
    auto keeper = make_real_loop();
    keeper->add_signal_handler(SIGUSR1, [] {});
    std::atomic<bool> over{false};
    std::thread sender([&] {
        while (!over)
            ::kill(::getpid(), SIGUSR1);
    });
    loop->run_until_complete([&]() -> Coro<> {
        for (int i = 0; i < 300; ++i) {
            Future<> seen = loop->create_future<void>();
            loop->add_signal_handler(SIGUSR1, [seen]() mutable {
                if (!seen.done()) seen.set_result();
            });
            co_await seen;
            CHECK(loop->remove_signal_handler(SIGUSR1));
        }
    }());
    over = true;
    sender.join();
    loop->close();
    keeper->close();
    std::signal(SIGUSR1, before);
}

TEST_CASE("a signal does not interrupt the system calls of other threads") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        int ends[2];
        REQUIRE(::pipe(ends) == 0);
        std::atomic<pthread_t> reader{};
        std::atomic<bool> reading{false};
        auto read_one = [&]() -> int {
            reader = ::pthread_self();
            reading = true;
            char byte = 0;
            return ::read(ends[0], &byte, 1) == 1 ? 0 : errno;
        };
        int calls = 0;
        loop.add_signal_handler(SIGUSR1, [&] { ++calls; });
        Future<int> result = loop.run_in_executor(nullptr, read_one);
        auto is_reading = [&] { return reading.load(); };
        co_await until(is_reading);
        for (int i = 1; i <= 20; ++i) {
            ::pthread_kill(reader, SIGUSR1);
            co_await sleep(1ms);
        }
        REQUIRE(::write(ends[1], "x", 1) == 1);
        const int error = co_await result;
        CHECK(error == 0);
        CHECK(calls > 0);
        loop.remove_signal_handler(SIGUSR1);
        ::close(ends[0]);
        ::close(ends[1]);
    });
}

TEST_CASE("an application's own service is asked for signals") {
    class Counting final : public SignalService {
    public:
        void add(int signal_number, UniqueFunction<void()> fn) override {
            number = signal_number;
            handler = std::move(fn);
        }
        bool remove(int signal_number) override { return std::exchange(number, 0) == signal_number; }
        int number = 0;
        UniqueFunction<void()> handler;
    };
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto& service = loop.add_service<Counting>();
        int calls = 0;
        loop.add_signal_handler(SIGTERM, [&] { ++calls; });
        CHECK(service.number == SIGTERM);
        service.handler();
        CHECK(calls == 1);
        CHECK(loop.remove_signal_handler(SIGTERM));
        CHECK_FALSE(loop.remove_signal_handler(SIGTERM));
        CHECK(ending_of_call([&] { loop.add_signal_handler(SIGKILL, [] {}); }) == "RuntimeError");
        co_return;
    });
}
