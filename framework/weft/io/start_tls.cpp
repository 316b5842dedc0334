// Upgrading a connection that stands: loop.start_tls() and StreamWriter::start_tls().
#include <weft/io/streams.hpp>
#include <weft/io/tls_layer.hpp>

namespace weft {

namespace {

io::TlsParameters parameters_of(TlsContext context, const StartTlsOptions& options) {
    io::TlsParameters tls;
    tls.server_side = options.server_side().value_or(context.is_server());
    tls.context = std::move(context);
    tls.server_hostname = options.server_hostname();
    tls.handshake_timeout = options.tls_handshake_timeout();
    tls.shutdown_timeout = options.tls_shutdown_timeout();
    io::check_tls_parameters(tls);
    return tls;
}

/// Puts a layer on `lower`, in the place of its protocol; the handshake begins with the loop's next turn, by what came
/// from the peer already (`begun`).
std::shared_ptr<io::TlsLayer> put_tls_on(const std::shared_ptr<Transport>& lower,
                                         std::shared_ptr<BaseProtocol> protocol, io::TlsParameters tls, Bytes begun,
                                         Future<> ready) {
    if (!lower || lower->is_closing()) throw RuntimeError("start_tls: the transport is closing");
    EventLoop& loop = lower->get_loop();
    auto layer = io::TlsLayer::make(loop, std::move(protocol), std::move(tls), false,
                                    [ready = std::move(ready)](const std::exception_ptr& error) mutable {
                                        if (ready.done()) return;
                                        if (error)
                                            ready.set_exception(error);
                                        else
                                            ready.set_result();
                                    });
    try {
        if (!begun.empty()) layer->prepend(std::move(begun));
        // Nothing is read between the two protocols.
        lower->pause_reading();
        lower->set_protocol(layer);
        loop.schedule_internal([layer, lower] { layer->connection_made(lower); });
        loop.schedule_internal([lower] { lower->resume_reading(); });
    } catch (...) {
        lower->abort();
        layer->abandon();
        throw;
    }
    return layer;
}

Coro<> shake_hands(std::shared_ptr<Transport> layer, Future<> ready) {
    std::exception_ptr cancelled;
    try {
        co_await ready;
    } catch (const CancelledError&) {
        cancelled = std::current_exception();
    }
    if (!cancelled) co_return;
    layer->abort();
    std::rethrow_exception(cancelled);
}

/// Who waits for plain text would be given what belongs to the handshake.
void check_not_read(const io::StreamState& state) {
    if (state.is_awaited()) throw RuntimeError("start_tls() called while another coroutine is waiting to read");
}

bool begins_handshake(std::span<const std::byte> data) {
    static constexpr std::byte handshake_record{22};
    static constexpr std::byte major_version{3};
    return !data.empty() && data[0] == handshake_record && (data.size() < 2 || data[1] == major_version);
}

}  // namespace

Coro<std::shared_ptr<Transport>> EventLoop::start_tls(std::shared_ptr<Transport> transport,
                                                      std::shared_ptr<BaseProtocol> protocol, TlsContext context) {
    return start_tls(std::move(transport), std::move(protocol), std::move(context), StartTlsOptions());
}

/// Puts TLS on a connection that stands (loop.start_tls): gives the transport to use from now on; `protocol` keeps its
/// connection and is not told connection_made again. If it fails or is cancelled the connection is closed.
Coro<std::shared_ptr<Transport>> EventLoop::start_tls(std::shared_ptr<Transport> transport,
                                                      std::shared_ptr<BaseProtocol> protocol, TlsContext context,
                                                      StartTlsOptions options) {
    io::TlsParameters tls = parameters_of(std::move(context), options);
    Future<> ready = create_future<void>();
    std::shared_ptr<Transport> layer = put_tls_on(transport, std::move(protocol), std::move(tls), Bytes(), ready);
    co_await shake_hands(layer, std::move(ready));
    co_return std::move(layer);
}

namespace {

/// The writer keeps its connection open until it is done.
Coro<> start_stream_tls(StreamWriter writer, TlsContext context, StartTlsOptions options) {
    const io::StreamRef state = writer.state();
    io::TlsParameters tls = parameters_of(std::move(context), options);
    check_not_read(*state);
    co_await io::DrainWait(state);
    check_not_read(*state);
    const std::shared_ptr<Transport> plain = state->shared_transport();
    if (state->saw_eof()) {
        plain->abort();
        throw ConnectionResetError("start_tls: the peer has ended the connection");
    }
    // A client may say hello before the server is ready for it.
    const bool begun = tls.server_side && begins_handshake(state->buffered());
    Bytes hello;
    if (begun) hello.append(state->buffered());
    Future<> ready = get_running_loop().create_future<void>();
    const std::shared_ptr<Transport> layer =
        put_tls_on(plain, plain->get_protocol(), std::move(tls), std::move(hello), ready);
    // From here on the reader pauses and resumes the layer, not what is below.
    if (begun) state->discard(SIZE_MAX);
    if (state->reading_paused()) layer->pause_reading();
    state->set_transport(layer);
    co_await shake_hands(layer, std::move(ready));
}

}  // namespace

Coro<> StreamWriter::start_tls(TlsContext context, StartTlsOptions options) {
    (void)required();
    return start_stream_tls(*this, std::move(context), std::move(options));
}

}  // namespace weft
