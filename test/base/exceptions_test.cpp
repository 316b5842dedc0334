#include "support/harness.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

template <class E, class... A>
std::exception_ptr error(A&&... args) {
    return std::make_exception_ptr(E(std::forward<A>(args)...));
}
ExceptionGroup group(std::string message, std::vector<std::exception_ptr> errors) {
    return ExceptionGroup(std::move(message), std::move(errors));
}
std::exception_ptr as_error(ExceptionGroup value) {
    return std::make_exception_ptr(std::move(value));
}
/// "m(a,n(b))": the shape of a group.
std::string shape(const ExceptionGroup& of) {
    std::string text;
    for (const auto& inner : of.exceptions()) {
        if (!text.empty()) text += ",";
        try {
            std::rethrow_exception(inner);
        } catch (const ExceptionGroup& nested) {
            text += shape(nested);
        } catch (const std::exception& e) {
            text += e.what();
        } catch (...) {
            text += error_text(std::current_exception());
        }
    }
    return of.message() + "(" + text + ")";
}
ExceptionGroup sample() {
    return group("g", {error<ValueError>("v1"), error<RuntimeError>("r1"),
                       as_error(group("n", {error<ValueError>("v2"), error<RuntimeError>("r2")})),
                       as_error(group("m", {error<RuntimeError>("r3")}))});
}

static_assert(!std::is_base_of_v<std::exception, CancelledError>);
static_assert(!std::is_base_of_v<std::exception, KeyboardInterrupt>);
static_assert(!std::is_base_of_v<std::exception, SystemExit>);
static_assert(std::is_base_of_v<std::system_error, OSError> && std::is_base_of_v<OSError, TimeoutError>);
static_assert(std::is_base_of_v<ConnectionError, ConnectionResetError>);

}  // namespace

TEST_CASE("split gives the errors of a type and the rest, nesting kept") {
    auto [matched, rest] = sample().split<ValueError>();
    REQUIRE(matched);
    REQUIRE(rest);
    CHECK(shape(*matched) == "g(v1,n(v2))");
    CHECK(shape(*rest) == "g(r1,n(r2),m(r3))");
    auto [all, none] = sample().split<std::exception>();
    CHECK(all);
    CHECK_FALSE(none);
    auto [nothing, everything] = sample().split<OSError>();
    CHECK_FALSE(nothing);
    CHECK(shape(*everything) == shape(sample()));
}

TEST_CASE("subgroup gives the errors of a type, or nothing") {
    const auto values = sample().subgroup<ValueError>();
    REQUIRE(values);
    CHECK(shape(*values) == "g(v1,n(v2))");
    CHECK_FALSE(sample().subgroup<TimeoutError>());
}

TEST_CASE("handle calls for each error of the type, or once with the group, and returns the rest") {
    std::string seen;
    const ExceptionGroup rest = sample().handle<ValueError>([&](const ValueError& e) { seen += e.what(); });
    CHECK(seen == "v1v2");
    CHECK(shape(rest) == "g(r1,n(r2),m(r3))");
    CHECK(ending_of_call([&] { rest.raise(); }).starts_with("ExceptionGroup"));
    int calls = 0;
    const ExceptionGroup empty = sample().handle<std::exception>([&](const ExceptionGroup& matched) {
        ++calls;
        CHECK(matched.exceptions().size() == 4);
    });
    CHECK(calls == 1);
    CHECK(empty.empty());
    empty.raise();  // nothing is left: does not throw
}

TEST_CASE("a group may hold what does not derive from std::exception") {
    const ExceptionGroup mixed =
        group("x", {error<CancelledError>("c"), error<SystemExit>(2), std::make_exception_ptr(7)});
    CHECK(shape(mixed) == "x(CancelledError: c,SystemExit: 2,int)");
    const auto cancelled = mixed.subgroup<CancelledError>();
    REQUIRE(cancelled);
    CHECK(cancelled->exceptions().size() == 1);
}

TEST_CASE("what() of a group lists what it holds") {
    const std::string text = sample().what();
    CHECK(text.starts_with("g (4 sub-exceptions)"));
    CHECK(text.find("weft::ValueError: v1") != std::string::npos);
    CHECK(text.find("n (2 sub-exceptions)") != std::string::npos);
    CHECK(text.find("weft::RuntimeError: r3") != std::string::npos);
}

TEST_CASE("system errors become the typed exception") {
    const auto type_of = [](std::errc code) {
        return error_type(make_os_error(std::make_error_code(code), "connect"));
    };
    CHECK(type_of(std::errc::connection_refused) == "ConnectionRefusedError");
    CHECK(type_of(std::errc::connection_reset) == "ConnectionResetError");
    CHECK(type_of(std::errc::connection_aborted) == "ConnectionAbortedError");
    CHECK(type_of(std::errc::broken_pipe) == "BrokenPipeError");
    CHECK(type_of(std::errc::timed_out) == "TimeoutError");
    CHECK(type_of(std::errc::permission_denied) == "PermissionError");
    CHECK(type_of(std::errc::no_such_file_or_directory) == "FileNotFoundError");
    CHECK(type_of(std::errc::no_such_process) == "ProcessLookupError");
    CHECK(type_of(std::errc::address_in_use) == "OSError");
    try {
        throw_os_error(std::error_code(ECONNREFUSED, std::system_category()), "here");
    } catch (const ConnectionRefusedError& e) {
        CHECK(e.code() == std::errc::connection_refused);
        CHECK(std::string(e.what()).starts_with("here"));
    }
}

TEST_CASE("describe_exception names type and message") {
    CHECK(describe_exception(error<ValueError>("v")) == "weft::ValueError: v");
    CHECK(describe_exception(error<CancelledError>()) == "weft::CancelledError");
    CHECK(describe_exception(error<CancelledError>("m")) == "weft::CancelledError: m");
    CHECK(describe_exception(error<KeyboardInterrupt>()) == "weft::KeyboardInterrupt");
    CHECK(describe_exception(error<SystemExit>(3)) == "weft::SystemExit: 3");
    CHECK(describe_exception(std::make_exception_ptr(1)) == "int");
    CHECK(describe_exception(nullptr) == "no exception");
}

TEST_CASE("IncompleteReadError and LimitOverrunError carry their numbers") {
    const IncompleteReadError some(Bytes("ab"), 5);
    CHECK(some.partial() == "ab");
    CHECK(some.expected() == 5);
    CHECK(std::string(some.what()) == "2 bytes read on a total of 5 expected bytes");
    const IncompleteReadError unknown(Bytes(), std::nullopt);
    CHECK_FALSE(unknown.expected());
    CHECK(std::string(unknown.what()) == "0 bytes read on a total of undefined expected bytes");
    CHECK(LimitOverrunError("x", 9).consumed() == 9);
}
