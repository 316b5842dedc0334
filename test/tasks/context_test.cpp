#include "support/harness.hpp"

#include <algorithm>
#include <memory>
#include <thread>
#include <utility>

using namespace weft;
using namespace weft::testing;

namespace {
ContextVar<int> number("number");
ContextVar<std::string> word("word", "default");
}  // namespace

TEST_CASE("rule 118: a task starts with its creator's values and keeps its changes to itself") {
    run_simulated([]() -> Coro<> {
        std::vector<int> seen;
        const auto child = [&seen]() -> Coro<> {
            seen.push_back(number.get());
            number.set(2);
            co_await sleep(0s);
            seen.push_back(number.get());
        };
        number.set(1);
        Task<> task = create_task(child());
        number.set(5);  // after create_task: not seen
        co_await task;
        CHECK(seen == std::vector<int>{1, 2});
        CHECK(number.get() == 5);
    });
}

TEST_CASE("rule 118: call_soon, call_later and done-callbacks run in a copy of the context of their registration") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        std::vector<int> seen;
        const auto note = [&seen] {
            seen.push_back(number.get());
            number.set(-1);
        };
        number.set(1);
        loop.call_soon(note);
        number.set(2);
        loop.call_later(1ms, note);
        number.set(3);
        Future<> future = loop.create_future<void>();
        future.add_done_callback(note);
        loop.call_soon_threadsafe(note);
        number.set(4);
        future.set_result();
        co_await sleep(2ms);
        CHECK(seen == std::vector<int>{1, 3, 3, 2});
        CHECK(number.get() == 4);
    });
}

TEST_CASE("rule 118: a coroutine that is awaited shares the context of its task") {
    run_simulated([]() -> Coro<> {
        const auto setter = []() -> Coro<> {
            number.set(7);
            co_return;
        };
        number.set(1);
        co_await setter();
        CHECK(number.get() == 7);
    });
}

TEST_CASE("call_soon with a context runs in that context, not in a copy") {
    run_simulated([]() -> Coro<> {
        Context context = copy_context();
        get_running_loop().call_soon(context, [] { number.set(3); });
        co_await turns(2);
        CHECK(context.get(number));
        CHECK(*context.get(number) == 3);
        CHECK(number.get(0) == 0);
    });
}

TEST_CASE("a task given a context runs in it, and get_context() gives it") {
    run_simulated([]() -> Coro<> {
        Context context;
        const auto body = []() -> Coro<> {
            number.set(9);
            co_await sleep(0s);
            number.set(number.get() + 1);
        };
        TaskOptions options;
        options.context(context);
        Task<> task = create_task(body(), options);
        CHECK(task.get_context() == context);
        co_await task;
        CHECK(*context.get(number) == 10);
        CHECK(context.size() == 1);
    });
}

TEST_CASE("get_context of a running task is its live context") {
    run_simulated([]() -> Coro<> {
        number.set(1);
        Context mine = current_task().get_context();
        number.set(2);
        CHECK(*mine.get(number) == 2);
        co_await sleep(0s);
        number.set(3);
        CHECK(*mine.get(number) == 3);
    });
}

TEST_CASE("Context::run keeps what it sets, nests and refuses to be entered twice") {
    Context context;
    CHECK(context.run([] {
        number.set(4);
        return number.get();
    }) == 4);
    CHECK(number.get(-1) == -1);
    context.run([&] {
        CHECK(number.get() == 4);
        CHECK(error_of_call([&] { context.run([] {}); }) ==
              "RuntimeError: cannot enter context: it is already entered");
        Context inner = copy_context();
        inner.run([] { number.set(5); });
        CHECK(number.get() == 4);
    });
    Context copy = context.copy();
    copy.run([] { number.set(6); });
    CHECK(*context.get(number) == 4);
}

TEST_CASE("a variable without a value: LookupError, the default, the fallback") {
    Context().run([] {
        CHECK(error_of_call([] { (void)number.get(); }) == "LookupError: the context variable 'number' has no value");
        CHECK(number.get(3) == 3);
        CHECK(word.get() == "default");
        CHECK(word.get("fallback") == "fallback");
        CHECK_FALSE(copy_context().contains(word));
    });
}

TEST_CASE("reset restores the value before the set, once, and only its own variable's") {
    Context().run([] {
        auto first = number.set(1);
        auto second = number.set(2);
        CHECK(first.old_value() == nullptr);
        REQUIRE(second.old_value());
        CHECK(*second.old_value() == 1);
        number.reset(second);
        CHECK(number.get() == 1);
        CHECK(error_of_call([&] { number.reset(second); }) == "RuntimeError: the token has already been used once");
        number.reset(first);
        CHECK(number.get(-1) == -1);
        CHECK(copy_context().size() == 0);
        ContextVar<int> other("other");
        auto token = other.set(1);
        CHECK(ending_of_call([&] { number.reset(token); }) == "ValueError");
    });
}

TEST_CASE("a token of another context is refused, and still good in its own") {
    run_simulated([]() -> Coro<> {
        auto token = number.set(1);
        auto reset_elsewhere = [&token]() -> Coro<std::string> {
            co_return error_of_call([&token] { number.reset(token); });
        };
        const std::string in_a_task = co_await create_task(reset_elsewhere());
        CHECK(in_a_task == "ValueError: the token was created in a different Context");
        copy_context().run([&token] { CHECK(ending_of_call([&token] { number.reset(token); }) == "ValueError"); });
        CHECK(number.get() == 1);
        co_await sleep(0s);
        // A coroutine that is awaited runs in the context of its task.
        auto reset_here = [&token]() -> Coro<> {
            number.reset(token);
            co_return;
        };
        co_await reset_here();
        CHECK(number.get(-1) == -1);
    });
}

TEST_CASE("a token is good also after the task was asked for its context, wherever that runs") {
    run_simulated([]() -> Coro<> {
        auto first = number.set(1);
        auto second = number.set(2);
        auto third = number.set(3);
        Context mine = current_task().get_context();
        number.reset(third);
        CHECK(number.get() == 2);
        // Another task in this context, and a callback in it.
        auto reset_second = [&second]() -> Coro<std::string> {
            co_return ending_of_call([&second] { number.reset(second); });
        };
        Task<std::string> sharing = create_task(reset_second(), TaskOptions().context(mine));
        const std::string in_a_task = co_await sharing;
        CHECK(in_a_task == "ok");
        CHECK(number.get() == 1);
        auto reset_first = [&first]() -> Coro<std::string> {
            co_return ending_of_call([&first] { number.reset(first); });
        };
        Task<std::string> apart = create_task(reset_first());
        const std::string elsewhere = co_await apart;
        CHECK(elsewhere == "ValueError");
        copy_context().run([&first] { CHECK(ending_of_call([&first] { number.reset(first); }) == "ValueError"); });
        get_running_loop().call_soon(mine,
                                     [&first] { CHECK(ending_of_call([&first] { number.reset(first); }) == "ok"); });
        co_await turns(1);
        CHECK(number.get(-1) == -1);
    });
}

TEST_CASE("many variables keep their values apart, whatever the order of setting") {
    Context().run([] {
        std::vector<std::unique_ptr<ContextVar<int>>> variables;
        for (int i = 0; i < 50; ++i)
            variables.push_back(std::make_unique<ContextVar<int>>("v" + std::to_string(i)));
        for (int i = 49; i >= 0; --i)
            variables[static_cast<std::size_t>(i)]->set(i);
        for (int i = 0; i < 50; i += 2)
            variables[static_cast<std::size_t>(i)]->set(i + 100);
        for (int i = 0; i < 50; ++i)
            CHECK(variables[static_cast<std::size_t>(i)]->get() == (i % 2 == 0 ? i + 100 : i));
        CHECK(copy_context().size() == 50);
    });
}

TEST_CASE("a thread has a context of its own; a context can be carried to it") {
    number.set(1);
    int seen = 0;
    int carried = 0;
    Context context = copy_context();
    std::thread([&] {
        seen = number.get(-1);
        context.run([&] { carried = number.get(); });
        number.set(8);
    }).join();
    CHECK(seen == -1);
    CHECK(carried == 1);
    CHECK(number.get() == 1);
}

TEST_CASE("protocols are called in the context of who made the connection or the server") {
    run_on_each_backend([]() -> Coro<> {
        std::vector<std::string> seen;
        class Noting : public Protocol {
        public:
            explicit Noting(std::vector<std::string>& seen) : seen_(seen) {}
            void connection_made(std::shared_ptr<Transport> transport) override {
                seen_.push_back("made " + word.get());
                transport_ = std::move(transport);
            }
            void data_received(std::span<const std::byte>) override {
                seen_.push_back("data " + word.get());
                transport_->close();
            }
            void connection_lost(std::exception_ptr) override { transport_ = nullptr; }

        private:
            std::vector<std::string>& seen_;
            std::shared_ptr<Transport> transport_;
        };
        EventLoop& loop = get_running_loop();
        word.set("server");
        Server server = co_await loop.create_server([&] { return std::make_shared<Noting>(seen); }, "127.0.0.1", 0);
        word.set("client");
        auto [reader, writer] = co_await open_connection("127.0.0.1", server.sockets().at(0).port());
        word.set("later");
        writer.write("x");
        const Bytes rest = co_await reader.read();
        CHECK(rest.empty());
        writer.close();
        co_await writer.wait_closed();
        server.close();
        co_await server.wait_closed();
        CHECK(seen == std::vector<std::string>{"made server", "data server"});
    });
}

TEST_CASE("rule 118: call_soon_threadsafe, call_later, call_at and done-callbacks take a context, which they run in") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const int own = number.get(-1);
        Context context;
        context.run([] { number.set(0); });
        Future<int> future = loop.create_future<int>();
        int result = 0;
        const auto count = [] { number.set(number.get() + 1); };
        loop.call_soon_threadsafe(context, count);
        loop.call_later(context, 1ms, count);
        loop.call_later(context, 0.0015s, count);
        loop.call_at(context, loop.time() + 2ms, count);
        future.add_done_callback(context, count);
        future.add_done_callback(context, [&result](const Future<int>& done) { result = done.result(); });
        future.set_result(5);
        co_await sleep(3ms);
        CHECK(*context.get(number) == 5);
        CHECK(result == 5);
        CHECK(number.get(-1) == own);
    });
}

namespace {

/// Collects what `number` is in the context that a loop's exception handler runs in.
class NumbersInHandler {
public:
    explicit NumbersInHandler(EventLoop& loop) {
        loop.set_exception_handler([seen = seen_](EventLoop&, const ExceptionContext& context) {
            seen->push_back(context.message.substr(0, context.message.find(' ')) + " " + std::to_string(number.get(0)));
        });
    }
    std::vector<std::string> take() { return std::exchange(*seen_, {}); }

private:
    std::shared_ptr<std::vector<std::string>> seen_ = std::make_shared<std::vector<std::string>>();
};

Coro<> set_and_fail(int value) {
    number.set(value);
    throw ValueError("x");
    co_return;
}

Coro<> set_and_wait(int value) {
    number.set(value);
    co_await sleep(1h);
}

}  // namespace

TEST_CASE("the exception handler runs in the context of the callback that failed") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        NumbersInHandler numbers(loop);
        const auto fail = [] { throw ValueError("x"); };
        number.set(1);
        Context context;
        context.run([] { number.set(9); });
        Future<> future = loop.create_future<void>();
        loop.call_soon(fail);
        loop.call_soon(context, fail);
        loop.call_soon_threadsafe(context, fail);
        loop.call_later(context, 1ms, fail);
        future.add_done_callback(fail);
        future.add_done_callback(context, fail);
        number.set(2);
        future.set_result();
        co_await sleep(2ms);
        CHECK(numbers.take() == std::vector<std::string>{"Exception 1", "Exception 9", "Exception 9", "Exception 1",
                                                         "Exception 9", "Exception 9"});
    });
}

TEST_CASE("a callback whose context is entered already is reported, and does not run") {
    run_simulated([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Reports reports(loop);
        Context context;
        bool ran = false;
        loop.call_soon(context,
                       [&loop, &ran, context] { detail::bind_context(loop, context, [&ran] { ran = true; })(); });
        co_await turns(2);
        CHECK_FALSE(ran);
        REQUIRE(reports.size() == 1);
        CHECK(error_text(reports[0].exception) == "RuntimeError: cannot enter context: it is already entered");
    });
}

TEST_CASE("the exception handler runs in the context of the task whose exception was never retrieved") {
    run_simulated([]() -> Coro<> {
        NumbersInHandler numbers(get_running_loop());
        number.set(1);
        Context context;
        {
            Task<> own = create_task(set_and_fail(7));
            Task<> given = create_task(set_and_fail(8), TaskOptions().context(context));
            co_await turns(2);
        }
        std::vector<std::string> seen = numbers.take();
        std::sort(seen.begin(), seen.end());
        CHECK(seen == std::vector<std::string>{"Task 7", "Task 8"});
    });
}

TEST_CASE("the exception handler runs in the context of the task that is destroyed while it is pending") {
    auto loop = make_simulated_loop();
    NumbersInHandler numbers(*loop);
    (void)loop->create_task(set_and_wait(7));
    loop->stop();
    loop->run_forever();
    loop->close();
    CHECK(numbers.take() == std::vector<std::string>{"Task 7"});
}

TEST_CASE("the exception handler runs in the context of the task that fails while the run ends") {
    auto holder = make_simulated_loop();
    NumbersInHandler numbers(*holder);
    const auto failing = []() -> Coro<> {
        try {
            co_await set_and_wait(7);
        } catch (const CancelledError&) {
            throw ValueError("in cleanup");
        }
    };
    const auto body = [&]() -> Coro<> {
        number.set(1);
        (void)create_task(failing());
        co_await turns(2);
    };
    RunOptions options;
    options.loop_factory([&] { return std::move(holder); });
    Runner runner(std::move(options));
    runner.run(body());
    runner.close();
    CHECK(numbers.take() == std::vector<std::string>{"unhandled 7"});
}
