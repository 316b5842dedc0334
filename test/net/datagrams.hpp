#pragma once
// What the tests of datagrams share: a protocol that keeps what happens, and options.

#include "net/support.hpp"

namespace weft::testing {

inline std::string text_of(std::span<const std::byte> data) {
    return {reinterpret_cast<const char*>(data.data()), data.size()};
}

/// Keeps what happens; waits for a number of events.
class DatagramRecorder : public DatagramProtocol {
public:
    void connection_made(std::shared_ptr<DatagramTransport> transport) override {
        transport_ = std::move(transport);
        note("made");
    }
    void datagram_received(std::span<const std::byte> data, const Address& from) override {
        last_from = from;
        note("'" + text_of(data) + "'");
        if (echoes) transport_->sendto(data, from);
    }
    void error_received(std::exception_ptr error) override { note(error_type(error)); }
    void connection_lost(std::exception_ptr error) override {
        note("lost:" + error_type(error));
        transport_ = nullptr;
    }
    void pause_writing() override { note("pause"); }
    void resume_writing() override { note("resume"); }

    Coro<std::string> after(std::size_t count) {
        while (trace.events().size() < count) {
            happened_ = get_running_loop().create_future<void>();
            co_await happened_;
        }
        co_return trace.text();
    }

    Trace trace;
    Address last_from;
    bool echoes = false;

private:
    void note(std::string event) {
        trace(std::move(event));
        if (happened_ && !happened_.done()) happened_.set_result();
    }
    std::shared_ptr<DatagramTransport> transport_;
    Future<> happened_;
};

inline const auto make_recorder = [] { return std::make_shared<DatagramRecorder>(); };
inline const auto make_echo = [] {
    auto recorder = std::make_shared<DatagramRecorder>();
    recorder->echoes = true;
    return recorder;
};

inline DatagramOptions on_loopback() {
    return DatagramOptions().local_addr("127.0.0.1", 0);
}

/// A port of loopback that nobody has: it was the system's choice a moment ago.
inline Coro<int> unused_port() {
    DatagramEndpoint endpoint = co_await open_datagram_endpoint(on_loopback());
    const int port = endpoint.sockname()->port();
    endpoint.close();
    co_await endpoint.wait_closed();
    co_return port;
}

}  // namespace weft::testing
