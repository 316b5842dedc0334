#pragma once

// What the task benchmarks share: the sizes, the clock, and the output `name ns_per_op`.
//
//     bench::report("switch", bench::tasks * bench::switches_per_task, [] { return bench::cpu_time_of([] { ... }); });
//
// The operations, the same in every program:
//
//   switch         `tasks` tasks each give way to the others `switches_per_task` times; per time. Few tasks, so that
//                  what a loop does once per round, such as asking the kernel for events, is not hidden by their number
//   switch_socket  the same while an accept is pending on a listening socket
//   spawn_join     one task spawns an empty task and waits for its end, `spawns` times; per spawn
//   await_child    one task awaits a child coroutine that returns a number at once, `awaits` times; per await
//   call_soon      `calls` callbacks scheduled in batches of `calls_per_batch`, and run; per callback
//   timer_cancel   `timers` timers armed at random deadlines from one to two hours ahead, all cancelled in the order
//                  of arming, and what the cancelling leaves for the loop is run; per timer, arming included
//   timer_fire     `timers` timers armed at random deadlines within 100 ms, then the loop runs till all have fired;
//                  per timer, arming included
//   gather         one task gathers `children_per_gather` empty children, `gathers` times; per child
//   cancel         `cancels_per_batch` tasks wait on a timer and all are cancelled; from the cancelling till all have
//                  unwound and ended, without their start; per task
//   queue          two tasks hand an item there and back through two queues, `round_trips` times; per round trip, which
//                  is two puts, two gets that have to wait, and two switches
//   lock           one task takes a lock that nobody else wants and releases it, `lock_rounds` times; per time
//   event          two tasks wake each other through two events, `round_trips` times; per round trip, which is two
//                  sets, two waits, and two switches
//   eager          `spawns` tasks that start at once and end there; per task
//   context_get    a context variable is read, `lock_rounds` times; per time
//   executor       one task has a function run on a pool of one thread and waits for its end, `executor_rounds` times;
//                  per time, the CPU of both threads
//   executor_socket  the same while an accept is pending on a listening socket
//   round_trip, round_trip_socket  the two before by the clock in place of CPU, on all cores of the machine
//   threadsafe     another thread schedules `calls` callbacks on the loop as fast as it can, and they run; per
//                  callback, the CPU of both threads

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <string_view>
#include <vector>

#include <malloc.h>

namespace bench {

inline constexpr int tasks = 2;
inline constexpr int switches_per_task = 500'000;
inline constexpr int spawns = 1'000'000;
inline constexpr int awaits = 2'000'000;
inline constexpr int calls = 1'000'000;
inline constexpr int calls_per_batch = 1'000;
inline constexpr int timers = 1'000'000;
inline constexpr int children_per_gather = 1'000;
inline constexpr int gathers = 500;
inline constexpr int cancels_per_batch = 1'000;
inline constexpr int cancel_batches = 20;
inline constexpr int round_trips = 500'000;
inline constexpr int lock_rounds = 5'000'000;
inline constexpr int executor_rounds = 20'000;

/// The operations that were asked for; all of them if that is empty.
inline std::vector<std::string_view> chosen;

/// First thing in main(): the arguments name the operations to measure. The heap keeps what it was given, so that the
/// first repetition, which does not count, pays for the kernel's handing out of pages.
inline void begin(int argc, char** argv) {
    chosen.assign(argv + 1, argv + argc);
    mallopt(M_TRIM_THRESHOLD, -1);
    mallopt(M_MMAP_MAX, 0);
}

/// What time is: CPU of this process, except in report_elapsed().
inline clockid_t clock = CLOCK_PROCESS_CPUTIME_ID;

/// Nanoseconds of CPU this process has used.
inline double cpu_time() {
    std::timespec time{};
    clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

/// Nanoseconds of CPU that `work` takes.
template <class Work>
double cpu_time_of(Work&& work) {
    const double begin = cpu_time();
    work();
    return cpu_time() - begin;
}

/// Keeps the optimizer from removing the computation of `value`.
inline void keep(std::int64_t value) {
    [[maybe_unused]] volatile std::int64_t kept = value;
}

/// A fixed sequence of numbers in [0, bound).
class Random {
public:
    std::int64_t below(std::int64_t bound) {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return static_cast<std::int64_t>(state_ % static_cast<std::uint64_t>(bound));
    }

private:
    std::uint64_t state_ = 0x9e3779b97f4a7c15;
};

/// Prints `name ns_per_op`: the median of five repetitions after one that does not count. `repetition` returns the
/// nanoseconds it took for `operations`.
template <class Repetition>
void report(const char* name, double operations, Repetition&& repetition) {
    if (!chosen.empty() && std::find(chosen.begin(), chosen.end(), name) == chosen.end()) return;
    std::array<double, 5> times{};
    repetition();
    for (double& time : times)
        time = repetition();
    std::sort(times.begin(), times.end());
    std::printf("%s %.2f\n", name, times[times.size() / 2] / operations);
    std::fflush(stdout);
}

/// The same by the clock on the wall.
template <class Repetition>
void report_elapsed(const char* name, double operations, Repetition&& repetition) {
    clock = CLOCK_MONOTONIC;
    report(name, operations, repetition);
    clock = CLOCK_PROCESS_CPUTIME_ID;
}

}  // namespace bench
