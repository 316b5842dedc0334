#pragma once
// Formats the library's objects with fmt, as Python's repr() shows those of asyncio.
//
//     fmt::print("{}\n", task);      // <Task pending name='Task-2' coro=<Coro<> work()> at main.cpp:17
//     wait_for=<sleep>>
//
// What is printed is the object's repr(). A header of its own: nothing else of the library needs fmt.

#include <concepts>
#include <string>
#include <string_view>

#include <fmt/core.h>

namespace weft {

/// An object that shows itself as text.
template <class T>
concept Printable = requires(const T& object) {
    { object.repr() } -> std::same_as<std::string>;
};

}  // namespace weft

template <weft::Printable T>
struct fmt::formatter<T, char> : fmt::formatter<std::string_view, char> {
    template <class Context>
    auto format(const T& object, Context& context) const {
        return fmt::formatter<std::string_view, char>::format(object.repr(), context);
    }
};
