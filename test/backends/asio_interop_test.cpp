#include "support/harness.hpp"

#include <weft/asio.hpp>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/write.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <thread>

using namespace weft;
using namespace weft::testing;
namespace asio = boost::asio;
using asio::ip::tcp;

TEST_CASE("use_coro awaits a plain Asio timer") {
    run_real([]() -> Coro<> {
        asio::steady_timer timer(io_context(get_running_loop()), 2ms);
        const TimePoint begin = Clock::now();
        co_await timer.async_wait(use_coro);
        CHECK(Clock::now() - begin >= 2ms);
    });
}

TEST_CASE("use_coro awaits plain Asio sockets, with results and with errors") {
    run_real([]() -> Coro<> {
        asio::io_context& context = io_context(get_running_loop());
        tcp::acceptor acceptor(context, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
        auto serve = [&]() -> Coro<> {
            tcp::socket peer = co_await acceptor.async_accept(use_coro);
            std::array<char, 4> data{};
            const std::size_t count = co_await asio::async_read(peer, asio::buffer(data), use_coro);
            CHECK(count == 4);
            co_await asio::async_write(peer, asio::buffer(data), use_coro);
        };
        Task<> server = create_task(serve);
        tcp::socket socket(context);
        const tcp::endpoint endpoint = acceptor.local_endpoint();
        co_await socket.async_connect(endpoint, use_coro);
        const std::string ping = "ping";
        co_await asio::async_write(socket, asio::buffer(ping), use_coro);
        std::array<char, 4> answer{};
        co_await asio::async_read(socket, asio::buffer(answer), use_coro);
        CHECK(std::string(answer.data(), answer.size()) == "ping");
        co_await server;
        boost::system::error_code code;
        try {
            co_await socket.async_read_some(asio::buffer(answer), use_coro);
        } catch (const boost::system::system_error& error) {
            code = error.code();
        }
        CHECK(code == asio::error::eof);
    });
}

TEST_CASE("cancelling the task cancels the Asio operation it awaits") {
    run_real([]() -> Coro<> {
        asio::steady_timer timer(io_context(get_running_loop()), 1h);
        bool cancelled = false;
        auto wait = [&]() -> Coro<> {
            try {
                co_await timer.async_wait(use_coro);
            } catch (const CancelledError& error) {
                cancelled = error.message() == "enough";
                throw;
            }
        };
        Task<> task = create_task(wait);
        co_await sleep(0s);
        CHECK(task.cancel("enough"));
        CHECK(!task.done());
        try {
            co_await task;
        } catch (const CancelledError&) {}
        CHECK(task.cancelled());
        CHECK(cancelled);
        CHECK(timer.cancel() == 0);
    });
}

TEST_CASE("a cancellation asked for before the await ends the Asio operation at once") {
    run_real([]() -> Coro<> {
        asio::steady_timer timer(io_context(get_running_loop()), 1h);
        auto wait = [&]() -> Coro<> {
            current_task().cancel();
            co_await timer.async_wait(use_coro);
        };
        Task<> task = create_task(wait);
        try {
            co_await task;
        } catch (const CancelledError&) {}
        CHECK(task.cancelled());
    });
}

TEST_CASE("an Asio operation works with wait_for, gather and create_task") {
    run_real([]() -> Coro<> {
        asio::io_context& context = io_context(get_running_loop());
        asio::steady_timer slow(context, 1h);
        asio::steady_timer fast(context, 1ms);
        asio::steady_timer other(context, 1ms);
        bool timed_out = false;
        try {
            co_await wait_for(slow.async_wait(use_coro), 5ms);
        } catch (const weft::TimeoutError&) {
            timed_out = true;
        }
        CHECK(timed_out);
        (void)co_await gather(fast.async_wait(use_coro), other.async_wait(use_coro));
    });
}

TEST_CASE("a handler that completes on another thread resumes the coroutine on the loop's thread") {
    run_real([]() -> Coro<> {
        asio::thread_pool pool(1);
        const auto here = std::this_thread::get_id();
        co_await asio::post(pool, use_coro);
        CHECK(std::this_thread::get_id() == here);
        pool.join();
    });
}

TEST_CASE("a task destroyed in an Asio operation lets go of it") {
    auto loop = make_real_loop();
    Reports reports(*loop);
    asio::steady_timer timer(io_context(*loop), 1h);
    auto wait = [&]() -> Coro<> { co_await timer.async_wait(use_coro); };
    Task<> task = loop->create_task(wait());
    loop->call_soon([&] { loop->stop(); });
    loop->run_forever();
    loop->close();
    CHECK(task.cancelled());
    CHECK(reports.messages() == "Task was destroyed but it is pending!");
}

TEST_CASE("a loop runs on an io_context that exists already, and runs its handlers") {
    asio::io_context context(1);
    int posted = 0;
    asio::post(context, [&] { ++posted; });
    auto loop = new_event_loop(context);
    CHECK(&io_context(*loop) == &context);
    loop->run_until_complete([&]() -> Coro<> {
        asio::steady_timer timer(context, 1ms);
        co_await timer.async_wait(use_coro);
        co_await sleep(1ms);
    }());
    CHECK(posted == 1);
    loop->close();
    asio::post(context, [&] { ++posted; });
    context.restart();
    context.run();
    CHECK(posted == 2);
}

TEST_CASE(
    "once the io_context was asked for, Weft's sockets, timers and wake-ups and Asio's handlers come in one loop") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        const auto echo = [](StreamReader reader, StreamWriter writer) -> Coro<> {
            for (Bytes data = co_await reader.read(100); !data.empty(); data = co_await reader.read(100))
                writer.write(data.span());
        };
        Server server = co_await start_server(echo, "127.0.0.1", 0);
        auto [reader, writer] = co_await open_connection("127.0.0.1", server.sockets().front().port());
        int posted = 0;
        asio::thread_pool pool(1);
        for (int round = 0; round < 3; ++round) {
            writer.write("ping");
            const Bytes answer = co_await reader.readexactly(4);
            CHECK(answer == "ping");
            const auto doubles = [round] { return 2 * round; };
            const int doubled = co_await loop.run_in_executor(nullptr, doubles);
            CHECK(doubled == 2 * round);
            co_await sleep(1ms);
            // The first of these is what makes the loop wait in Asio's reactor.
            asio::post(io_context(loop), [&] { ++posted; });
            asio::post(pool, [&, &context = io_context(loop)] { asio::post(context, [&] { ++posted; }); });
            while (posted < 2 * (round + 1))
                co_await sleep(1ms);
        }
        pool.join();
        writer.close();
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("a handler posted from another thread wakes a loop that waits for nothing else") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        asio::io_context& context = io_context(loop);
        Future<> posted = loop.create_future<void>();
        std::thread other([&] {
            std::this_thread::sleep_for(5ms);
            asio::post(context, [&] { posted.set_result(); });  // futures are the loop's: not copied here
        });
        co_await posted;
        other.join();
    });
}

TEST_CASE("another thread may be the first to ask for the io_context of a loop that waits") {
    auto loop = make_real_loop();
    loop->call_later(10s, [&] { loop->stop(); });
    int handled = 0;
    std::thread other([&] {
        std::this_thread::sleep_for(5ms);
        asio::post(io_context(*loop), [&] {
            ++handled;
            loop->stop();
        });
    });
    loop->run_forever();
    other.join();
    CHECK(handled == 1);
}

TEST_CASE("timers that are always due keep neither Asio's handlers nor sockets from running") {
    run_real([]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        asio::io_context& context = io_context(loop);
        const auto echo = [](StreamReader reader, StreamWriter writer) -> Coro<> {
            const Bytes data = co_await reader.readexactly(4);
            writer.write(data.span());
        };
        Server server = co_await start_server(echo, "127.0.0.1", 0);
        bool ended = false;
        std::function<void()> again = [&] {
            if (!ended) loop.call_later(0s, [&] { again(); });
        };
        again();
        auto [reader, writer] = co_await open_connection("127.0.0.1", server.sockets().front().port());
        writer.write("ping");
        const Bytes answer = co_await reader.readexactly(4);
        CHECK(answer == "ping");
        Future<> posted = loop.create_future<void>();
        asio::post(context, [posted]() mutable { posted.set_result(); });
        co_await posted;
        ended = true;
        co_await sleep(1ms);  // the last of them, which uses what is here
        writer.close();
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE(
    "an io_context that somebody else runs meanwhile tells a loop that does not run of nothing, and loses nothing") {
    asio::io_context context;
    const std::unique_ptr<EventLoop> loop = new_event_loop(context);
    StreamReader reader;
    StreamWriter writer;
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) == 0);
    const auto connect = [&]() -> Coro<> {
        auto both = co_await open_unix_connection("", ConnectionOptions().sock(ends[0]));
        reader = both.first;
        writer = both.second;
        co_await sleep(2ms);  // it waits for the socket
    };
    loop->run_until_complete(connect());
    REQUIRE(::send(ends[1], "early", 5, 0) == 5);
    context.poll();  // runs the wait of the loop's set
    CHECK(reader.state()->available() == 0);
    const auto read = [&]() -> Coro<> {
        const Bytes data = co_await reader.readexactly(5);
        CHECK(data == "early");
        writer.close();
        co_await writer.wait_closed();
    };
    loop->run_until_complete(read());
    ::close(ends[1]);
}

TEST_CASE("io_context() of a loop on another backend is an error") {
    auto loop = make_simulated_loop();
    CHECK_THROWS_AS(io_context(*loop), RuntimeError);
}
