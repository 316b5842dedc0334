#include "support/harness.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

AsyncGenerator<int> count_to(int n) {
    for (int i = 0; i < n; ++i) {
        co_await sleep(1s);
        co_yield i;
    }
}

AsyncGenerator<int> tidy(Trace& trace) {
    bool closed = false;
    try {
        co_yield 1;
        co_yield 2;
    } catch (const GeneratorExit&) {
        closed = true;
    }
    if (!closed) co_return;
    trace("closing");
    co_await sleep(1s);
    trace("closed");
}

}  // namespace

TEST_CASE("a generator gives its values in order, suspends in between, and then gives nothing") {
    run_simulated([]() -> Coro<> {
        const TimePoint begin = get_running_loop().time();
        std::vector<int> values;
        auto generator = count_to(3);
        while (auto value = co_await generator.next())
            values.push_back(*value);
        CHECK(values == std::vector<int>{0, 1, 2});
        CHECK(get_running_loop().time() - begin == 3s);
        const auto after = co_await generator.next();
        CHECK_FALSE(after);
    });
}

TEST_CASE("a generator that never suspends survives many values") {
    run_simulated([]() -> Coro<> {
        const auto numbers = [](int n) -> AsyncGenerator<int> {
            for (int i = 0; i < n; ++i)
                co_yield i;
        };
        long sum = 0;
        auto generator = numbers(200'000);
        while (auto value = co_await generator.next())
            sum += *value;
        CHECK(sum == 199'999L * 100'000);
    });
}

TEST_CASE("generators nest, and give values that can only be moved") {
    run_simulated([]() -> Coro<> {
        const auto boxed = [](int n) -> AsyncGenerator<std::unique_ptr<int>> {
            auto inner = count_to(n);
            while (auto value = co_await inner.next())
                co_yield std::make_unique<int>(*value);
        };
        int sum = 0;
        auto generator = boxed(4);
        while (auto value = co_await generator.next())
            sum += **value;
        CHECK(sum == 6);
    });
}

TEST_CASE("what the body throws leaves next() and ends the generator") {
    run_simulated([]() -> Coro<> {
        const auto failing = []() -> AsyncGenerator<int> {
            co_yield 1;
            throw ValueError("enough");
        };
        auto generator = failing();
        (void)co_await generator.next();
        const std::exception_ptr error = co_await error_of(generator.next());
        CHECK(error_text(error) == "ValueError: enough");
        const auto after = co_await generator.next();
        CHECK_FALSE(after);
    });
}

TEST_CASE("aclose raises GeneratorExit at the co_yield, and the clean-up may await") {
    run_simulated([]() -> Coro<> {
        Trace trace;
        auto generator = tidy(trace);
        (void)co_await generator.next();
        co_await generator.aclose();
        CHECK(trace.text() == "closing closed");
        co_await generator.aclose();  // again: nothing
        const auto after = co_await generator.next();
        CHECK_FALSE(after);
    });
}

TEST_CASE("aclose of a generator that has not begun keeps its body from running") {
    run_simulated([]() -> Coro<> {
        Trace trace;
        auto generator = tidy(trace);
        co_await generator.aclose();
        CHECK(trace.text().empty());
        const auto after = co_await generator.next();
        CHECK_FALSE(after);
    });
}

TEST_CASE("a generator that gives a value in spite of GeneratorExit: RuntimeError") {
    run_simulated([]() -> Coro<> {
        const auto stubborn = []() -> AsyncGenerator<int> {
            for (int i = 0;; ++i) {
                try {
                    co_yield i;
                } catch (const GeneratorExit&) {
                    continue;
                }
            }
        };
        auto generator = stubborn();
        (void)co_await generator.next();
        const std::exception_ptr error = co_await error_of(generator.aclose());
        CHECK(error_text(error) == "RuntimeError: async generator ignored GeneratorExit");
    });
}

TEST_CASE("athrow raises the error at the co_yield") {
    run_simulated([]() -> Coro<> {
        const auto converting = []() -> AsyncGenerator<std::string> {
            std::string text = "begin";
            for (;;) {
                try {
                    co_yield text;
                } catch (const ValueError& error) {
                    text = error.what();
                }
            }
        };
        auto generator = converting();
        (void)co_await generator.next();
        const auto value = co_await generator.athrow(ValueError("caught"));
        REQUIRE(value);
        CHECK(*value == "caught");
        auto fresh = converting();
        const std::exception_ptr error = co_await error_of(fresh.athrow(ValueError("early")));
        CHECK(error_text(error) == "ValueError: early");
    });
}

TEST_CASE("cancelling a task in a generator raises CancelledError at the await in its body") {
    run_simulated([]() -> Coro<> {
        Trace trace;
        const auto waiting = [&]() -> AsyncGenerator<int> {
            try {
                co_await sleep(1h);
            } catch (const CancelledError&) {
                trace("body");
                throw;
            }
            co_yield 1;
        };
        const auto consumer = [&]() -> Coro<> {
            auto generator = waiting();
            (void)co_await generator.next();
        };
        Task<> task = create_task(consumer());
        co_await turns(1);
        task.cancel();
        const std::string text = co_await ending(task);
        CHECK(text == "CancelledError");
        CHECK(trace.text() == "body");
    });
}

TEST_CASE("two coroutines cannot await one generator at a time") {
    run_simulated([]() -> Coro<> {
        auto generator = count_to(2);
        const auto reader = [&]() -> Coro<std::optional<int>> { co_return co_await generator.next(); };
        Task<std::optional<int>> first = create_task(reader());
        co_await turns(1);
        const std::exception_ptr error = co_await error_of(generator.next());
        CHECK(error_text(error) == "RuntimeError: anext(): asynchronous generator is already running");
        const auto value = co_await first;
        CHECK(value == 0);
    });
}

TEST_CASE("a generator that is dropped in the middle destroys what its body holds") {
    run_simulated([]() -> Coro<> {
        auto token = std::make_shared<int>(0);
        const auto holding = [](std::shared_ptr<int> held) -> AsyncGenerator<int> {
            co_yield *held;
            co_yield *held;
        };
        {
            auto generator = holding(token);
            (void)co_await generator.next();
            CHECK(token.use_count() == 2);
        }
        CHECK(token.use_count() == 1);
    });
}

TEST_CASE("shutdown_asyncgens closes what is left, reports its errors, and warns of later ones") {
    auto loop = make_simulated_loop();
    Reports reports(*loop);
    std::vector<std::string> log;
    loop->set_logger([&](std::string_view line) { log.emplace_back(line); });
    Trace trace;
    const auto failing = []() -> AsyncGenerator<int> {
        bool closed = false;
        try {
            co_yield 1;
        } catch (const GeneratorExit&) {
            closed = true;
        }
        if (closed) throw ValueError("in the clean-up");
    };
    AsyncGenerator<int> first = tidy(trace);
    AsyncGenerator<int> second = failing();
    AsyncGenerator<int> late = tidy(trace);
    const auto begin = [&]() -> Coro<> {
        (void)co_await first.next();
        (void)co_await second.next();
    };
    loop->run_until_complete(begin());
    loop->run_until_complete(loop->shutdown_asyncgens());
    CHECK(trace.text() == "closing closed");
    REQUIRE(reports.size() == 1);
    CHECK(reports[0].message.starts_with("an error occurred during closing of asynchronous generator "));
    CHECK(error_text(reports[0].exception) == "ValueError: in the clean-up");
    const auto use_late = [&]() -> Coro<> { (void)co_await late.next(); };
    loop->run_until_complete(use_late());
    REQUIRE(log.size() == 1);
    CHECK(log[0].ends_with("was scheduled after loop.shutdown_asyncgens() call"));
    loop->close();
}

TEST_CASE(
    "shutdown_asyncgens closes all at once; a cancelled clean-up is not reported and keeps no other from closing") {
    auto loop = make_simulated_loop();
    Reports reports(*loop);
    Trace trace;
    const auto cancelled = []() -> AsyncGenerator<int> {
        bool closed = false;
        try {
            co_yield 1;
        } catch (const GeneratorExit&) {
            closed = true;
        }
        if (closed) throw CancelledError();
    };
    AsyncGenerator<int> first = tidy(trace);
    AsyncGenerator<int> second = cancelled();
    AsyncGenerator<int> third = tidy(trace);
    const auto begin = [&]() -> Coro<> {
        (void)co_await first.next();
        (void)co_await second.next();
        (void)co_await third.next();
    };
    loop->run_until_complete(begin());
    const TimePoint before = loop->time();
    loop->run_until_complete(loop->shutdown_asyncgens());
    CHECK(trace.text() == "closing closing closed closed");
    CHECK(loop->time() - before == 1s);
    CHECK(reports.messages().empty());
    loop->close();
}

TEST_CASE(
    "after shutdown_asyncgens a generator that begins is warned of, also if none ran before, or while it closes") {
    auto loop = make_simulated_loop();
    std::vector<std::string> log;
    loop->set_logger([&](std::string_view line) { log.emplace_back(line); });
    Trace trace;
    AsyncGenerator<int> late = tidy(trace);
    const auto use_late = [&]() -> Coro<> { (void)co_await late.next(); };
    SUBCASE("none ran before") {
        loop->run_until_complete(loop->shutdown_asyncgens());
        loop->run_until_complete(use_late());
        CHECK(log.size() == 1);
    }
    SUBCASE("while it closes") {
        AsyncGenerator<int> slow = tidy(trace);
        const auto meanwhile = [&]() -> Coro<> {
            (void)co_await slow.next();
            Task<> shutdown = create_task(get_running_loop().shutdown_asyncgens());
            co_await turns(2);
            (void)co_await late.next();
            co_await shutdown;
        };
        loop->run_until_complete(meanwhile());
        CHECK(log.size() == 1);
    }
    loop->close();
}

TEST_CASE("a generator may outlive its loop") {
    Trace trace;
    AsyncGenerator<int> generator = tidy(trace);
    {
        auto loop = make_simulated_loop();
        const auto begin = [&]() -> Coro<> { (void)co_await generator.next(); };
        loop->run_until_complete(begin());
        loop->close();
    }
    CHECK(trace.text().empty());
}

TEST_CASE("a task that is destroyed inside a generator that is held elsewhere takes the body with it") {
    class Local {
    public:
        explicit Local(Trace& trace) : trace_(trace) {}
        Local(const Local&) = delete;
        Local& operator=(const Local&) = delete;
        ~Local() { trace_("destroyed"); }

    private:
        Trace& trace_;
    };
    Trace trace;
    auto loop = make_simulated_loop();
    Reports reports(*loop);
    Future<> never = loop->create_future<void>();
    const auto waits = [&]() -> AsyncGenerator<int> {
        const Local local(trace);
        co_await never;
        co_yield 1;
    };
    AsyncGenerator<int> inner = waits();
    const auto passes_on = [&]() -> AsyncGenerator<int> {
        while (auto value = co_await inner.next())
            co_yield *value;
    };
    AsyncGenerator<int> outer = passes_on();
    const auto consume = [&]() -> Coro<> { (void)co_await outer.next(); };
    (void)loop->create_task(consume());
    loop->run_until_complete(turns(3));
    CHECK(trace.text().empty());
    loop->close();
    CHECK(trace.text() == "destroyed");
    CHECK(reports.messages() == "Task was destroyed but it is pending!");
    CHECK_FALSE(never.done());
    // They have ended.
    auto other = make_simulated_loop();
    const auto use = [](AsyncGenerator<int>& generator) -> Coro<bool> {
        const auto value = co_await generator.next();
        co_await generator.aclose();
        co_return value.has_value();
    };
    CHECK_FALSE(other->run_until_complete(use(inner)));
    CHECK_FALSE(other->run_until_complete(use(outer)));
}

TEST_CASE("a generator is moved, used or not, and what it replaces is destroyed") {
    run_simulated([]() -> Coro<> {
        AsyncGenerator<int> unused = count_to(1);
        AsyncGenerator<int> used = count_to(2);
        (void)co_await used.next();
        AsyncGenerator<int> moved = std::move(used);
        const auto second = co_await moved.next();
        CHECK(second == 1);
        moved = std::move(unused);
        const auto first = co_await moved.next();
        CHECK(first == 0);
        const auto end = co_await moved.next();
        CHECK_FALSE(end);
        moved = AsyncGenerator<int>();
        CHECK(moved.repr() == "<async_generator>");
    });
}

TEST_CASE("try_finally awaits the clean-up after a value, an exception and a cancellation") {
    run_simulated([]() -> Coro<> {
        Trace trace;
        const auto cleanup = [&]() -> Coro<> {
            co_await sleep(1s);
            trace("clean");
        };
        const auto value = [&]() -> Coro<int> { co_return 7; };
        const int seven = co_await try_finally(value, cleanup);
        CHECK(seven == 7);
        const auto failing = []() -> Coro<> {
            co_await sleep(1s);
            throw ValueError("x");
        };
        const std::exception_ptr error = co_await error_of(try_finally(failing, cleanup));
        CHECK(error_text(error) == "ValueError: x");
        const auto endless = []() -> Coro<> { co_await sleep(1h); };
        Task<> task = create_task(try_finally(endless, cleanup));
        co_await turns(1);
        task.cancel();
        const std::string text = co_await ending(task);
        CHECK(text == "CancelledError");
        CHECK(trace.text() == "clean clean clean");
    });
}

TEST_CASE("what the clean-up of try_finally throws takes the place of the body's error") {
    run_simulated([]() -> Coro<> {
        const auto failing = []() -> Coro<> {
            co_await sleep(0s);
            throw ValueError("body");
        };
        const auto cleanup = []() -> Coro<> {
            co_await sleep(0s);
            throw RuntimeError("cleanup");
        };
        const std::exception_ptr error = co_await error_of(try_finally(failing, cleanup));
        CHECK(error_text(error) == "RuntimeError: cleanup");
    });
}
