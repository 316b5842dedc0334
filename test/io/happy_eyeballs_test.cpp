#include "support/harness.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

sim::SimNetwork& network() {
    return static_cast<sim::SimBackend&>(get_running_loop().backend()).network();
}

/// host.test has 2001:db8::1, 2001:db8::2, 10.0.0.1 and 10.0.0.2, in this order.
void name_hosts() {
    for (const char* address : {"2001:db8::1", "2001:db8::2", "10.0.0.1", "10.0.0.2"})
        network().add_name("host.test", *Address::parse(address, 0));
}

void set_latency(const char* address, Duration latency) {
    network().set_connect_latency(*Address::parse(address, 0), latency);
}

constexpr Duration never = Duration::max();

/// Counts its connections and those that ended.
class Host {
public:
    Coro<> listen(const char* address) {
        server_ = co_await start_server(
            [this](StreamReader reader, StreamWriter writer) -> Coro<> {
                ++made;
                (void)co_await reader.read(-1);
                ++ended;
                writer.close();
            },
            address, 80);
    }
    Coro<> close() {
        server_.close();
        co_await server_.wait_closed();
    }
    int made = 0;
    int ended = 0;

private:
    Server server_;
};

/// Where open_connection("host.test") got to, and how long it took.
Coro<std::string> winner(ConnectionOptions options, Duration& took) {
    const TimePoint begin = get_running_loop().time();
    auto [reader, writer] = co_await open_connection("host.test", 80, options);
    took = get_running_loop().time() - begin;
    const std::string host = writer.peername()->host();
    writer.close();
    co_await writer.wait_closed();
    co_return host;
}

}  // namespace

TEST_CASE("happy eyeballs: families alternate, and an address that does not answer costs one delay") {
    run_simulated([]() -> Coro<> {
        name_hosts();
        set_latency("2001:db8::1", never);
        Host v4;
        co_await v4.listen("10.0.0.1");
        Duration took{};
        const std::string host = co_await winner(ConnectionOptions().happy_eyeballs_delay(250ms), took);
        CHECK(host == "10.0.0.1");  // and not 2001:db8::2, which refuses
        CHECK(took == 250ms);
        co_await v4.close();
        CHECK(v4.made == 1);
    });
}

TEST_CASE("happy eyeballs: the next attempt begins at once when the last one has failed") {
    run_simulated([]() -> Coro<> {
        name_hosts();
        Host v4;
        co_await v4.listen("10.0.0.2");
        Duration took{};
        const std::string host = co_await winner(ConnectionOptions().happy_eyeballs_delay(250ms), took);
        CHECK(host == "10.0.0.2");
        CHECK(took < 1ms);
        co_await v4.close();
    });
}

TEST_CASE("happy eyeballs: the first to answer is taken, one only, and the others leave nothing behind") {
    run_simulated([]() -> Coro<> {
        name_hosts();
        set_latency("2001:db8::1", 400ms);
        set_latency("10.0.0.1", 150ms);  // both answer 400 ms after the beginning
        Host v6;
        Host v4;
        co_await v6.listen("2001:db8::1");
        co_await v4.listen("10.0.0.1");
        Duration took{};
        const std::string host = co_await winner(ConnectionOptions().happy_eyeballs_delay(250ms), took);
        CHECK(host == "2001:db8::1");
        CHECK(took == 400ms);
        co_await sleep(1s);
        CHECK(v6.ended == v6.made);
        CHECK(v4.ended == v4.made);
        CHECK(v6.made == 1);
        CHECK(all_tasks().size() == 1);
        co_await v6.close();
        co_await v4.close();
    });
}

TEST_CASE("happy eyeballs: a slow first attempt may still win after later ones have begun") {
    run_simulated([]() -> Coro<> {
        name_hosts();
        set_latency("2001:db8::1", 600ms);
        set_latency("10.0.0.1", never);
        set_latency("2001:db8::2", never);
        Host v6;
        co_await v6.listen("2001:db8::1");
        Duration took{};
        const std::string host = co_await winner(ConnectionOptions().happy_eyeballs_delay(250ms), took);
        CHECK(host == "2001:db8::1");
        CHECK(took == 600ms);
        co_await v6.close();
        CHECK(all_tasks().size() == 1);
    });
}

TEST_CASE("interleave is how many addresses of the first family come first; 0 keeps the order") {
    run_simulated([]() -> Coro<> {
        name_hosts();
        for (const char* address : {"2001:db8::1", "2001:db8::2"})
            set_latency(address, never);
        Host v4;
        co_await v4.listen("10.0.0.1");
        Duration took{};
        co_await winner(ConnectionOptions().happy_eyeballs_delay(250ms).interleave(2), took);
        CHECK(took == 500ms);
        co_await winner(ConnectionOptions().happy_eyeballs_delay(250ms).interleave(0), took);
        CHECK(took == 500ms);
        co_await winner(ConnectionOptions().happy_eyeballs_delay(250ms).interleave(1), took);
        CHECK(took == 250ms);
        co_await v4.close();
    });
}

TEST_CASE("happy eyeballs: every attempt fails, and the error lists them") {
    run_simulated([]() -> Coro<> {
        name_hosts();
        const auto error =
            co_await error_of(open_connection("host.test", 80, ConnectionOptions().happy_eyeballs_delay(250ms)));
        CHECK(error_text(error).find("Multiple exceptions: ") != std::string::npos);
        CHECK(error_text(error).find("[2001:db8::2]:80") != std::string::npos);
        const auto all = co_await error_of(
            open_connection("host.test", 80, ConnectionOptions().happy_eyeballs_delay(250ms).all_errors(true)));
        std::size_t count = 0;
        try {
            std::rethrow_exception(all);
        } catch (const ExceptionGroup& group) {
            count = group.exceptions().size();
        }
        CHECK(count == 4);
    });
}

TEST_CASE("happy eyeballs: cancelling ends every attempt") {
    run_simulated([]() -> Coro<> {
        name_hosts();
        for (const char* address : {"2001:db8::1", "2001:db8::2", "10.0.0.1", "10.0.0.2"})
            set_latency(address, never);
        auto task = create_task(open_connection("host.test", 80, ConnectionOptions().happy_eyeballs_delay(250ms)));
        co_await sleep(600ms);
        CHECK(all_tasks().size() == 5);  // this one, the connecting one, and three attempts
        task.cancel();
        const std::string end = co_await ending(task);
        CHECK(end == "CancelledError");
        CHECK(all_tasks().size() == 1);
    });
}

TEST_CASE("happy eyeballs over real sockets: one winner, and no descriptor is left") {
    run_real([]() -> Coro<> {
        Server server = co_await start_server([](StreamReader, StreamWriter) {}, "127.0.0.1", 0);
        const int port = server.sockets().front().port();
        // localhost is ::1 first, where nobody listens.
        auto [reader, writer] =
            co_await open_connection("localhost", port, ConnectionOptions().happy_eyeballs_delay(250ms));
        CHECK(writer.peername() == server.sockets().front());
        writer.close();
        co_await writer.wait_closed();
        server.close();
        co_await server.wait_closed();
    });
}
