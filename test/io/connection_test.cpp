#include "support/harness.hpp"

#include <map>

using namespace weft;
using namespace weft::testing;

namespace {

Coro<> hold(StreamReader reader, StreamWriter writer) {
    (void)co_await reader.read(-1);
    writer.close();
}

}  // namespace

TEST_CASE("a refused connection is ConnectionRefusedError with the address") {
    run_on_each_backend([]() -> Coro<> {
        Server server = co_await start_server(hold, "127.0.0.1", 0);
        const int port = server.sockets().front().port();
        server.close();
        co_await server.wait_closed();
        const std::exception_ptr error = co_await error_of(open_connection("127.0.0.1", port));
        CHECK(error_type(error) == "ConnectionRefusedError");
        CHECK(error_text(error).find("127.0.0.1:" + std::to_string(port)) != std::string::npos);
    });
}

TEST_CASE("the addresses of a name are tried in turn") {
    run_on_each_backend([]() -> Coro<> {
        Server server = co_await start_server(hold, "127.0.0.1", 0);
        const int port = server.sockets().front().port();
        auto [reader, writer] = co_await open_connection("localhost", port);
        CHECK(writer.peername() == server.sockets().front());
        writer.close();
        co_await writer.wait_closed();
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("several different errors become one that lists them") {
    run_simulated([]() -> Coro<> {
        auto& network = static_cast<sim::SimBackend&>(get_running_loop().backend()).network();
        network.add_name("two.test", *Address::parse("10.0.0.1", 0));
        network.add_name("two.test", *Address::parse("10.0.0.2", 0));
        const std::exception_ptr error = co_await error_of(open_connection("two.test", 80));
        CHECK(error_text(error).find("Multiple exceptions: ") != std::string::npos);
        CHECK(error_text(error).find("10.0.0.1:80") != std::string::npos);
        CHECK(error_text(error).find("10.0.0.2:80") != std::string::npos);
        const std::string unknown = co_await ending(open_connection("nowhere.test", 80));
        CHECK(unknown == "GaiError");
    });
}

TEST_CASE("wrong arguments are a ValueError") {
    run_on_each_backend([]() -> Coro<> {
        const std::string port = co_await ending(open_connection("127.0.0.1", -1));
        CHECK(port == "ValueError");
        const std::string host = co_await ending(open_connection("", 80));
        CHECK(host == "ValueError");
        const std::string family =
            co_await ending(open_connection("127.0.0.1", 80, ConnectionOptions().family(Family::ipv6)));
        CHECK(family == "GaiError");
    });
}

TEST_CASE("local_addr is the address to connect from") {
    run_on_each_backend([]() -> Coro<> {
        Server server = co_await start_server(hold, "127.0.0.1", 0);
        ConnectionOptions options;
        options.local_addr(*Address::parse("127.0.0.2", 0));
        auto [reader, writer] = co_await open_connection("127.0.0.1", server.sockets().front().port(), options);
        CHECK(writer.sockname()->host() == "127.0.0.2");
        writer.close();
        co_await writer.wait_closed();
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("a cancelled connect leaves nothing behind") {
    run_on_each_backend([]() -> Coro<> {
        Server server = co_await start_server(hold, "127.0.0.1", 0);
        const int port = server.sockets().front().port();
        for (int wait = 0; wait < 6; ++wait) {
            auto connect = [&]() -> Coro<> {
                auto [reader, writer] = co_await open_connection("127.0.0.1", port);
                writer.close();
                co_await writer.wait_closed();
            };
            Task<> task = create_task(connect());
            co_await turns(wait);
            task.cancel();
            const std::string text = co_await ending(task);
            CHECK(text == "CancelledError");
        }
        server.close();
        co_await server.wait_closed();  // every connection that came about was closed
    });
}

TEST_CASE("numeric addresses are parsed, others are not") {
    CHECK(Address::parse("127.0.0.1", 80)->to_string() == "127.0.0.1:80");
    CHECK(Address::parse("::1", 80)->to_string() == "[::1]:80");
    CHECK(Address::parse("fe80::1%2", 80)->scope() == 2);
    CHECK_FALSE(Address::parse("fe80::1%eth0", 80));
    CHECK_FALSE(Address::parse("localhost", 80));
    CHECK_FALSE(Address::parse("", 80));
    CHECK(Address::any(Family::ipv4, 5).host() == "0.0.0.0");
    CHECK(Address::any(Family::ipv6, 5).is_any());
    CHECK(*Address::parse("127.0.0.1", 80) != *Address::parse("127.0.0.1", 81));
}

TEST_CASE("addresses are equal and ordered by what they say") {
    const Address one = Address::local("/run/one");
    const Address again = Address::local("/run/one");
    CHECK(one == again);
    CHECK((one <=> again) == 0);
    CHECK(one < Address::local("/run/two"));
    CHECK(Address::local("") < one);
    CHECK(Address::local("") == Address::local({}));
    CHECK(Address::local("").path().empty());
    CHECK(Address::local("") != Address());
    CHECK(*Address::parse("127.0.0.1", 80) < *Address::parse("127.0.0.1", 81));
    CHECK(*Address::parse("127.0.0.1", 81) < *Address::parse("127.0.0.2", 80));
    const Address copy = one;
    CHECK(copy.path() == "/run/one");
    std::map<Address, int> places{{one, 1}, {Address::any(Family::ipv4, 1), 2}};
    CHECK(places.at(again) == 1);
}
