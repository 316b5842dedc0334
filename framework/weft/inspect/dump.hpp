#pragma once
// dump_tasks: the live task tree of a loop as text.
//
//     std::fputs(dump_tasks(loop).c_str(), stderr);
//
//     Task-1 'main' pending: gather at main.cpp:40 (amain)
//       Task-2 'fetch' pending: StreamReader.read at fetch.cpp:12 (fetch)
//
// A task stands under each task that awaits it. On the loop's thread.

#include <weft/loop/event_loop.hpp>

#include <cstdint>
#include <source_location>
#include <string>
#include <vector>

namespace weft::inspect {

/// One task as it was when asked for.
class TaskInfo {
public:
    std::uint64_t id = 0;
    std::string name;
    std::string state;                        ///< "pending" or "running"
    std::string waiting_for;                  ///< "sleep", "Future", "StreamReader.read", ...
    std::source_location spawned_at;          ///< line 0 if not known
    std::vector<std::source_location> stack;  ///< where each of its coroutines waits, outermost first
    std::vector<std::uint64_t> awaits;        ///< tasks it awaits
    std::vector<std::uint64_t> awaited_by;    ///< tasks that await it
};

/// The tasks of the loop that are not done, in the order they were spawned.
std::vector<TaskInfo> snapshot(EventLoop& loop);
/// "file.cpp:12 (function)", or an empty string for a place that is not known.
std::string format_location(const std::source_location& location);

}  // namespace weft::inspect

namespace weft {

/// The snapshot as an indented tree; a task awaited by several stands in full once.
std::string dump_tasks(EventLoop& loop);

}  // namespace weft
