#include "support/harness.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

class Metrics : public Service {
public:
    Metrics(Trace& trace, int start) : trace(trace), count(start) {}
    ~Metrics() override { trace("metrics-gone"); }
    std::string_view name() const noexcept override { return "metrics"; }
    void shutdown() noexcept override { trace("metrics-down"); }
    Trace& trace;
    int count;
};

class Cache : public Service {
public:
    explicit Cache(Trace& trace) : trace(trace) {}
    std::string_view name() const noexcept override { return "cache"; }
    void shutdown() noexcept override { trace("cache-down"); }
    Trace& trace;
};

}  // namespace

TEST_CASE("a service is reached by its type") {
    Trace trace;
    auto loop = make_simulated_loop();
    CHECK(loop->find_service<Metrics>() == nullptr);
    CHECK(ending_of_call([&] { loop->service<Metrics>(); }) == "RuntimeError");
    Metrics& made = loop->add_service<Metrics>(trace, 41);
    ++loop->service<Metrics>().count;
    CHECK(made.count == 42);
    CHECK(loop->find_service<Metrics>() == &made);
    CHECK(loop->find_service<Cache>() == nullptr);
}

TEST_CASE("a loop has at most one service of a type") {
    Trace trace;
    auto loop = make_simulated_loop();
    loop->add_service<Cache>(trace);
    CHECK(ending_of_call([&] { loop->add_service<Cache>(trace); }) == "ValueError");
}

TEST_CASE("services are shut down in reverse order when the loop closes, after the tasks and before the backend") {
    Trace trace;
    auto loop = make_simulated_loop();
    loop->set_exception_handler([&](EventLoop&, const ExceptionContext&) { trace("task-destroyed"); });
    loop->add_service<Metrics>(trace, 0);
    loop->add_service<Cache>(trace);
    loop->create_task(turns(1));
    loop->close();
    CHECK(trace.text() == "task-destroyed cache-down metrics-down metrics-gone");
    CHECK(loop->find_service<Metrics>() == nullptr);
    CHECK(ending_of_call([&] { loop->add_service<Cache>(trace); }) == "RuntimeError");
}

TEST_CASE("a service of the application's may have an of() of its own") {
    class Own : public Service {
    public:
        static Own& of(EventLoop& loop) { return loop.service<Own>(); }
        std::string_view name() const noexcept override { return "own"; }
    };
    auto loop = make_simulated_loop();
    CHECK(ending_of_call([&] { Own::of(*loop); }) == "RuntimeError");
    Own& made = loop->add_service<Own>();
    CHECK(&Own::of(*loop) == &made);
}
