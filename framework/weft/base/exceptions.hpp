#pragma once
// Every exception of the core.
//
//     try { co_await reader.readexactly(4); }
//     catch (const weft::IncompleteReadError& error) { use(error.partial()); }
//
// CancelledError, KeyboardInterrupt and SystemExit do not derive from std::exception, as asyncio's do not derive from
// Exception: `catch (const std::exception&)` lets them through. Errors of the system derive from std::system_error.

#include <weft/base/bytes.hpp>

#include <cstddef>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace weft {

/// Thrown at the await of a task that was cancelled (asyncio.CancelledError). Let it pass, or rethrow it after cleaning
/// up; a coroutine that catches it and returns refuses the cancellation.
class CancelledError {
public:
    CancelledError() = default;
    explicit CancelledError(std::string message) : message_(std::move(message)) {}
    /// What was given to cancel(), or an empty string.
    const std::string& message() const noexcept { return message_; }

private:
    std::string message_;
};

/// Leaves the loop at once when thrown in a callback or task: Ctrl-C (Python's KeyboardInterrupt).
class KeyboardInterrupt {};

/// Leaves the loop at once when thrown in a callback or task, and the program with `code` (Python's SystemExit).
class SystemExit {
public:
    explicit SystemExit(int code = 0) noexcept : code_(code) {}
    int code() const noexcept { return code_; }

private:
    int code_;
};

/// A call that the object's state does not allow (Python's RuntimeError).
class RuntimeError : public std::runtime_error {
    using std::runtime_error::runtime_error;
};
/// An argument outside its allowed values (Python's ValueError).
class ValueError : public std::invalid_argument {
    using std::invalid_argument::invalid_argument;
};
/// A context variable without a value (Python's LookupError).
class LookupError : public std::out_of_range {
    using std::out_of_range::out_of_range;
};
/// A future asked for what its state cannot give (asyncio.InvalidStateError).
class InvalidStateError : public std::logic_error {
    using std::logic_error::logic_error;
};

/// An error of the operating system (Python's OSError); `code()` says which.
class OSError : public std::system_error {
    using std::system_error::system_error;
};
/// A deadline passed, of a timeout or of the system (Python's TimeoutError).
class TimeoutError : public OSError {
public:
    TimeoutError() : TimeoutError("timed out") {}
    explicit TimeoutError(const std::string& what) : OSError(std::make_error_code(std::errc::timed_out), what) {}
    using OSError::OSError;
};
class ConnectionError : public OSError {
    using OSError::OSError;
};
class ConnectionResetError : public ConnectionError {
public:
    explicit ConnectionResetError(const std::string& what)
        : ConnectionError(std::make_error_code(std::errc::connection_reset), what) {}
    using ConnectionError::ConnectionError;
};
class ConnectionRefusedError : public ConnectionError {
    using ConnectionError::ConnectionError;
};
class ConnectionAbortedError : public ConnectionError {
public:
    explicit ConnectionAbortedError(const std::string& what)
        : ConnectionError(std::make_error_code(std::errc::connection_aborted), what) {}
    using ConnectionError::ConnectionError;
};
class BrokenPipeError : public ConnectionError {
    using ConnectionError::ConnectionError;
};
class PermissionError : public OSError {
    using OSError::OSError;
};
class FileNotFoundError : public OSError {
    using OSError::OSError;
};
class ProcessLookupError : public OSError {
    using OSError::OSError;
};
/// A host or service name could not be resolved (Python's socket.gaierror); `code().value()` is the EAI_ number.
class GaiError : public OSError {
    using OSError::OSError;
};

/// The typed exception for a system error: ConnectionRefusedError for ECONNREFUSED and so on, OSError for the rest;
/// std::bad_alloc if there is no memory for it.
std::exception_ptr make_os_error(std::error_code code, const std::string& what) noexcept;
[[noreturn]] void throw_os_error(std::error_code code, const std::string& what);

/// The system cannot send this file to this socket by itself, and no other way was allowed
/// (asyncio.SendfileNotAvailableError).
class SendfileNotAvailableError : public RuntimeError {
    using RuntimeError::RuntimeError;
};

/// The stream ended before a read had what it asked for (asyncio.IncompleteReadError).
class IncompleteReadError : public std::runtime_error {
public:
    /// `expected` is empty where the number is not known (readuntil).
    IncompleteReadError(Bytes partial, std::optional<std::size_t> expected);
    const Bytes& partial() const noexcept { return partial_; }
    std::optional<std::size_t> expected() const noexcept { return expected_; }

private:
    Bytes partial_;
    std::optional<std::size_t> expected_;
};

/// A separator was not found within the stream's limit (asyncio.LimitOverrunError).
class LimitOverrunError : public std::runtime_error {
public:
    LimitOverrunError(const std::string& what, std::size_t consumed) : std::runtime_error(what), consumed_(consumed) {}
    /// How many buffered bytes were searched and can be read off before trying again.
    std::size_t consumed() const noexcept { return consumed_; }

private:
    std::size_t consumed_;
};

/// get_nowait() of a queue that has nothing (asyncio.QueueEmpty).
class QueueEmpty : public std::runtime_error {
public:
    QueueEmpty() : std::runtime_error("the queue is empty") {}
};
/// put_nowait() into a queue that has no room (asyncio.QueueFull).
class QueueFull : public std::runtime_error {
public:
    QueueFull() : std::runtime_error("the queue is full") {}
};
/// A queue that was shut down takes nothing more, or has nothing left to give (asyncio.QueueShutDown).
class QueueShutDown : public std::runtime_error {
public:
    QueueShutDown() : std::runtime_error("the queue is shut down") {}
};
/// The barrier was aborted, or reset while a task waited at it (asyncio.BrokenBarrierError).
class BrokenBarrierError : public RuntimeError {
    using RuntimeError::RuntimeError;
};

/// One line that says what `error` is: its type and message.
std::string describe_exception(const std::exception_ptr& error);

namespace detail {

/// The name of a type as it is written, from std::type_info::name().
std::string demangle(const char* name);

/// Calls `fn`; what it throws goes to `on_error`, except KeyboardInterrupt and SystemExit, which leave the loop.
template <class F, class H>
void run_guarded(F&& fn, H&& on_error) {
    try {
        fn();
    } catch (const KeyboardInterrupt&) {
        throw;
    } catch (const SystemExit&) {
        throw;
    } catch (...) {
        on_error(std::current_exception());
    }
}

/// True if `error` holds an `E` or something derived from it.
template <class E>
bool holds(const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const E&) {
        return true;
    } catch (...) {
        return false;
    }
}

}  // namespace detail

/// Several errors at once (Python's ExceptionGroup). Groups nest.
///
///     catch (const ExceptionGroup& group) {                     // except* ValueError as e: ...
///         group.handle<ValueError>([](const ValueError& e) { log(e); }).raise();   // the rest goes on
///     }
class ExceptionGroup : public std::exception {
public:
    ExceptionGroup(std::string message, std::vector<std::exception_ptr> exceptions);

    const std::string& message() const noexcept { return message_; }
    const std::vector<std::exception_ptr>& exceptions() const noexcept { return exceptions_; }
    bool empty() const noexcept { return exceptions_.empty(); }
    const char* what() const noexcept override { return what_.c_str(); }

    /// The errors of type E, nesting kept; nothing if there are none.
    template <class E>
    std::optional<ExceptionGroup> subgroup() const {
        return std::move(split<E>().first);
    }
    /// {errors of type E, the others}, nesting kept.
    template <class E>
    std::pair<std::optional<ExceptionGroup>, std::optional<ExceptionGroup>> split() const {
        return split_if(&detail::holds<E>);
    }
    /// Calls `fn` for the errors of type E and returns the group of the others, which may be empty. `fn` takes an
    /// `const E&` (called once for each) or an `const ExceptionGroup&` (called once).
    template <class E, class F>
    ExceptionGroup handle(F&& fn) const {
        auto [matched, rest] = split<E>();
        if (matched) {
            if constexpr (std::is_invocable_v<F&, const E&>)
                matched->template for_each_leaf<E>(fn);
            else
                fn(std::as_const(*matched));
        }
        return rest ? std::move(*rest) : ExceptionGroup(message_, {});
    }
    /// Throws this group unless it is empty.
    void raise() const {
        if (!empty()) throw *this;
    }

private:
    using Condition = bool (*)(const std::exception_ptr&);
    std::pair<std::optional<ExceptionGroup>, std::optional<ExceptionGroup>> split_if(Condition condition) const;

    template <class E, class F>
    void for_each_leaf(F& fn) const {
        for (const std::exception_ptr& error : exceptions_) {
            try {
                std::rethrow_exception(error);
            } catch (const ExceptionGroup& nested) {
                nested.for_each_leaf<E>(fn);
            } catch (const E& leaf) {
                fn(leaf);
            }
        }
    }

    std::string message_;
    std::vector<std::exception_ptr> exceptions_;
    std::string what_;
};

}  // namespace weft
