#include "support/harness.hpp"

#include <type_traits>

using namespace weft;
using namespace weft::testing;

namespace {

class CountingPolicy : public EventLoopPolicy {
public:
    std::unique_ptr<EventLoop> new_event_loop() override {
        ++loops;
        return make_simulated_loop();
    }
    int loops = 0;
};

/// Puts the default policy back.
struct Restore {
    ~Restore() { set_event_loop_policy(nullptr); }
};

}  // namespace

TEST_CASE("the policy decides what new_event_loop(), run() and Runner make") {
    Restore restore;
    auto policy = std::make_shared<CountingPolicy>();
    set_event_loop_policy(policy);
    CHECK(get_event_loop_policy() == policy);
    CHECK(new_event_loop()->backend().name() == "sim");
    CHECK(policy->loops == 1);
    CHECK(run(turns(1)) == 0);
    CHECK(policy->loops == 2);
    Runner runner;
    CHECK(policy->loops == 2);  // lazily
    CHECK(runner.get_loop().backend().name() == "sim");
    runner.run(turns(1));
    CHECK(policy->loops == 3);
}

TEST_CASE("the default policy makes loops over Asio; null restores it") {
    Restore restore;
    set_event_loop_policy(std::make_shared<CountingPolicy>());
    set_event_loop_policy(nullptr);
    CHECK(new_event_loop()->backend().name() == "asio");
    CHECK(get_event_loop_policy() == get_event_loop_policy());
}

TEST_CASE("a loop factory of one run takes precedence over the policy") {
    Restore restore;
    auto policy = std::make_shared<CountingPolicy>();
    set_event_loop_policy(policy);
    Runner runner(RunOptions().loop_factory([] { return make_real_loop(); }));
    CHECK(runner.get_loop().backend().name() == "asio");
    CHECK(policy->loops == 0);
}

TEST_CASE("a new loop is not the current one") {
    auto loop = new_event_loop();
    CHECK_FALSE(loop->is_running());
    CHECK(ending_of_call([] { get_running_loop(); }) == "RuntimeError");
}

static_assert(std::is_abstract_v<EventLoopPolicy>);
static_assert(!std::is_copy_constructible_v<EventLoop> && !std::is_move_constructible_v<EventLoop>);
