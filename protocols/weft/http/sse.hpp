#pragma once
// Server-sent events: what a browser's EventSource reads.
//
//     return event_stream([](ResponseStream& out) -> Coro<> {
//         co_await out.write(ServerSentEvent("hello").event("greeting").id("1").text());
//     });

#include <weft/http/response.hpp>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>

namespace weft::http {

/// One event. Line breaks in the data are kept; in the other parts they are refused with ValueError.
class ServerSentEvent {
public:
    explicit ServerSentEvent(std::string data = {}) : data_(std::move(data)) {}
    /// The name that addEventListener() is given; default "message".
    ServerSentEvent& event(std::string_view name) & { return add("event: ", name); }
    ServerSentEvent&& event(std::string_view name) && { return std::move(event(name)); }
    /// What a client that reconnects sends as Last-Event-ID.
    ServerSentEvent& id(std::string_view id) & { return add("id: ", id); }
    ServerSentEvent&& id(std::string_view id) && { return std::move(this->id(id)); }
    /// How long a client waits before it reconnects.
    ServerSentEvent& retry(std::chrono::milliseconds delay) & { return add("retry: ", std::to_string(delay.count())); }
    ServerSentEvent&& retry(std::chrono::milliseconds delay) && { return std::move(retry(delay)); }

    /// The event as it is sent.
    std::string text() const;
    /// A line that clients ignore, sent now and then so that neither end takes the connection for dead.
    static std::string comment(std::string_view text = {});

private:
    ServerSentEvent& add(std::string_view field, std::string_view value);

    std::string data_;
    std::string fields_;
};

/// Response::stream() with the headers that server-sent events need.
template <class F>
Response event_stream(F body) {
    return Response::stream(std::move(body), "text/event-stream")
        .header("Cache-Control", "no-store")
        .header("X-Accel-Buffering", "no");
}

}  // namespace weft::http
