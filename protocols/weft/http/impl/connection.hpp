#pragma once
// Connection: one client. A protocol that feeds the parser, and a task, while there are requests, that answers them in
// order.

#include <weft/http/impl/parser.hpp>
#include <weft/http/impl/response_head.hpp>
#include <weft/http/impl/server_core.hpp>
#include <weft/http/response.hpp>
#include <weft/http/response_stream.hpp>
#include <weft/io/protocol.hpp>
#include <weft/io/transport.hpp>
#include <weft/tasks/task.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace weft::http::detail {

class Connection final : public Protocol, public BodySink, public std::enable_shared_from_this<Connection> {
public:
    explicit Connection(std::shared_ptr<ServerCore> core);
    ~Connection() override;

    void connection_made(std::shared_ptr<Transport> transport) override;
    void connection_lost(std::exception_ptr error) override;
    void data_received(std::span<const std::byte> data) override;
    bool eof_received() override;
    void pause_writing() override;
    void resume_writing() override;

    void write_body(std::span<const std::byte> data) override;

    /// Answers what is in flight and closes; at once if nothing is.
    void drain();
    /// Cancels the handler and drops the connection.
    void abort();

    std::size_t registry_index = 0;

private:
    ///     open -> lingering (says goodbye, discards input) -> closing -> lost
    ///     open -> closing (flushes) -> lost
    enum class State : std::uint8_t { created, open, lingering, closing, lost };
    /// What the one timer watches.
    enum class Watch : std::uint8_t { nothing, idle, header, body, write, linger };

    class BusyScope;

    // Requests
    std::size_t parse(std::span<const std::byte> data);
    void parse_input();
    bool has_room() const noexcept;
    void enqueue();
    void start_task();
    void name_task(const Request& request);
    Coro<> answer_requests();
    Coro<> answer(Request& request);
    Coro<Response> handle(Request& request);
    Response response_to_error(const Request& request, const std::exception_ptr& error);
    void settle();

    // Responses
    Coro<> write_stream(Response& response);
    void flush();
    void send(std::string_view data);
    std::uint64_t taken() const;
    void continue_if_expected();
    void fail(int status, std::string message);
    void send_failure();

    // Ends
    void cancel_task();
    void finish();
    void linger();
    void close();

    // The timer
    void update_watch(bool received = false);
    void watch(Watch what, Duration limit);
    void arm(TimePoint when);
    void on_timer();

    std::shared_ptr<ServerCore> core_;
    std::shared_ptr<Transport> transport_;
    std::optional<Address> peer_;
    RequestParser parser_;
    Bytes input_;                                 // not parsed yet
    std::unique_ptr<Request> incoming_;           // what the parser fills in
    std::deque<std::unique_ptr<Request>> queue_;  // complete, not answered
    const Request* current_ = nullptr;            // being answered
    std::size_t queued_bytes_ = 0;                // of their bodies
    std::string output_;                          // not handed to the transport yet
    std::string failure_message_;
    Task<> task_;
    TimerHandle timer_;
    TimePoint deadline_{};
    std::uint64_t written_ = 0;                 // bytes handed to the transport
    std::uint64_t watched_taken_ = 0;           // taken(), when the watch began
    std::optional<std::uint64_t> stream_left_;  // of a stream of known length
    std::uint32_t requests_ = 0;
    std::uint32_t watched_request_ = 0;
    int failure_ = 0;  // the status of the protocol error that ends this connection
    State state_ = State::created;
    Watch watch_ = Watch::nothing;
    Framing stream_framing_ = Framing::none;
    bool timer_armed_ = false;
    bool busy_ = false;   // a task answers requests
    bool named_ = false;  // it has suspended and so has a name
    bool cancel_requested_ = false;
    bool last_seen_ = false;    // no request is accepted after those in the queue
    bool extra_input_ = false;  // there was more
    bool reading_paused_ = false;
    bool continued_ = false;  // the incoming request was told to continue
    bool ended_ = false;      // the client's end of stream was seen
    bool keep_alive_ = true;  // after the response that is being sent
};

}  // namespace weft::http::detail
