// Task micro-benchmarks on the least a coroutine scheduler can do: an intrusive FIFO of ready nodes, frames from a
// free list, no cancellation, no exceptions across tasks, no records. The limit for the others. measure.hpp says what
// each line means.

#include "measure.hpp"

#include <array>
#include <coroutine>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <new>
#include <utility>

namespace {

/// Free lists of blocks in steps of 64 bytes; bigger ones go to the heap.
class Pool {
public:
    static void* allocate(std::size_t size) {
        const std::size_t step = (size + 63) / 64;
        if (step >= steps) return ::operator new(size);
        Block*& first = free_[step];
        if (first == nullptr) return ::operator new(step * 64);
        return std::exchange(first, first->next);
    }

    static void release(void* memory, std::size_t size) noexcept {
        const std::size_t step = (size + 63) / 64;
        if (step >= steps) return ::operator delete(memory);
        free_[step] = new (memory) Block{free_[step]};
    }

private:
    struct Block {
        Block* next;
    };

    static constexpr std::size_t steps = 16;
    static inline std::array<Block*, steps> free_{};
};

struct Pooled {
    static void* operator new(std::size_t size) { return Pool::allocate(size); }
    static void operator delete(void* memory, std::size_t size) noexcept { Pool::release(memory, size); }
};

/// An entry of the ready queue; whoever is queued owns it.
struct Ready {
    explicit Ready(void (*run)(Ready&)) : run(run) {}

    void (*run)(Ready&);
    Ready* next = nullptr;
};

class Loop {
public:
    void push(Ready& ready) {
        ready.next = nullptr;
        (last_ == nullptr ? first_ : last_->next) = &ready;
        last_ = &ready;
    }

    void run() {
        while (first_ != nullptr) {
            Ready& ready = *first_;
            first_ = ready.next;
            if (first_ == nullptr) last_ = nullptr;
            ready.run(ready);
        }
    }

    template <class Function>
    void call_soon(Function function);

private:
    Ready* first_ = nullptr;
    Ready* last_ = nullptr;
};

Loop loop;

template <class Function>
struct Call : Ready, Pooled {
    explicit Call(Function function) : Ready(&run_call), function(std::move(function)) {}

    static void run_call(Ready& ready) {
        auto& call = static_cast<Call&>(ready);
        Function function = std::move(call.function);
        delete &call;
        function();
    }

    Function function;
};

template <class Function>
void Loop::call_soon(Function function) {
    push(*new Call<Function>(std::move(function)));
}

/// The ready queue's entry for a suspended coroutine; lives in the awaiter, so in the coroutine's frame.
struct ReadyCoroutine : Ready {
    ReadyCoroutine() : Ready(&resume) {}

    static void resume(Ready& ready) { static_cast<ReadyCoroutine&>(ready).coroutine.resume(); }

    std::coroutine_handle<> coroutine;
};

/// co_await GiveWay(): to the end of the ready queue.
class GiveWay : ReadyCoroutine {
public:
    GiveWay() = default;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) noexcept {
        coroutine = handle;
        loop.push(*this);
    }
    void await_resume() const noexcept {}
};

/// A lazy coroutine that runs inside the one that awaits it.
class Child {
public:
    struct promise_type : Pooled {
        Child get_return_object() { return Child(std::coroutine_handle<promise_type>::from_promise(*this)); }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        auto final_suspend() const noexcept {
            struct Continue {
                bool await_ready() const noexcept { return false; }
                std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> handle) const noexcept {
                    return handle.promise().continuation;
                }
                void await_resume() const noexcept {}
            };
            return Continue();
        }
        void return_value(int result) { value = result; }
        void unhandled_exception() { std::terminate(); }

        std::coroutine_handle<> continuation;
        int value = 0;
    };

    explicit Child(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
    Child(Child&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    ~Child() {
        if (handle_) handle_.destroy();
    }

    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> continuation) noexcept {
        handle_.promise().continuation = continuation;
        return handle_;
    }
    int await_resume() const noexcept { return handle_.promise().value; }

private:
    std::coroutine_handle<promise_type> handle_;
};

/// A coroutine that starts through the ready queue; awaiting it waits for its end, and resumes through the queue.
class Task {
public:
    struct promise_type : Pooled, ReadyCoroutine {
        Task get_return_object() {
            coroutine = std::coroutine_handle<promise_type>::from_promise(*this);
            loop.push(*this);
            return Task(std::coroutine_handle<promise_type>::from_promise(*this));
        }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        std::suspend_always final_suspend() noexcept {
            done = true;
            if (waiter != nullptr) loop.push(*waiter);
            return {};
        }
        void return_void() const noexcept {}
        void unhandled_exception() { std::terminate(); }

        ReadyCoroutine* waiter = nullptr;
        bool done = false;
    };

    explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
    Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    ~Task() {
        if (handle_) handle_.destroy();
    }

    auto operator co_await() noexcept {
        class Join : ReadyCoroutine {
        public:
            explicit Join(promise_type& task) : task_(task) {}
            bool await_ready() const noexcept { return task_.done; }
            void await_suspend(std::coroutine_handle<> handle) noexcept {
                coroutine = handle;
                task_.waiter = this;
            }
            void await_resume() const noexcept {}

        private:
            promise_type& task_;
        };
        return Join(handle_.promise());
    }

private:
    std::coroutine_handle<promise_type> handle_;
};

/// Room for one item, and for one coroutine that waits for it.
class Slot {
public:
    void put(int item) noexcept {
        item_ = item;
        full_ = true;
        if (waiter_ != nullptr) loop.push(*std::exchange(waiter_, nullptr));
    }
    auto get() noexcept {
        class Get : ReadyCoroutine {
        public:
            explicit Get(Slot& slot) : slot_(slot) {}
            bool await_ready() const noexcept { return slot_.full_; }
            void await_suspend(std::coroutine_handle<> handle) noexcept {
                coroutine = handle;
                slot_.waiter_ = this;
            }
            int await_resume() const noexcept {
                slot_.full_ = false;
                return slot_.item_;
            }

        private:
            Slot& slot_;
        };
        return Get(*this);
    }

private:
    int item_ = 0;
    bool full_ = false;
    ReadyCoroutine* waiter_ = nullptr;
};

Task empty() {
    co_return;
}

Child child(int value) {
    co_return value;
}

Task give_way(int times) {
    for (int i = 0; i < times; ++i)
        co_await GiveWay();
}

Task spawn_and_join() {
    for (int i = 0; i < bench::spawns; ++i)
        co_await empty();
}

Task await_children() {
    long sum = 0;
    for (int i = 0; i < bench::awaits; ++i)
        sum += co_await child(i);
    bench::keep(sum);
}

double run(Task (*start)()) {
    const Task task = start();
    return bench::cpu_time_of([] { loop.run(); });
}

Task switch_tasks() {
    std::array<Task*, bench::tasks> tasks{};
    for (Task*& task : tasks)
        task = new Task(give_way(bench::switches_per_task));
    for (Task* task : tasks) {
        co_await *task;
        delete task;
    }
}

Task echo(Slot& in, Slot& out) {
    for (int i = 0; i < bench::round_trips; ++i)
        out.put(co_await in.get());
}

Task queue() {
    Slot there;
    Slot back;
    Task other = echo(there, back);
    long sum = 0;
    for (int i = 0; i < bench::round_trips; ++i) {
        there.put(i);
        sum += co_await back.get();
    }
    co_await other;
    bench::keep(sum);
}

void schedule_calls(int& calls) {
    for (int i = 0; i < bench::calls_per_batch; ++i) {
        loop.call_soon([&calls] {
            ++calls;
            if (calls % bench::calls_per_batch == 0 && calls < bench::calls) schedule_calls(calls);
        });
    }
}

double call_soon() {
    int calls = 0;
    schedule_calls(calls);
    return bench::cpu_time_of([] { loop.run(); });
}

}  // namespace

int main(int argc, char** argv) {
    bench::begin(argc, argv);
    bench::report("switch", 1.0 * bench::tasks * bench::switches_per_task, [] { return run(switch_tasks); });
    bench::report("spawn_join", bench::spawns, [] { return run(spawn_and_join); });
    bench::report("await_child", bench::awaits, [] { return run(await_children); });
    bench::report("call_soon", bench::calls, call_soon);
    bench::report("queue", bench::round_trips, [] { return run(queue); });
}
