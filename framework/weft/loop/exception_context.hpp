#pragma once
// ExceptionContext: what an exception handler of a loop is told (asyncio's `context` dictionary).

#include <exception>
#include <source_location>
#include <string>
#include <utility>

namespace weft {

/// What went wrong, and where. What is not known or does not concern the error is empty.
class ExceptionContext {
public:
    ExceptionContext(std::string message, std::exception_ptr exception = nullptr, std::string task = {})
        : message(std::move(message)), exception(std::move(exception)), task(std::move(task)) {}
    std::string message;           ///< what went wrong, in asyncio's words
    std::exception_ptr exception;  ///< the exception, if there was one
    std::string task;              ///< the name of the task concerned, if any
    /// The task or future concerned as its repr() shows it, if any; of a pending task that says where it waits.
    std::string future;
    /// The callback concerned, as its handle's repr() shows it, if any.
    std::string handle;
    /// The type of the protocol concerned, if any: "<Echo>".
    std::string protocol;
    /// The transport concerned as its repr() shows it, if any; of a server the socket that it listens on.
    std::string transport;
    /// Where the task concerned was made; its line is 0 if that is not known.
    std::source_location created_at{};
};

}  // namespace weft
