// create_subprocess_exec and wait() in a loop.
//     weft_spawn COUNT    prints the seconds that COUNT programs took, and what they have left behind
#include <weft/weft.hpp>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iterator>

#include <sys/wait.h>

namespace {

long open_descriptors() {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return std::distance(begin(all), end(all));
}

/// One that runs counts as well as one that nobody has reaped.
bool has_children() {
    siginfo_t info{};
    return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

weft::Coro<int> spawn(int count) {
    const auto run_one = []() -> weft::Coro<int> {
        const weft::Process process = co_await weft::create_subprocess_exec("/bin/true");
        co_return co_await process.wait();
    };
    if (co_await run_one() != 0) co_return 1;
    const long before = open_descriptors();
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < count; ++i) {
        const int status = co_await run_one();
        if (status != 0) co_return 1;
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    co_await weft::sleep(std::chrono::milliseconds(1));
    std::printf("seconds %.6f\ndescriptors %ld\nchildren %d\n", took.count(), open_descriptors() - before,
                has_children() ? 1 : 0);
    co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
    return weft::run(spawn(argc > 1 ? std::atoi(argv[1]) : 1000));
}
