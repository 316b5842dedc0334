#include "support/harness.hpp"

#include <unordered_set>

#include <weft/backends/sim/backend.hpp>

using namespace weft;
using namespace weft::testing;

namespace {

/// Counts how many of it live.
class Tracked {
public:
    explicit Tracked(int& live) : live_(&live) { ++*live_; }
    Tracked(const Tracked& other) : live_(other.live_) { ++*live_; }
    Tracked& operator=(const Tracked&) = delete;
    ~Tracked() { --*live_; }

private:
    int* live_;
};

static_assert(!std::is_copy_constructible_v<Coro<int>> && std::is_nothrow_move_constructible_v<Coro<int>>);
static_assert(std::is_convertible_v<Task<int>, Future<int>> && !std::is_convertible_v<Future<int>, Task<int>>);
template <class A>
concept CanCreateTask = requires(A a) { create_task(std::move(a)); };
template <class A>
concept CanCreateTaskFromLvalue = requires(A& a) { create_task(a); };
static_assert(CanCreateTask<Coro<int>> && !CanCreateTask<int> && !CanCreateTask<Future<int>>);
static_assert(!CanCreateTaskFromLvalue<Coro<int>>);

}  // namespace

TEST_CASE("rule 31: the body does not start inside create_task") {
    run_simulated([]() -> Coro<> {
        Trace trace;
        auto body = [&]() -> Coro<int> {
            trace("body");
            co_return 1;
        };
        Task<int> task = create_task(body());
        trace("created");
        CHECK_FALSE(task.done());
        const int value = co_await task;
        CHECK(value == 1);
        CHECK(trace.text() == "created body");
    });
}

TEST_CASE("rule 43: a task cannot await itself") {
    run_simulated([]() -> Coro<> {
        Task<> self;
        std::string text;
        auto body = [&]() -> Coro<> {
            const std::exception_ptr error = co_await error_of(self);
            text = error_text(error);
        };
        self = create_task(body(), TaskOptions().name("loopy"));
        co_await self;
        CHECK(text == "RuntimeError: Task cannot await on itself: loopy");
    });
}

TEST_CASE("rule 45: current_task is right across interleaving, and nothing in callbacks") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        std::vector<Task<>> tasks;
        int wrong = 0;
        auto body = [&](std::size_t i) -> Coro<> {
            for (int n = 0; n < 3; ++n) {
                if (!(current_task() == tasks[i])) ++wrong;
                co_await sleep(0s);
            }
        };
        for (std::size_t i = 0; i < 3; ++i)
            tasks.push_back(create_task(body(i)));
        bool none = false;
        loop.call_soon([&] { none = !current_task(); });
        for (Task<>& task : tasks)
            co_await task;
        CHECK(wrong == 0);
        CHECK(none);
        CHECK(current_task().name().starts_with("Task-"));
    });
    CHECK(ending_of_call([] { (void)current_task(); }) == "RuntimeError");
    auto idle = make_simulated_loop();
    CHECK_FALSE(current_task(*idle));
}

TEST_CASE("rule 46: the loop owns a task whose handle was dropped") {
    run_simulated([]() -> Coro<> {
        bool finished = false;
        auto body = [&]() -> Coro<> {
            co_await sleep(1s);
            finished = true;
        };
        (void)create_task(body());
        co_await sleep(2s);
        CHECK(finished);
    });
}

TEST_CASE("rule 46: a task that is pending when the loop closes is reported and destroyed") {
    int live = 0;
    auto loop = make_simulated_loop();
    Reports reports(*loop);
    auto body = [](Tracked tracked) -> Coro<> {
        Tracked local(tracked);
        co_await get_running_loop().create_future<void>();
    };
    Task<> waiting = loop->create_task(body(Tracked(live)), TaskOptions().name("waiting"));
    loop->stop();
    loop->run_forever();
    Task<> unstarted = loop->create_task(body(Tracked(live)), TaskOptions().name("unstarted"));
    CHECK(live == 3);
    loop->close();
    CHECK(live == 0);
    REQUIRE(reports.size() == 2);
    CHECK(reports[0].message == "Task was destroyed but it is pending!");
    CHECK(reports[0].task == "waiting");
    CHECK(reports[1].task == "unstarted");
    CHECK(waiting.done());
    CHECK(unstarted.done());
}

TEST_CASE("rule 47: an eager task runs before create_task returns; if it ends there, it is never queued") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Trace trace;
        const CurrentTask outer = current_task();
        std::size_t listed = 0;
        auto body = [&]() -> Coro<int> {
            trace("body");
            CHECK_FALSE(current_task() == outer);
            listed = all_tasks().size();
            co_return 7;
        };
        const auto steps = loop.steps();
        Task<int> task = create_task(body(), TaskOptions().eager_start(true));
        trace("created");
        CHECK(task.done());
        CHECK(task.result() == 7);
        CHECK(trace.text() == "body created");
        CHECK(current_task() == outer);
        CHECK(listed == 2);
        CHECK(all_tasks().size() == 1);
        CHECK_FALSE(task.cancel());
        CHECK_FALSE(task.cancelled());
        co_await turns(1);
        CHECK(loop.steps() == steps + 1);  // ours alone
    });
}

TEST_CASE("rule 47: an eager task that suspends becomes an ordinary one") {
    run_simulated([]() -> Coro<> {
        Trace trace;
        auto body = [&]() -> Coro<int> {
            trace("start");
            co_await sleep(1s);
            trace("end");
            co_return 1;
        };
        Task<int> task = create_task(body(), TaskOptions().eager_start(true));
        trace("created");
        CHECK_FALSE(task.done());
        const int value = co_await task;
        CHECK(value == 1);
        CHECK(trace.text() == "start created end");

        Task<int> other = create_task(body(), TaskOptions().eager_start(true));
        CHECK(other.cancel());
        const std::string text = co_await ending(other);
        CHECK(text == "CancelledError");
    });
}

TEST_CASE("rule 47: an eager task that fails or is cancelled in its first step is done at once") {
    run_simulated([]() -> Coro<> {
        auto fail = []() -> Coro<> {
            throw ValueError("eager");
            co_return;
        };
        Task<> failed = create_task(fail(), TaskOptions().eager_start(true));
        CHECK(failed.done());
        CHECK(error_text(failed.exception()) == "ValueError: eager");
        auto cancel = []() -> Coro<> {
            current_task().cancel();
            co_return;
        };
        Task<> cancelled = create_task(cancel(), TaskOptions().eager_start(true));
        CHECK(cancelled.cancelled());
        // Eager inside eager: each is the current task in its own step.
        Trace trace;
        auto inner = [&]() -> Coro<> {
            trace(current_task().name());
            co_return;
        };
        auto outer = [&]() -> Coro<> {
            Task<> task = create_task(inner(), TaskOptions().name("inner").eager_start(true));
            CHECK(task.done());
            trace(current_task().name());
            co_return;
        };
        Task<> task = create_task(outer(), TaskOptions().name("outer").eager_start(true));
        CHECK(task.done());
        CHECK(trace.text() == "inner outer");
        co_return;
    });
}

TEST_CASE("rule 47: without a running loop a task is not eager") {
    auto loop = make_simulated_loop();
    bool ran = false;
    auto body = [&]() -> Coro<> {
        ran = true;
        co_return;
    };
    Task<> task = loop->create_task(body(), TaskOptions().eager_start(true));
    CHECK_FALSE(ran);
    loop->run_until_complete(task);
    CHECK(ran);
}

TEST_CASE("rule 48: all_tasks has the tasks that are not done, in the order they were made") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        CHECK(all_tasks().size() == 1);
        Task<> a = create_task(turns(1), TaskOptions().name("a"));
        Task<> b = create_task(turns(3), TaskOptions().name("b"));
        auto names = [&] {
            std::string text;
            for (const AnyTask& task : all_tasks(loop))
                text += task.name() + " ";
            return text.substr(text.find(' ') + 1);
        };
        CHECK(names() == "a b ");
        co_await a;
        CHECK(names() == "b ");
        b.cancel();
        CHECK(names() == "b ");
        const std::string text = co_await ending(b);
        CHECK(text == "CancelledError");
        CHECK(names() == "");
    });
}

TEST_CASE("a task's name is given, set, or counted") {
    run_simulated([]() -> Coro<> {
        Task<> named = create_task(turns(0), TaskOptions().name("fetch"));
        Task<> first = create_task(turns(0));
        Task<> second = create_task(turns(0));
        CHECK(named.get_name() == "fetch");
        REQUIRE(first.name().starts_with("Task-"));
        CHECK(std::stoi(second.name().substr(5)) == std::stoi(first.name().substr(5)) + 1);
        first.set_name("other");
        CHECK(first.name() == "other");
        co_await second;
        CHECK(second.name().starts_with("Task-"));
    });
}

TEST_CASE("create_task(fn, args...) keeps callable and arguments while the task runs") {
    run_simulated([]() -> Coro<> {
        int live = 0;
        std::string seen;
        Task<> task;
        {
            auto body = [tracked = Tracked(live), word = std::string(40, 'w'), &seen](std::string suffix,
                                                                                      int n) -> Coro<> {
                co_await sleep(1s);
                seen = word + suffix + std::to_string(n);
            };
            task = create_task(std::move(body), std::string("!"), 3);
        }
        CHECK(live > 0);
        co_await task;
        CHECK(seen == std::string(40, 'w') + "!3");
        CHECK(live == 0);
    });
}

TEST_CASE("a Coro that is dropped or closed frees its arguments and never runs; one is awaited only once") {
    run_simulated([]() -> Coro<> {
        int live = 0;
        bool ran = false;
        auto body = [&ran](Tracked) -> Coro<> {
            ran = true;
            co_return;
        };
        {
            Coro<> dropped = body(Tracked(live));
            CHECK(live == 1);
            CHECK(dropped);
        }
        CHECK(live == 0);
        Coro<> closed = body(Tracked(live));
        closed.close();
        CHECK(live == 0);
        CHECK_FALSE(closed);
        CHECK_FALSE(ran);
        Coro<> once = body(Tracked(live));
        co_await std::move(once);
        CHECK(ran);
        CHECK(live == 0);
        std::string again;
        try {
            co_await std::move(once);
        } catch (const RuntimeError& error) {
            again = error.what();
        }
        CHECK(again == "cannot reuse already awaited coroutine");
        CHECK(ending_of_call([&] { (void)create_task(std::move(once)); }) == "RuntimeError");
    });
}

TEST_CASE("awaiting a Coro runs it inside the current task, without a turn of the loop") {
    run_simulated([]() -> Coro<> {
        bool other = false;
        get_running_loop().call_soon([&] { other = true; });
        const CurrentTask self = current_task();
        auto child = [&]() -> Coro<int> {
            CHECK(current_task() == self);
            co_return 3;
        };
        const int value = co_await child();
        CHECK(value == 3);
        CHECK_FALSE(other);
        co_await turns(1);
        CHECK(other);
    });
}

TEST_CASE("an exception passes through awaiting coroutines, and locals are destroyed on the way") {
    run_simulated([]() -> Coro<> {
        int live = 0;
        auto inner = [&]() -> Coro<int> {
            Tracked tracked(live);
            co_await sleep(1s);
            throw ValueError("deep");
        };
        auto middle = [&]() -> Coro<int> {
            Tracked tracked(live);
            co_return co_await inner();
        };
        const std::exception_ptr error = co_await error_of(middle());
        CHECK(error_text(error) == "ValueError: deep");
        CHECK(live == 0);
    });
}

TEST_CASE("a million awaits of a child that does not suspend use no stack") {
    run_simulated([]() -> Coro<> {
        auto child = [](int i) -> Coro<int> { co_return i & 1; };
        long sum = 0;
        for (int i = 0; i < 1'000'000; ++i)
            sum += co_await child(i);
        CHECK(sum == 500'000);
        Future<int> done = get_running_loop().create_future<int>();
        done.set_result(1);
        for (int i = 0; i < 1'000'000; ++i)
            sum += co_await done;
        CHECK(sum == 1'500'000);
    });
}

TEST_CASE("a deep chain of awaits unwinds without deep recursion") {
    run_simulated([]() -> Coro<> {
        struct Chain {
            Coro<int> operator()(int depth) const {
                if (depth == 0) {
                    co_await sleep(1s);
                    co_return 0;
                }
                co_return 1 + co_await (*this)(depth - 1);
            }
        };
        const Chain chain;
        const int depth = co_await chain(2000);
        CHECK(depth == 2000);
    });
}

TEST_CASE("get_stack has where each coroutine of a suspended task waits") {
    run_simulated([]() -> Coro<> {
        auto inner = []() -> Coro<> { co_await sleep(1s); };
        auto outer = [&]() -> Coro<> { co_await inner(); };
        Task<> task = create_task(outer());
        CHECK(task.get_stack().size() == 1);  // not started: where its body is
        co_await turns(1);
        const auto stack = task.get_stack();
        REQUIRE(stack.size() == 2);
        CHECK(stack[0].line() == stack[1].line() + 1);
        CHECK(std::string(stack[0].file_name()).ends_with("task_test.cpp"));
        co_await task;
        CHECK(task.get_stack().empty());
    });
}

TEST_CASE("ensure_future leaves futures as they are and makes tasks of the rest") {
    run_simulated([]() -> Coro<> {
        Future<int> future = get_running_loop().create_future<int>();
        CHECK(ensure_future(future) == future);
        auto child = []() -> Coro<int> { co_return 5; };
        Task<int> task = ensure_future(child());
        CHECK(ensure_future(task) == task);
        const int value = co_await task;
        CHECK(value == 5);
        const int slept = co_await ensure_future(sleep(1s, 6));
        CHECK(slept == 6);
        future.cancel();
    });
}

TEST_CASE("rule 17: SystemExit of a task leaves the loop, and the task keeps it") {
    auto loop = make_simulated_loop();
    auto leave = []() -> Coro<> {
        co_await sleep(1s);
        throw SystemExit(4);
    };
    Task<> task = loop->create_task(leave());
    CHECK(error_of_call([&] { loop->run_forever(); }) == "SystemExit: 4");
    CHECK(task.done());
    CHECK(error_text(task.exception()) == "SystemExit: 4");
}

namespace {

/// A simulated backend that stops its loop at the k-th poll.
class StoppingBackend final : public Backend {
public:
    explicit StoppingBackend(int polls) : left_(polls) {}
    std::string_view name() const noexcept override { return "sim"; }
    void attach(EventLoop& loop) override {
        loop_ = &loop;
        inner_.attach(loop);
    }
    void close() noexcept override { inner_.close(); }
    TimePoint now() const noexcept override { return inner_.now(); }
    void poll(std::optional<TimePoint> deadline) override {
        count();
        inner_.poll(deadline);
    }
    void poll_ready() override {
        count();
        inner_.poll_ready();
    }
    void wake() noexcept override { inner_.wake(); }
    bool polls_each_iteration() const noexcept override { return true; }
    void watch_fd(int fd, FdEvent event, UniqueFunction<void()> callback) override {
        inner_.watch_fd(fd, event, std::move(callback));
    }
    void unwatch_fd(int fd, FdEvent event) noexcept override { inner_.unwatch_fd(fd, event); }
    void watch_signal(int number, UniqueFunction<void()> callback) override {
        inner_.watch_signal(number, std::move(callback));
    }
    void unwatch_signal(int number) noexcept override { inner_.unwatch_signal(number); }
    std::unique_ptr<Executor> new_executor(std::string name, std::size_t max_workers) override {
        return inner_.new_executor(std::move(name), max_workers);
    }
    std::uint64_t entropy() override { return inner_.entropy(); }
    io::Network& network() override { return inner_.network(); }

private:
    void count() {
        if (--left_ == 0) loop_->stop();
    }
    sim::SimBackend inner_;
    EventLoop* loop_ = nullptr;
    int left_;
};

/// A bit of everything that suspends.
Coro<int> leaf(int& live, Duration delay) {
    Tracked tracked(live);
    co_await sleep(delay);
    co_return 1;
}
Coro<> echo_once(StreamReader reader, StreamWriter writer, int& live) {
    Tracked tracked(live);
    const Bytes data = co_await reader.readexactly(4);
    writer.write(data.span());
    co_await writer.drain();
    writer.close();
    co_await writer.wait_closed();
}
Coro<> conversation(int& live) {
    Tracked tracked(live);
    auto handler = [&live](StreamReader reader, StreamWriter writer) {
        return echo_once(std::move(reader), std::move(writer), live);
    };
    Server server = co_await start_server(handler, "127.0.0.1", 0);
    auto [reader, writer] = co_await open_connection("127.0.0.1", server.sockets().front().port());
    writer.write("ping");
    const Bytes back = co_await reader.read(-1);
    CHECK(back == "ping");
    writer.close();
    server.close();
    co_await server.wait_closed();
}
Coro<> everything(int& live, bool& finished) {
    Tracked tracked(live);
    EventLoop& loop = get_running_loop();
    auto [a, b] = co_await gather(leaf(live, 1s), leaf(live, 2s));
    auto slow = [&live]() -> Coro<int> { co_return co_await leaf(live, 1h); };
    const std::exception_ptr late = co_await error_of(timeout(1s, slow));
    CHECK(error_type(late) == "TimeoutError");
    const std::exception_ptr waited = co_await error_of(wait_for(leaf(live, 1h), 1s));
    CHECK(error_type(waited) == "TimeoutError");
    auto fail = [&live]() -> Coro<> {
        Tracked inside(live);
        co_await sleep(1s);
        throw ValueError("x");
    };
    auto group_body = [&](TaskGroup& group) -> Coro<> {
        group.create_task(leaf(live, 1h));
        group.create_task(fail());
        co_await sleep(1h);
    };
    const std::exception_ptr failed = co_await error_of(task_group(group_body));
    CHECK(error_type(failed).starts_with("ExceptionGroup"));
    Task<int> kept = create_task(leaf(live, 3s));
    std::vector<Task<int>> tasks{kept, create_task(leaf(live, 1s))};
    auto result = co_await wait(tasks, WaitOptions().return_when(ReturnWhen::first_completed));
    CHECK(result.done.size() == 1);
    const int shielded = co_await shield(kept);
    Future<int> future = loop.create_future<int>();
    loop.call_later(1s, [future]() mutable {
        if (!future.done()) future.set_result(1);
    });
    const int got = co_await future;
    co_await conversation(live);
    CHECK(a + b + shielded + got == 4);
    finished = true;
}

}  // namespace

TEST_CASE("a loop closed after any number of iterations destroys every coroutine where it waits, and leaks nothing") {
    int closed_early = 0;
    for (int k = 1;; ++k) {
        REQUIRE(k < 1000);
        int live = 0;
        bool finished = false;
        {
            EventLoop loop(std::make_unique<StoppingBackend>(k));
            loop.set_exception_handler([](EventLoop&, const ExceptionContext&) {});
            Task<> task = loop.create_task(everything(live, finished));
            task.add_done_callback([&loop] { loop.stop(); });
            loop.run_forever();
            if (!finished) ++closed_early;
            loop.close();
            CHECK(live == 0);
            if (finished) task.result();
        }
        CHECK(live == 0);
        if (finished) break;
    }
    CHECK(closed_early > 30);
}

TEST_CASE("create_task takes the library's own awaitables, as asyncio's takes sleep()") {
    run_simulated([]() -> Coro<> {
        const TimePoint begin = get_running_loop().time();
        Task<> nap = create_task(sleep(2s));
        const auto body = [](TaskGroup& group) -> Coro<> {
            group.create_task(sleep(1s));
            co_return;
        };
        co_await task_group(body);
        CHECK(get_running_loop().time() - begin == 1s);
        co_await nap;
        CHECK(get_running_loop().time() - begin == 2s);
    });
}

TEST_CASE("a task factory decides about the options of every task of the loop") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Trace trace;
        const auto body = [&](std::string name) -> Coro<> {
            trace(name);
            co_return;
        };
        loop.set_task_factory([](EventLoop&, TaskOptions options) {
            if (!options.name()) options.name("made by the factory");
            return options;
        });
        Task<> named = create_task(body("late"));
        CHECK(named.get_name() == "made by the factory");
        Task<> other = create_task(body("later"), TaskOptions().name("own"));
        CHECK(other.get_name() == "own");
        loop.set_task_factory(eager_task_factory);
        Task<> eager = create_task(body("eager"));
        CHECK(eager.done());
        Task<> lazy = create_task(body("lazy"), TaskOptions().eager_start(false));
        CHECK_FALSE(lazy.done());
        loop.set_task_factory(nullptr);
        CHECK_FALSE(loop.get_task_factory());
        Task<> plain = create_task(body("plain"));
        CHECK_FALSE(plain.done());
        co_await gather(named, other, lazy, plain);
        CHECK(trace.text() == "eager late later lazy plain");
    });
}

TEST_CASE("a task that is being cancelled prints itself as cancelling until it is done") {
    run_simulated([]() -> Coro<> {
        const auto body = []() -> Coro<> {
            (void)co_await error_of(sleep(1h));
            co_await sleep(1s);
        };
        Task<> task = create_task(body(), TaskOptions().name("t"));
        co_await turns(2);
        CHECK(task.repr().starts_with("<Task pending name='t' coro=<"));
        task.cancel();
        CHECK(task.repr().starts_with("<Task cancelling name='t' coro=<"));
        co_await turns(2);
        CHECK(task.repr().starts_with("<Task cancelling name='t' coro=<"));
        task.uncancel();
        CHECK(task.repr().starts_with("<Task pending name='t' coro=<"));
        task.cancel();
        (void)co_await error_of(task);
        CHECK(task.cancelling() == 1);
        CHECK(task.repr() == "<Task cancelled name='t'>");
    });
}

TEST_CASE("the documented way to keep tasks: a set of them, and a done-callback that takes the task") {
    run_simulated([]() -> Coro<> {
        std::unordered_set<Task<>> background;
        std::string name;
        const auto body = []() -> Coro<> { co_await sleep(1s); };
        Task<> task = create_task(body(), TaskOptions().name("kept"));
        background.insert(task);
        task.add_done_callback([&](Task<> done) {
            name = done.name();
            background.erase(done);
        });
        task.add_done_callback([&](const auto& done) { CHECK(done.done()); });
        co_await task;
        co_await sleep(0s);
        CHECK(name == "kept");
        CHECK(background.empty());
    });
}

TEST_CASE("the stack of the running task begins with its outermost coroutine") {
    run_simulated([]() -> Coro<> {
        const auto stack = current_task().get_stack();
        REQUIRE(stack.size() == 1);
        CHECK(std::string(stack[0].file_name()).find("task_test.cpp") != std::string::npos);
        co_return;
    });
}
