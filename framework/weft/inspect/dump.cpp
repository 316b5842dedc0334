#include <weft/inspect/dump.hpp>

#include <algorithm>
#include <set>
#include <string_view>
#include <unordered_map>

namespace weft {

namespace inspect {

namespace {

/// The name of the function alone: what stands before the parameters, without its return type.
std::string short_function(std::string_view name) {
    // Clang writes "(anonymous namespace)::", which is not a list of parameters.
    constexpr std::string_view unnamed = "(anonymous namespace)::";
    if (const auto at = name.rfind(unnamed); at != std::string_view::npos) name.remove_prefix(at + unnamed.size());
    const auto parameters = name.find('(');
    if (parameters != std::string_view::npos && parameters > 0) name = name.substr(0, parameters);
    if (const auto space = name.rfind(' '); space != std::string_view::npos) name = name.substr(space + 1);
    return std::string(name);
}

}  // namespace

std::vector<TaskInfo> snapshot(EventLoop& loop) {
    std::vector<TaskInfo> tasks;
    std::unordered_map<std::uint64_t, std::size_t> index;
    detail::TaskTable& table = loop.task_table();
    tasks.reserve(table.size());
    for (detail::TaskRecord* task = table.first(); task; task = detail::TaskTable::after(*task)) {
        TaskInfo info;
        info.id = task->id();
        info.name = task->task_name();
        info.state = task->task_state();
        info.waiting_for = task->waiting_for();
        info.spawned_at = task->spawned_at();
        info.stack = task->await_stack();
        UniqueFunction<void(detail::TaskRecord&)> visit = [&info](detail::TaskRecord& awaited) {
            if (std::find(info.awaits.begin(), info.awaits.end(), awaited.id()) == info.awaits.end())
                info.awaits.push_back(awaited.id());
        };
        task->visit_awaited(visit);
        index[info.id] = tasks.size();
        tasks.push_back(std::move(info));
    }
    for (const TaskInfo& task : tasks)
        for (const std::uint64_t awaited : task.awaits)
            if (auto found = index.find(awaited); found != index.end())
                tasks[found->second].awaited_by.push_back(task.id);
    return tasks;
}

std::string format_location(const std::source_location& location) {
    if (location.line() == 0) return {};
    std::string_view file = location.file_name();
    if (const auto slash = file.rfind('/'); slash != std::string_view::npos) file = file.substr(slash + 1);
    std::string text(file);
    text += ':';
    text += std::to_string(location.line());
    if (const std::string function = short_function(location.function_name()); !function.empty())
        text += " (" + function + ")";
    return text;
}

namespace {

class TreePrinter {
public:
    explicit TreePrinter(std::vector<TaskInfo> tasks) : tasks_(std::move(tasks)) {
        for (const TaskInfo& task : tasks_)
            by_id_[task.id] = &task;
    }
    std::string print() {
        for (const TaskInfo& task : tasks_)
            if (task.awaited_by.empty()) print_task(task, 0);
        // What is left awaits itself in a circle.
        for (const TaskInfo& task : tasks_)
            if (!printed_.contains(task.id)) print_task(task, 0);
        return std::move(text_);
    }

private:
    void print_task(const TaskInfo& task, std::size_t depth) {
        text_.append(2 * depth, ' ');
        text_ += task.name + " " + task.state;
        if (!printed_.insert(task.id).second) {
            text_ += " (see above)\n";
            return;
        }
        if (!task.waiting_for.empty()) text_ += ": " + task.waiting_for;
        for (std::size_t i = task.stack.size(); i-- > 0;)
            text_ += (i + 1 == task.stack.size() ? " at " : " < ") + format_location(task.stack[i]);
        if (const std::string spawned = format_location(task.spawned_at); !spawned.empty())
            text_ += ", spawned at " + spawned;
        text_ += '\n';
        for (const std::uint64_t awaited : task.awaits)
            if (auto found = by_id_.find(awaited); found != by_id_.end()) print_task(*found->second, depth + 1);
    }

    std::vector<TaskInfo> tasks_;
    std::unordered_map<std::uint64_t, const TaskInfo*> by_id_;
    std::set<std::uint64_t> printed_;
    std::string text_;
};

}  // namespace
}  // namespace inspect

std::string dump_tasks(EventLoop& loop) {
    std::vector<inspect::TaskInfo> tasks = inspect::snapshot(loop);
    if (tasks.empty()) return "no tasks\n";
    return inspect::TreePrinter(std::move(tasks)).print();
}

}  // namespace weft
