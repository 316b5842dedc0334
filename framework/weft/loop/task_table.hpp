#pragma once
// The task table: every task of a loop that is not done, with where it was spawned, where it waits and what it waits
// for. Tasks put themselves in; dumps, `all_tasks` and the loop's close read it.

#include <weft/base/unique_function.hpp>
#include <weft/loop/context_slot.hpp>

#include <cstddef>
#include <cstdint>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

namespace weft::detail {

/// What the table knows of one task. Implemented by the tasks floor.
class TaskRecord {
public:
    std::uint64_t id() const noexcept { return id_and_sharing_ >> 1; }
    const std::source_location& spawned_at() const noexcept { return spawned_at_; }

    virtual std::string task_name() const = 0;
    /// "pending", "running", "finished", "cancelled".
    virtual std::string_view task_state() const noexcept = 0;
    /// Where each coroutine of the task waits, outermost first.
    virtual std::vector<std::source_location> await_stack() const = 0;
    /// What the innermost await waits for: "sleep", "Future", "StreamReader.read", ...
    virtual std::string_view waiting_for() const noexcept = 0;
    /// Calls `visit` for each task of this loop that this one awaits.
    virtual void visit_awaited(UniqueFunction<void(TaskRecord&)>& visit) = 0;
    /// The context it runs in.
    ContextSlot& context_slot() noexcept { return shares_context() ? shared_context_slot() : context_; }
    /// The same if it shares it with a Context object, else null.
    SharedContextSlot* shared_context() noexcept { return shares_context() ? &shared_context_slot() : nullptr; }
    /// The loop closes: report the task as destroyed while pending and destroy its coroutine.
    virtual void destroy_pending() noexcept = 0;

protected:
    explicit TaskRecord(ContextSlot context) noexcept : context_(std::move(context)) {}
    TaskRecord(const TaskRecord&) = delete;
    TaskRecord& operator=(const TaskRecord&) = delete;
    ~TaskRecord() = default;

    /// The context of a task that shares it with a Context object, in place of context_.
    virtual SharedContextSlot& shared_context_slot() noexcept = 0;
    void share_context() noexcept { id_and_sharing_ |= 1; }

    std::source_location spawned_at_;
    ContextSlot context_;

private:
    friend class TaskTable;
    bool shares_context() const noexcept { return (id_and_sharing_ & 1) != 0; }

    std::uint64_t id_and_sharing_ = 0;  // twice the id, and one more if it shares its context
    TaskRecord* previous_ = nullptr;
    TaskRecord* next_ = nullptr;
};

/// The numbers of a thread's tasks: from 1 in one thread, as asyncio's `Task-N`; each further thread starts at a block
/// of its own.
struct TaskIds {
    std::uint64_t next() noexcept {
        if (last == end) [[unlikely]]
            take_block();
        return ++last;
    }
    void take_block() noexcept;

    std::uint64_t last;
    std::uint64_t end;
};
extern thread_local constinit TaskIds task_ids;

/// The tasks of one loop in the order they were spawned. It does not own them: a task in it holds itself.
class TaskTable {
public:
    void add(TaskRecord& task, std::source_location spawned_at) noexcept {
        task.id_and_sharing_ |= task_ids.next() << 1;
        task.spawned_at_ = spawned_at;
        task.previous_ = last_;
        task.next_ = nullptr;
        (last_ ? last_->next_ : first_) = &task;
        last_ = &task;
        ++size_;
    }
    void remove(TaskRecord& task) noexcept {
        (task.previous_ ? task.previous_->next_ : first_) = task.next_;
        (task.next_ ? task.next_->previous_ : last_) = task.previous_;
        task.previous_ = task.next_ = nullptr;
        --size_;
    }
    TaskRecord* first() const noexcept { return first_; }
    static TaskRecord* after(const TaskRecord& task) noexcept { return task.next_; }
    std::size_t size() const noexcept { return size_; }

private:
    TaskRecord* first_ = nullptr;
    TaskRecord* last_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace weft::detail
