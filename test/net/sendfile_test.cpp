#include "net/support.hpp"

using namespace weft;
using namespace weft::testing;

namespace {

constexpr std::size_t file_size = 10 << 20;

/// Ten megabytes that no two places have alike.
const std::string& contents() {
    static const std::string text = [] {
        std::string made(file_size, '\0');
        std::uint32_t state = 1;
        for (char& c : made) {
            state = state * 1664525 + 1013904223;
            c = static_cast<char>(state >> 24);
        }
        return made;
    }();
    return text;
}

class TestFile {
public:
    TestFile() {
        const std::string path = directory_ / "data";
        std::ofstream(path, std::ios::binary) << contents();
        descriptor_ = Descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
        REQUIRE(descriptor_.get() >= 0);
    }
    int get() const noexcept { return descriptor_.get(); }
    off_t position() const noexcept { return ::lseek(descriptor_.get(), 0, SEEK_CUR); }

private:
    TemporaryDirectory directory_;
    Descriptor descriptor_;
};

class Client : public Protocol {
public:
    void connection_made(std::shared_ptr<Transport> transport) override { (void)transport; }
    void data_received(std::span<const std::byte> data) override { received += Bytes(data).text(); }
    void connection_lost(std::exception_ptr) override {
        if (!lost.done()) lost.set_result();
    }
    void pause_writing() override { trace("pause"); }
    void resume_writing() override { trace("resume"); }
    std::string received;
    Trace trace;
    Future<> lost = get_running_loop().create_future<void>();
};

auto make_client = [] { return std::make_shared<Client>(); };

/// Reads all that comes; what it read is the future's result.
class Sink {
public:
    Sink() : everything_(get_running_loop().create_future<std::string>()) {}
    Coro<> serve(StreamReader reader, StreamWriter writer) {
        const Bytes data = co_await reader.read(-1);
        everything_.set_result(data.str());
        writer.close();
    }
    Future<std::string> everything() const { return everything_; }

private:
    Future<std::string> everything_;
};

/// The far end of a connection, once that is there.
class Peer {
public:
    auto handler() {
        return [this](StreamReader its_reader, StreamWriter its_writer) {
            reader = std::move(its_reader);
            writer.emplace(std::move(its_writer));
        };
    }
    StreamReader reader;
    std::optional<StreamWriter> writer;
};

/// Hands everything to another transport, as a layer would.
class Layer : public Transport {
public:
    explicit Layer(std::shared_ptr<Transport> lower) : lower_(std::move(lower)) {}
    void close() override { lower_->close(); }
    bool is_closing() const noexcept override { return lower_->is_closing(); }
    void set_protocol(std::shared_ptr<BaseProtocol> protocol) override { lower_->set_protocol(std::move(protocol)); }
    std::shared_ptr<BaseProtocol> get_protocol() const override { return lower_->get_protocol(); }
    EventLoop& get_loop() const noexcept override { return lower_->get_loop(); }
    void pause_reading() override { lower_->pause_reading(); }
    void resume_reading() override { lower_->resume_reading(); }
    bool is_reading() const noexcept override { return lower_->is_reading(); }
    void write(std::span<const std::byte> data) override { lower_->write(data); }
    void writelines(std::span<const std::span<const std::byte>> pieces) override { lower_->writelines(pieces); }
    void write_eof() override { lower_->write_eof(); }
    bool can_write_eof() const noexcept override { return true; }
    void abort() override { lower_->abort(); }
    void set_write_buffer_limits(std::optional<std::size_t> high, std::optional<std::size_t> low) override {
        lower_->set_write_buffer_limits(high, low);
    }
    std::pair<std::size_t, std::size_t> get_write_buffer_limits() const noexcept override {
        return lower_->get_write_buffer_limits();
    }
    std::size_t get_write_buffer_size() const noexcept override { return lower_->get_write_buffer_size(); }

private:
    std::shared_ptr<Transport> lower_;
};

}  // namespace

TEST_CASE("rule 108: ten megabytes by sendfile, between what is written before and after") {
    const TestFile file;
    run_on_each_backend([&file]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Sink sink;
        auto handler = [&sink](StreamReader reader, StreamWriter writer) { return sink.serve(reader, writer); };
        Server server = co_await start_server(handler, "127.0.0.1", 0);
        auto [transport, protocol] =
            co_await loop.create_connection(make_client, "127.0.0.1", server.sockets().front().port());
        const std::string before(300'000, 'b');
        transport->write(before);
        const std::size_t sent = co_await loop.sendfile(transport, file.get());
        CHECK(sent == file_size);
        CHECK(file.position() == file_size);
        CHECK(transport->is_reading());
        transport->write("after");
        transport->write_eof();
        const std::string got = co_await sink.everything();
        CHECK((got == before + contents() + "after"));
        co_await protocol->lost;
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("rule 108: a part of a file; over Unix sockets too; nothing beyond the end") {
    const TestFile file;
    const TemporaryDirectory directory;
    run_on_each_backend([&]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Sink sink;
        auto handler = [&sink](StreamReader reader, StreamWriter writer) { return sink.serve(reader, writer); };
        Server server = co_await start_unix_server(handler, directory / "part");
        auto [transport, protocol] = co_await loop.create_unix_connection(make_client, directory / "part");
        const std::size_t part = co_await loop.sendfile(transport, file.get(), 1000, 2'000'000);
        CHECK(part == 2'000'000);
        CHECK(file.position() == 2'001'000);
        const std::size_t tail = co_await loop.sendfile(transport, file.get(), file_size - 10, 100);
        CHECK(tail == 10);
        const std::size_t beyond = co_await loop.sendfile(transport, file.get(), file_size + 10);
        CHECK(beyond == 0);
        const std::exception_ptr none = co_await error_of(loop.sendfile(transport, file.get(), 0, 0));
        CHECK(error_text(none) == "ValueError: count must be a positive integer (got 0)");
        transport->write_eof();
        const std::string got = co_await sink.everything();
        CHECK((got == contents().substr(1000, 2'000'000) + contents().substr(file_size - 10)));
        transport->close();
        const std::exception_ptr closing = co_await error_of(loop.sendfile(transport, file.get()));
        CHECK(error_text(closing) == "RuntimeError: Transport is closing");
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("rule 108: sendfile forbids concurrent writes and a second file, and pauses reading") {
    const TestFile file;
    run_on_each_backend([&file]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Peer peer;
        auto handler = peer.handler();
        Server server = co_await start_server(handler, "127.0.0.1", 0);
        auto [transport, protocol] =
            co_await loop.create_connection(make_client, "127.0.0.1", server.sockets().front().port());
        while (!peer.writer)
            co_await turns(1);
        Task<std::size_t> sending = create_task(loop.sendfile(transport, file.get()));
        co_await turns(2);
        peer.writer->write("not now");
        for (int i = 0; i < 20; ++i)
            co_await turns(1);
        CHECK_FALSE(sending.done());
        CHECK(protocol->received.empty());
        CHECK_FALSE(transport->is_reading());
        const auto& busy = transport;
        CHECK(error_of_call([&busy] { busy->write("x"); }) == "RuntimeError: unable to write; sendfile is in progress");
        CHECK(ending_of_call([&busy] { busy->write_eof(); }) == "RuntimeError");
        const std::string second = co_await ending(loop.sendfile(transport, file.get()));
        CHECK(second == "RuntimeError");
        const Bytes got = co_await peer.reader.readexactly(file_size);
        CHECK((got == contents()));
        co_await sending;
        transport->write("free again");
        const Bytes again = co_await peer.reader.readexactly(10);
        CHECK(again == "free again");
        while (protocol->received.empty())
            co_await turns(1);
        CHECK(protocol->received == "not now");
        transport->abort();
        peer.writer.reset();
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("rule 108: a peer that closes in the middle: ConnectionError, and the file stands at what was sent") {
    const TestFile file;
    run_on_each_backend([&file]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto handler = [](StreamReader reader, StreamWriter writer) -> Coro<> {
            (void)co_await reader.readexactly(100'000);
            writer.transport().abort();
        };
        Server server = co_await start_server(handler, "127.0.0.1", 0);
        auto [transport, protocol] =
            co_await loop.create_connection(make_client, "127.0.0.1", server.sockets().front().port());
        ::lseek(file.get(), 0, SEEK_SET);
        std::string how = "ok";
        try {
            co_await loop.sendfile(transport, file.get(), 5000);
        } catch (const ConnectionError&) {
            how = "ConnectionError";
        }
        CHECK(how == "ConnectionError");
        CHECK(file.position() >= 5000);
        CHECK(file.position() < static_cast<off_t>(file_size));
        transport->close();
        co_await protocol->lost;
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("rule 108: cancelled in the middle, the transport goes on and the file stands at what was sent") {
    const TestFile file;
    run_on_each_backend([&file]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Peer peer;
        auto handler = peer.handler();
        Server server = co_await start_server(handler, "127.0.0.1", 0);
        auto [transport, protocol] =
            co_await loop.create_connection(make_client, "127.0.0.1", server.sockets().front().port());
        Task<std::size_t> sending = create_task(loop.sendfile(transport, file.get()));
        while (!peer.writer)
            co_await turns(1);
        co_await turns(20);
        REQUIRE_FALSE(sending.done());
        sending.cancel();
        const std::string cancelled = co_await ending(sending);
        CHECK(cancelled == "CancelledError");
        transport->write("end");
        transport->write_eof();
        const Bytes got = co_await peer.reader.read(-1);
        const std::string_view text = got.text();
        REQUIRE(text.size() > 3);
        CHECK(text.ends_with("end"));
        CHECK((contents().starts_with(text.substr(0, text.size() - 3))));
        if (loop.backend().name() != "sim") CHECK(file.position() == static_cast<off_t>(text.size() - 3));
        peer.writer.reset();
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("without the system's help: a fallback, or SendfileNotAvailableError") {
    const TestFile file;
    run_on_each_backend([&file]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        Sink sink;
        auto handler = [&sink](StreamReader reader, StreamWriter writer) { return sink.serve(reader, writer); };
        Server server = co_await start_server(handler, "127.0.0.1", 0);
        auto [transport, protocol] =
            co_await loop.create_connection(make_client, "127.0.0.1", server.sockets().front().port());
        const auto layer = std::make_shared<Layer>(transport);
        const std::string not_available = co_await ending(loop.sendfile(layer, file.get(), 0, std::nullopt, false));
        CHECK(not_available == "SendfileNotAvailableError");
        if (loop.backend().name() == "sim") {
            const std::string simulated = co_await ending(loop.sendfile(transport, file.get(), 0, std::nullopt, false));
            CHECK(simulated == "SendfileNotAvailableError");
        }
        const std::size_t sent = co_await loop.sendfile(layer, file.get());
        CHECK(sent == file_size);
        CHECK(transport->get_protocol() == protocol);
        CHECK(transport->is_reading());
        transport->write_eof();
        const std::string got = co_await sink.everything();
        CHECK((got == contents()));
        co_await protocol->lost;
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("the fallback of a layer: a lost connection is an error, and the protocol is told of it") {
    const TestFile file;
    run_on_each_backend([&file]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto handler = [](StreamReader reader, StreamWriter writer) -> Coro<> {
            (void)co_await reader.readexactly(100'000);
            writer.transport().abort();
        };
        Server server = co_await start_server(handler, "127.0.0.1", 0);
        auto [transport, protocol] =
            co_await loop.create_connection(make_client, "127.0.0.1", server.sockets().front().port());
        const auto layer = std::make_shared<Layer>(transport);
        const std::string how = co_await ending(loop.sendfile(layer, file.get()));
        CHECK(how == "ConnectionResetError");
        co_await protocol->lost;
        server.close();
        co_await server.wait_closed();
    });
}

TEST_CASE("sock_sendfile: native, what is no file, a peer that goes, and cancellation") {
    const TestFile file;
    run_real([&file]() -> Coro<> {
        EventLoop& loop = get_running_loop();
        auto [near, far] = socket_pair();
        auto receive = [](int fd, std::size_t count) -> Coro<std::string> {
            std::string received;
            while (received.size() < count) {
                const Bytes piece = co_await get_running_loop().sock_recv(fd, 1 << 20);
                received += piece.text();
            }
            co_return received;
        };
        Task<std::string> receiving = create_task(receive(far.get(), file_size - 7));
        const std::size_t sent = co_await loop.sock_sendfile(near.get(), file.get(), 7);
        CHECK(sent == file_size - 7);
        CHECK(file.position() == static_cast<off_t>(file_size));
        const std::string got = co_await receiving;
        CHECK((got == contents().substr(7)));

        Task<std::size_t> waiting = create_task(loop.sock_sendfile(near.get(), file.get()));
        co_await turns(3);
        waiting.cancel();
        CHECK_FALSE(loop.remove_writer(near.get()));
        const std::string cancelled = co_await ending(waiting);
        CHECK(cancelled == "CancelledError");
        CHECK(file.position() > 0);
        CHECK(file.position() < static_cast<off_t>(file_size));

        far.reset();
        const std::string gone = co_await ending(loop.sock_sendfile(near.get(), file.get()));
        CHECK(gone == "BrokenPipeError");
        auto [datagrams, other] = socket_pair(SOCK_DGRAM);
        const std::string type = co_await ending(loop.sock_sendfile(datagrams.get(), file.get()));
        CHECK(type == "ValueError");
        auto [third, fourth] = socket_pair();
        const std::string no_file =
            co_await ending(loop.sock_sendfile(third.get(), fourth.get(), 0, std::nullopt, false));
        CHECK(no_file == "SendfileNotAvailableError");
    });
}
