// The program of the C++ twins: `test_conformance RULE...` prints the trace of each rule named; without a rule, of all.
#define DOCTEST_CONFIG_IMPLEMENT  // the harness refers to doctest
#include <doctest/doctest.h>

#include "twin.hpp"

#include <cstdio>
#include <map>

namespace weft::conformance {

namespace {

struct Twin {
    std::variant<CoroBody, LoopBody> body;
    LoopKind kind;
};

std::map<int, Twin>& twins() {
    static std::map<int, Twin> all;
    return all;
}

std::vector<std::string> lines;

void run(const Twin& twin) {
    const auto make_loop = [&twin] {
        auto loop = twin.kind == LoopKind::real ? testing::make_real_loop() : testing::make_simulated_loop();
        loop->set_exception_handler(report);
        return loop;
    };
    if (const auto* body = std::get_if<CoroBody>(&twin.body)) {
        Runner runner(RunOptions().loop_factory(make_loop));
        runner.run((*body)());
        runner.close();
    } else {
        const auto loop = make_loop();
        std::get<LoopBody>(twin.body)(*loop);
        loop->close();
    }
}

void print_trace(int number, const Twin& twin) {
    lines.clear();
    try {
        run(twin);
    } catch (...) {
        trace("unexpected " + error_text(std::current_exception()));
    }
    std::printf("== %d\n", number);
    for (const std::string& line : lines)
        std::printf("%s\n", line.c_str());
    std::fflush(stdout);
}

}  // namespace

void trace(std::string line) {
    lines.push_back(std::move(line));
}

void report(EventLoop&, const ExceptionContext& context) {
    std::string message = context.message;
    if (message.starts_with("Exception in callback")) message = "Exception in callback";
    if (const auto found = message.find("weft::"); found != std::string::npos) message.erase(found, 6);
    trace("report: " + message + ": " + group_text(context.exception));
}

std::string group_text(const std::exception_ptr& error) {
    if (!error) return error_text(error);
    try {
        std::rethrow_exception(error);
    } catch (const ExceptionGroup& group) {
        std::string inner;
        for (const std::exception_ptr& each : group.exceptions())
            inner += (inner.empty() ? "" : ", ") + group_text(each);
        return "ExceptionGroup: " + group.message() + " [" + inner + "]";
    } catch (...) {
        return error_text(error);
    }
}

Registration::Registration(int number, std::variant<CoroBody, LoopBody> body, const char*, LoopKind kind) {
    twins().emplace(number, Twin{body, kind});
}

}  // namespace weft::conformance

int main(int argc, char** argv) {
    using namespace weft::conformance;
    if (argc == 1)
        for (const auto& [number, twin] : twins())
            print_trace(number, twin);
    for (int i = 1; i < argc; ++i) {
        const auto found = twins().find(std::atoi(argv[i]));
        if (found == twins().end()) {
            std::fprintf(stderr, "no twin of rule %s\n", argv[i]);
            return 2;
        }
        print_trace(found->first, found->second);
    }
    return 0;
}
