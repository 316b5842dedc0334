// What is thrown where nobody catches it leaves the loop usable; each trace is the one of the same program in asyncio.
#include "torture/torture.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

/// What a callback may throw: each kind in turn.
enum class Thrown { exception, number, cancelled, keyboard_interrupt, system_exit };
constexpr Thrown every_kind[] = {Thrown::exception, Thrown::number, Thrown::cancelled, Thrown::keyboard_interrupt,
                                 Thrown::system_exit};

void throw_it(Thrown kind) {
    switch (kind) {
    case Thrown::exception: throw ValueError("wrong");
    case Thrown::number: throw 7;
    case Thrown::cancelled: throw CancelledError();
    case Thrown::keyboard_interrupt: throw KeyboardInterrupt();
    case Thrown::system_exit: throw SystemExit(3);
    }
}

std::string name_of(Thrown kind) {
    switch (kind) {
    case Thrown::exception: return "ValueError";
    case Thrown::number: return "int";
    case Thrown::cancelled: return "CancelledError";
    case Thrown::keyboard_interrupt: return "KeyboardInterrupt";
    case Thrown::system_exit: return "SystemExit";
    }
    return "";
}

bool leaves_the_loop(Thrown kind) {
    return kind == Thrown::keyboard_interrupt || kind == Thrown::system_exit;
}

/// A loop whose handler traces, run until stop() and, if it is left before, once more.
class TracedLoop {
public:
    TracedLoop() {
        loop_->set_exception_handler(
            [this](EventLoop&, const ExceptionContext& context) { trace("handler:" + error_type(context.exception)); });
    }
    EventLoop& operator*() const noexcept { return *loop_; }
    EventLoop* operator->() const noexcept { return loop_.get(); }
    std::string run() {
        if (!run_once()) CHECK(run_once());
        return trace.text();
    }
    Trace trace;

private:
    bool run_once() {
        try {
            loop_->run_forever();
        } catch (...) {
            trace("left:" + error_type(std::current_exception()));
            CHECK(!loop_->is_running());
            CHECK(loop_->current_task() == nullptr);
            return false;
        }
        trace("end");
        return true;
    }
    std::unique_ptr<EventLoop> loop_ = make_simulated_loop();
};

/// What a callback that throws adds to the trace.
std::string outcome(Thrown kind) {
    return (leaves_the_loop(kind) ? "left:" : "handler:") + name_of(kind);
}

}  // namespace

TEST_CASE("callbacks that throw") {
    for (const Thrown kind : every_kind) {
        TracedLoop loop;
        loop->call_soon([&] { loop.trace("a"); });
        loop->call_soon(throw_it, kind);
        loop->call_soon([&] { loop.trace("b"); });
        loop->call_soon([&] { loop->stop(); });
        CHECK(loop.run() == "a " + outcome(kind) + " b end");
    }
}

TEST_CASE("callbacks from another thread that throw") {
    for (const Thrown kind : every_kind) {
        TracedLoop loop;
        loop->call_soon_threadsafe([&] { loop.trace("a"); });
        loop->call_soon_threadsafe(throw_it, kind);
        loop->call_soon_threadsafe([&] { loop.trace("b"); });
        loop->call_soon_threadsafe([&] { loop->stop(); });
        CHECK(loop.run() == "a " + outcome(kind) + " b end");
    }
}

TEST_CASE("timers that throw") {
    for (const Thrown kind : every_kind) {
        TracedLoop loop;
        loop->call_later(0ms, [&] { loop.trace("a"); });
        loop->call_later(1ms, throw_it, kind);
        loop->call_later(1ms, [&] { loop.trace("b"); });
        loop->call_later(2ms, [&] { loop->stop(); });
        CHECK(loop.run() == "a " + outcome(kind) + " b end");
    }
}

TEST_CASE("done-callbacks that throw") {
    for (const Thrown kind : every_kind) {
        TracedLoop loop;
        Future<int> future = loop->create_future<int>();
        future.add_done_callback([&] { loop.trace("a"); });
        future.add_done_callback([kind] { throw_it(kind); });
        future.add_done_callback([&] { loop.trace("b"); });
        auto waiter = [&]() -> Coro<> {
            const int value = co_await future;
            loop.trace("got" + std::to_string(value));
            loop->stop();
        };
        loop->create_task(waiter());
        loop->call_soon([&] { future.set_result(1); });
        CHECK(loop.run() == "a " + outcome(kind) + " b got1 end");
    }
}

TEST_CASE("rule 119: exception handlers that throw") {
    for (const Thrown kind : every_kind) {
        TracedLoop loop;
        std::string logged;
        loop->set_logger([&](std::string_view line) { logged += std::string(line) + "\n"; });
        loop->set_exception_handler([&](EventLoop&, const ExceptionContext&) {
            loop.trace("handler");
            throw_it(kind);
        });
        loop->call_soon([] { throw ValueError("the first"); });
        loop->call_soon([&] { loop.trace("b"); });
        loop->call_soon([&] { loop->stop(); });
        const bool leaves = leaves_the_loop(kind);
        CHECK(loop.run() == "handler" + std::string(leaves ? " " + outcome(kind) : "") + " b end");
        CHECK((logged.find("Unhandled error in exception handler") != std::string::npos) == !leaves);
        CHECK((logged.find("the first") != std::string::npos) == !leaves);
    }
}

TEST_CASE("loggers that throw") {
    for (const Thrown kind : every_kind) {
        TracedLoop loop;
        loop->set_exception_handler(nullptr);
        loop->set_logger([&](std::string_view) {
            loop.trace("logger");
            throw_it(kind);
        });
        loop->call_soon([] { throw ValueError("the first"); });
        loop->call_soon([&] { loop.trace("b"); });
        loop->call_soon([&] { loop->stop(); });
        const bool leaves = leaves_the_loop(kind);
        CHECK(loop.run() == "logger" + std::string(leaves ? " " + outcome(kind) : "") + " b end");
    }
}

TEST_CASE("rule 17: tasks that throw") {
    for (const Thrown kind : every_kind) {
        TracedLoop loop;
        auto bad = [kind]() -> Coro<> {
            co_await sleep(0s);
            throw_it(kind);
        };
        auto waiter = [&](Task<> task) -> Coro<> {
            const std::exception_ptr error = co_await error_of(task);
            loop.trace("awaited:" + error_type(error));
            loop.trace(current_task() ? "current" : "none");
            loop->stop();
        };
        auto other = [&]() -> Coro<> {
            for (int i = 0; i < 4; ++i) {
                loop.trace(std::to_string(i));
                co_await sleep(0s);
            }
        };
        Task<> task = loop->create_task(bad());
        loop->create_task(waiter(task));
        loop->create_task(other());
        const std::string name = name_of(kind);
        CHECK(loop.run() == (leaves_the_loop(kind) ? "0 left:" + name + " 1 awaited:" + name + " current end"
                                                   : "0 1 awaited:" + name + " current 2 end"));
        CHECK(task.done());
        loop->set_exception_handler([](EventLoop&, const ExceptionContext&) {});
    }
}

TEST_CASE("eager tasks that throw give the creator its task back") {
    for (const Thrown kind : every_kind) {
        TracedLoop loop;
        ContextVar<int> variable("variable", 0);
        auto bad = [&variable, kind]() -> Coro<> {
            variable.set(2);
            throw_it(kind);
            co_return;
        };
        Task<> creator;
        auto body = [&]() -> Coro<> {
            variable.set(1);
            try {
                Task<> task = create_task(bad(), TaskOptions().eager_start(true));
                loop.trace("made");
                const std::exception_ptr error = co_await error_of(task);
                loop.trace("awaited:" + error_type(error));
            } catch (...) {
                loop.trace("thrown:" + error_type(std::current_exception()));
            }
            for (int i = 0; i < 2; ++i) {
                loop.trace(current_task() == creator && variable.get() == 1 ? "current" : "none");
                co_await sleep(0s);
            }
            loop->stop();
        };
        creator = loop->create_task(body());
        const std::string name = name_of(kind);
        CHECK(loop.run() ==
              (leaves_the_loop(kind) ? "thrown:" + name : "made awaited:" + name) + " current current end");
    }
}

TEST_CASE("task factories that throw") {
    for (const Thrown kind : every_kind) {
        TracedLoop loop;
        auto child = [&](Probe) -> Coro<> {
            loop.trace("child");
            co_return;
        };
        auto body = [&]() -> Coro<> {
            loop->set_task_factory([kind](EventLoop&, TaskOptions options) {
                throw_it(kind);
                return options;
            });
            try {
                create_task(child(Probe()));
            } catch (...) {
                loop.trace("thrown:" + error_type(std::current_exception()));
            }
            loop->set_task_factory(nullptr);
            CHECK(Probe::alive() == 0);
            co_await create_task(child(Probe()));
        };
        loop->run_until_complete(body());
        CHECK(loop.trace.text() == "thrown:" + name_of(kind) + " child");
        CHECK(Probe::broken() == 0);
    }
}

TEST_CASE("functions that throw in a context leave it") {
    for (const Thrown kind : every_kind) {
        TracedLoop loop;
        ContextVar<int> variable("variable", 0);
        const Context context;
        const auto set_and_throw = [&](int value) {
            variable.set(value);
            throw_it(kind);
        };
        CHECK_THROWS(context.run(set_and_throw, 1));
        CHECK(variable.get() == 0);
        CHECK(context.run([&] { return variable.get(); }) == 1);
        loop->call_soon(context, set_and_throw, 2);
        loop->call_soon(context, [&] { loop.trace(std::to_string(variable.get())); });
        loop->call_soon([&] {
            loop.trace(std::to_string(variable.get()));
            loop->stop();
        });
        CHECK(loop.run() == outcome(kind) + " 2 0 end");
    }
}

namespace {

/// Traces its callbacks and throws in the one of this name.
class Thrower final : public Protocol {
public:
    Thrower(Trace& trace, std::string where, Thrown kind) : trace_(trace), where_(std::move(where)), kind_(kind) {}
    /// Writes so many bytes once connected, and closes then.
    void answer(std::size_t bytes) noexcept { bytes_ = bytes; }
    void connection_made(std::shared_ptr<Transport> transport) override {
        transport_ = std::move(transport);
        called("connection_made");
        if (bytes_ == 0) return;
        transport_->write(std::string(bytes_, 'x'));
        transport_->close();
    }
    void data_received(std::span<const std::byte>) override { called("data_received"); }
    bool eof_received() override {
        called("eof_received");
        return false;
    }
    void pause_writing() override { called("pause_writing"); }
    void resume_writing() override { called("resume_writing"); }
    void connection_lost(std::exception_ptr error) override {
        transport_ = nullptr;
        called("connection_lost", error ? "(" + error_type(error) + ")" : "");
    }

private:
    void called(const std::string& name, const std::string& detail = {}) {
        trace_(name + detail);
        if (name == where_) throw_it(kind_);
    }
    Trace& trace_;
    const std::string where_;
    const Thrown kind_;
    std::size_t bytes_ = 0;
    std::shared_ptr<Transport> transport_;
};

/// A client sends one byte and its end, reads what comes, and the server must get rid of the connection.
std::string trace_of_connection(const std::string& where, Thrown kind, std::size_t answer = 0) {
    TracedLoop loop;
    auto body = [&]() -> Coro<> {
        auto factory = [&] {
            auto protocol = std::make_shared<Thrower>(loop.trace, where, kind);
            protocol->answer(answer);
            return protocol;
        };
        Server server = co_await loop->create_server(factory, "127.0.0.1", 7000);
        auto [reader, writer] = co_await open_connection("127.0.0.1", 7000);
        writer.write("x");
        co_await sleep(1ms);
        writer.write_eof();
        (void)co_await error_of(reader.read());
        co_await sleep(1ms);
        server.close();
        co_await server.wait_closed();
        writer.close();
        loop->stop();
    };
    loop->create_task(body());
    return loop.run();
}

}  // namespace

TEST_CASE("protocols that throw") {
    for (const Thrown kind : every_kind) {
        const std::string told = outcome(kind);
        const std::string lost = "connection_lost(" + name_of(kind) + ") end";
        CHECK(trace_of_connection("", kind) == "connection_made data_received eof_received connection_lost end");
        CHECK(trace_of_connection("connection_made", kind) ==
              "connection_made " + told + " data_received eof_received connection_lost end");
        CHECK(trace_of_connection("connection_lost", kind) ==
              "connection_made data_received eof_received connection_lost " + told + " end");
        CHECK(trace_of_connection("data_received", kind) ==
              "connection_made data_received " + told +
                  (leaves_the_loop(kind) ? " eof_received connection_lost end" : " " + lost));
        if (leaves_the_loop(kind)) continue;
        CHECK(trace_of_connection("eof_received", kind) ==
              "connection_made data_received eof_received " + told + " " + lost);
    }
}

TEST_CASE("protocols that throw while the transport flushes its buffer") {
    constexpr std::size_t answer = 300'000;
    for (const Thrown kind : every_kind) {
        const std::string told = " " + outcome(kind);
        const auto trace = [kind](const char* where) { return trace_of_connection(where, kind, answer); };
        CHECK(trace("") == "connection_made pause_writing resume_writing connection_lost end");
        CHECK(trace("connection_lost") ==
              "connection_made pause_writing resume_writing connection_lost" + told + " end");
        if (leaves_the_loop(kind)) continue;
        CHECK(trace("pause_writing") == "connection_made pause_writing" + told + " resume_writing connection_lost end");
        CHECK(trace("resume_writing") ==
              "connection_made pause_writing resume_writing" + told + " connection_lost end");
    }
}
