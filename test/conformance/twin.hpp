#pragma once
// What the C++ twins share. A twin is
//
//     TWIN(34, "cancel while runnable is raised at the next step") { ...; co_return; }
//
// the body of a coroutine, run as the main task of a new loop; with LOOP_TWIN it is a plain function that gets `loop`.
// The loop is simulated; `TWIN(20, "...", real_loop)` asks for one with descriptors, signals and threads. What reaches
// the loop's exception handler is part of the trace. twin.py is the other side; the helpers have the same names and
// give the same words there.

#include "support/harness.hpp"

#include <functional>
#include <string>
#include <thread>
#include <variant>

namespace weft::conformance {

using namespace std::chrono_literals;
using testing::ending;
using testing::ending_of_call;
using testing::error_of;
using testing::error_of_call;
using testing::error_text;
using testing::error_type;
using testing::turns;

/// Adds a line to the trace of the rule that runs.
void trace(std::string line);

/// The exception handler of every twin. Messages lose the name of the library.
void report(EventLoop& loop, const ExceptionContext& context);

inline std::string yes(bool value) {
    return value ? "yes" : "no";
}

/// An error with the errors in it, if it is a group: "ExceptionGroup: message [ValueError: 1, ValueError: 2]".
std::string group_text(const std::exception_ptr& error);

inline detail::Sleep sleep_ms(int milliseconds) {
    return sleep(std::chrono::milliseconds(milliseconds));
}

/// Which loop a twin runs on.
enum class LoopKind : std::uint8_t { simulated, real };
inline constexpr LoopKind real_loop = LoopKind::real;

using CoroBody = Coro<> (*)();
using LoopBody = void (*)(EventLoop& loop);

/// Enters a twin into the list that main() runs from.
class Registration {
public:
    Registration(int number, std::variant<CoroBody, LoopBody> body, const char* what,
                 LoopKind kind = LoopKind::simulated);
};

#define TWIN(number, ...)                                                                                              \
    static ::weft::Coro<> rule_##number();                                                                             \
    static const ::weft::conformance::Registration registration_##number(number, &rule_##number, __VA_ARGS__);         \
    static ::weft::Coro<> rule_##number()

#define LOOP_TWIN(number, ...)                                                                                         \
    static void rule_##number(::weft::EventLoop& loop);                                                                \
    static const ::weft::conformance::Registration registration_##number(number, &rule_##number, __VA_ARGS__);         \
    static void rule_##number([[maybe_unused]] ::weft::EventLoop& loop)

}  // namespace weft::conformance
