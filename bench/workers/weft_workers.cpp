// An echo server that computes before it answers, on several threads: WORKERS PORT MICROSECONDS
#include <weft/weft.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

using namespace weft;

namespace {

/// Steps of a generator of pseudo-random numbers; what it gives must be used.
std::uint64_t compute(std::uint64_t value, long steps) {
    for (long i = 0; i < steps; ++i)
        value = value * 6364136223846793005 + 1442695040888963407;
    return value;
}

/// How many steps this core makes in a microsecond.
long steps_per_microsecond() {
    constexpr long steps = 20'000'000;
    const auto begin = std::chrono::steady_clock::now();
    volatile std::uint64_t kept = compute(1, steps);
    (void)kept;
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
    return static_cast<long>(steps / took.count());
}

Coro<> serve(Worker& worker, int port, long steps) {
    auto answer = [steps](StreamReader reader, StreamWriter writer) -> Coro<> {
        std::uint64_t value = 1;
        while (true) {
            const Bytes data = co_await reader.read(65536);
            if (data.empty()) break;
            value = compute(value, steps);
            // Never true, which the compiler does not know.
            if (value == 0) break;
            writer.write(data);
            co_await writer.drain();
        }
    };
    Server server = co_await start_server(answer, "127.0.0.1", port, ServerOptions().reuse_port(true));
    std::printf("worker %zu\n", worker.index());
    std::fflush(stdout);
    co_await server.serve_forever();
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) {
        std::fputs("usage: weft_workers WORKERS PORT MICROSECONDS\n", stderr);
        return 2;
    }
    const int port = std::atoi(argv[2]);
    const long steps = steps_per_microsecond() * std::atol(argv[3]);
    auto main = [port, steps](Worker& worker) -> Coro<> { return serve(worker, port, steps); };
    return run_workers(static_cast<std::size_t>(std::atol(argv[1])), main);
}
