#include "support/harness.hpp"

#include <weft/io/resolver.hpp>

#include <netdb.h>

#include <algorithm>
#include <future>

using namespace weft;
using namespace weft::testing;

namespace {

/// Counts the look-ups and knows one name.
class OneName final : public ResolverService {
public:
    Coro<std::vector<AddrInfo>> getaddrinfo(std::string host, std::string service, AddrInfoHints) override {
        ++lookups;
        if (host != "one.test") throw GaiError(std::make_error_code(std::errc::host_unreachable), host);
        std::vector<AddrInfo> found;
        found.emplace_back(*Address::parse("127.0.0.1", static_cast<std::uint16_t>(std::stoi(service))),
                           SocketKind::stream, 0, "");
        co_return std::move(found);
    }
    Coro<std::pair<std::string, std::string>> getnameinfo(Address, int) override {
        co_return std::make_pair(std::string("one.test"), std::string("one"));
    }
    int lookups = 0;
};

}  // namespace

TEST_CASE("getaddrinfo knows localhost, services by name and number, and kinds of sockets") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        AddrInfoHints hints;
        hints.family(Family::ipv4).kind(SocketKind::stream);
        const auto found = co_await loop.getaddrinfo("localhost", 8080, hints);
        REQUIRE(found.size() >= 1);
        CHECK(found.front().address == *Address::parse("127.0.0.1", 8080));
        CHECK(found.front().kind == SocketKind::stream);
        const auto named = co_await loop.getaddrinfo("127.0.0.1", "http", hints);
        CHECK(named.front().address.port() == 80);
        const auto every = co_await loop.getaddrinfo("127.0.0.1", 53);
        CHECK(every.size() == 2);  // one for each kind
        hints.flags(AI_CANONNAME);
        const auto canonical = co_await loop.getaddrinfo("localhost", 80, hints);
        CHECK_FALSE(canonical.front().canonname.empty());
    });
}

TEST_CASE("a name that does not resolve is a GaiError that says which") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        AddrInfoHints hints;
        hints.flags(AI_NUMERICHOST);  // asks no server
        const auto error = co_await error_of(loop.getaddrinfo("no.such.name", 80, hints));
        CHECK(error_type(error) == "GaiError");
        CHECK(error_text(error).find("no.such.name") != std::string::npos);
        int code = 0;
        try {
            std::rethrow_exception(error);
        } catch (const GaiError& gai) {
            code = gai.code().value();
        }
        CHECK(code == EAI_NONAME);
        const std::string port = co_await ending(loop.getaddrinfo("localhost", 70000));
        CHECK(port == "ValueError");
    });
}

TEST_CASE("getnameinfo gives numbers or names") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const auto [host, service] =
            co_await loop.getnameinfo(*Address::parse("127.0.0.1", 80), NI_NUMERICHOST | NI_NUMERICSERV);
        CHECK(host == "127.0.0.1");
        CHECK(service == "80");
    });
}

TEST_CASE("numeric addresses are answered without a look-up, in the step of the question") {
    run_on_each_backend([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto& resolver = loop.add_service<OneName>();
        const auto steps = loop.steps();
        const auto found = co_await loop.getaddrinfo("::1", 443);
        CHECK(loop.steps() == steps);
        CHECK(found.front().address.to_string() == "[::1]:443");
        CHECK(resolver.lookups == 0);
    });
}

TEST_CASE("an application's own resolver is asked by everything that takes a name") {
    run_on_each_backend([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto& resolver = loop.add_service<OneName>();
        Server server = co_await start_server([](StreamReader, StreamWriter) {}, "one.test", 0);
        auto [reader, writer] = co_await open_connection("one.test", server.sockets().front().port());
        writer.close();
        co_await writer.wait_closed();
        CHECK(resolver.lookups == 2);
        const auto found = co_await loop.getaddrinfo("one.test", 7);
        CHECK(found.size() == 1);
        const auto name = co_await loop.getnameinfo(found.front().address);
        CHECK(name.first == "one.test");
        const std::string other = co_await ending(open_connection("two.test", 80));
        CHECK(other == "GaiError");
        CHECK(&ResolverService::of(loop) == &resolver);
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("a look-up does not wait for a busy executor, and can be cancelled") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        std::promise<void> release;
        const std::shared_future<void> released = release.get_future().share();
        std::vector<Future<>> busy;
        for (int i = 0; i < 64; ++i)
            busy.push_back(
                loop.run_in_executor(nullptr, [](std::shared_future<void> until) { until.wait(); }, released));
        const auto found = co_await loop.getaddrinfo("localhost", 80);
        CHECK_FALSE(found.empty());
        auto task = create_task(loop.getaddrinfo("localhost", 81));
        co_await sleep(0s);
        task.cancel();
        const std::string end = co_await ending(task);
        CHECK(end == "CancelledError");
        release.set_value();
        for (auto& future : busy)
            co_await future;
    });
}

TEST_CASE("debug mode tells of a look-up that takes long") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        std::vector<std::string> log;
        loop.set_logger([&log](std::string_view line) { log.emplace_back(line); });
        const auto look_up = [&]() -> Coro<> { (void)co_await loop.getaddrinfo("localhost", 8080, AddrInfoHints()); };
        co_await look_up();
        CHECK(log.empty());
        loop.set_debug(true);
        loop.slow_callback_duration = 1h;
        co_await look_up();
        CHECK(log.empty());
        loop.slow_callback_duration = Duration::zero();
        co_await look_up();
        loop.set_debug(false);
        const auto tells = [](const std::string& line) {
            return line.starts_with("Getting address info 'localhost:8080' took ");
        };
        CHECK(std::count_if(log.begin(), log.end(), tells) == 1);
        loop.set_logger(nullptr);
    });
}

TEST_CASE("start_server takes several hosts too") {
    run_on_each_backend([]() -> Coro<> {
        std::vector<std::string> hosts{"127.0.0.1", "127.0.0.2"};
        const auto greet = [](StreamReader, StreamWriter writer) -> Coro<> {
            writer.write("hi");
            writer.close();
            co_await writer.wait_closed();
        };
        Server server = co_await start_server(greet, hosts, 0);
        const auto addresses = server.sockets();
        REQUIRE(addresses.size() == 2);
        for (const Address& address : addresses) {
            auto [reader, writer] = co_await open_connection(address.host(), address.port());
            const Bytes text = co_await reader.read(-1);
            CHECK(text == "hi");
        }
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("a server listens on every address of every host, each one once") {
    run_simulated([]() -> Coro<> {
        auto& network = static_cast<sim::SimBackend&>(get_running_loop().backend()).network();
        network.add_name("both.test", *Address::parse("10.0.0.1", 0));
        network.add_name("both.test", *Address::parse("2001:db8::1", 0));
        EventLoop& loop = get_running_loop();
        std::vector<std::string> hosts;
        hosts.push_back("both.test");
        hosts.push_back("10.0.0.2");
        hosts.push_back("10.0.0.1");
        const auto factory = [] { return std::make_shared<Protocol>(); };
        Server server = co_await loop.create_server(factory, hosts, 80, ServerOptions());
        CHECK(server.repr() == "<Server sockets=[10.0.0.1:80, [2001:db8::1]:80, 10.0.0.2:80]>");
        server.close();
        hosts.clear();
        const std::string none = co_await ending(loop.create_server(factory, hosts, 80, ServerOptions()));
        CHECK(none == "ValueError");
    });
}

TEST_CASE("an address that this machine has not is passed over if there is another, else it is the error") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const auto factory = [] { return std::make_shared<Protocol>(); };
        std::vector<std::string> hosts;
        hosts.push_back("192.0.2.1");
        hosts.push_back("127.0.0.1");
        Server server = co_await loop.create_server(factory, hosts, 0, ServerOptions());
        CHECK(server.sockets().size() == 1);
        server.close();
        const auto error = co_await error_of(loop.create_server(factory, "192.0.2.1", 0));
        CHECK(error_text(error).find("192.0.2.1") != std::string::npos);
    });
}

TEST_CASE("with no host a server listens on IPv4 and IPv6") {
    run_real([]() -> Coro<> {
        Server server = co_await start_server([](StreamReader, StreamWriter) {}, "", 0);
        int families = 0;
        for (const Address& address : server.sockets())
            families |= address.family() == Family::ipv4 ? 1 : 2;
        CHECK((families & 1) == 1);
        server.close();
        co_await server.wait_closed();
    });
}
