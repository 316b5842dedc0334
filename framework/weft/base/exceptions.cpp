#include <weft/base/exceptions.hpp>

#include <cxxabi.h>

#include <cstdlib>
#include <memory>
#include <typeinfo>

namespace weft {

namespace {

std::exception_ptr typed_os_error(std::error_code code, const std::string& what) {
    // Comparing with std::errc also maps codes of Asio's own categories that stand for the same condition.
    if (code == std::errc::connection_refused) return std::make_exception_ptr(ConnectionRefusedError(code, what));
    if (code == std::errc::connection_reset) return std::make_exception_ptr(ConnectionResetError(code, what));
    if (code == std::errc::connection_aborted) return std::make_exception_ptr(ConnectionAbortedError(code, what));
    if (code == std::errc::broken_pipe) return std::make_exception_ptr(BrokenPipeError(code, what));
    if (code == std::errc::timed_out) return std::make_exception_ptr(TimeoutError(code, what));
    if (code == std::errc::permission_denied || code == std::errc::operation_not_permitted)
        return std::make_exception_ptr(PermissionError(code, what));
    if (code == std::errc::no_such_file_or_directory) return std::make_exception_ptr(FileNotFoundError(code, what));
    if (code == std::errc::no_such_process) return std::make_exception_ptr(ProcessLookupError(code, what));
    return std::make_exception_ptr(OSError(code, what));
}

}  // namespace

std::exception_ptr make_os_error(std::error_code code, const std::string& what) noexcept {
    try {
        return typed_os_error(code, what);
    } catch (...) {
        return std::current_exception();
    }
}

void throw_os_error(std::error_code code, const std::string& what) {
    std::rethrow_exception(make_os_error(code, what));
}

IncompleteReadError::IncompleteReadError(Bytes partial, std::optional<std::size_t> expected)
    : std::runtime_error(std::to_string(partial.size()) + " bytes read on a total of " +
                         (expected ? std::to_string(*expected) : "undefined") + " expected bytes"),
      partial_(std::move(partial)),
      expected_(expected) {}

std::string detail::demangle(const char* name) {
    int status = 0;
    const std::unique_ptr<char, decltype(&std::free)> readable(abi::__cxa_demangle(name, nullptr, nullptr, &status),
                                                               &std::free);
    return status == 0 ? readable.get() : name;
}

std::string describe_exception(const std::exception_ptr& error) {
    if (!error) return "no exception";
    try {
        std::rethrow_exception(error);
    } catch (const std::exception& e) {
        return detail::demangle(typeid(e).name()) + ": " + e.what();
    } catch (const CancelledError& e) {
        return e.message().empty() ? "weft::CancelledError" : "weft::CancelledError: " + e.message();
    } catch (const KeyboardInterrupt&) {
        return "weft::KeyboardInterrupt";
    } catch (const SystemExit& e) {
        return "weft::SystemExit: " + std::to_string(e.code());
    } catch (...) {
        const std::type_info* type = abi::__cxa_current_exception_type();
        return type ? detail::demangle(type->name()) : "an exception that is not from C++";
    }
}

ExceptionGroup::ExceptionGroup(std::string message, std::vector<std::exception_ptr> exceptions)
    : message_(std::move(message)), exceptions_(std::move(exceptions)) {
    what_ = message_ + " (" + std::to_string(exceptions_.size()) +
            (exceptions_.size() == 1 ? " sub-exception)" : " sub-exceptions)");
    for (const std::exception_ptr& error : exceptions_) {
        std::string line = describe_exception(error);
        what_ += "\n  + ";
        for (char c : line) {
            what_ += c;
            if (c == '\n') what_ += "  | ";
        }
    }
}

std::pair<std::optional<ExceptionGroup>, std::optional<ExceptionGroup>> ExceptionGroup::split_if(
    Condition condition) const {
    std::vector<std::exception_ptr> matched;
    std::vector<std::exception_ptr> rest;
    for (const std::exception_ptr& error : exceptions_) {
        if (condition(error)) {
            matched.push_back(error);
            continue;
        }
        try {
            std::rethrow_exception(error);
        } catch (const ExceptionGroup& nested) {
            auto [inner, others] = nested.split_if(condition);
            if (inner) matched.push_back(std::make_exception_ptr(std::move(*inner)));
            if (others) rest.push_back(std::make_exception_ptr(std::move(*others)));
        } catch (...) {
            rest.push_back(error);
        }
    }
    std::pair<std::optional<ExceptionGroup>, std::optional<ExceptionGroup>> result;
    if (!matched.empty()) result.first.emplace(message_, std::move(matched));
    if (!rest.empty()) result.second.emplace(message_, std::move(rest));
    return result;
}

}  // namespace weft
