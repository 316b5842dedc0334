#include <weft/asio.hpp>

#include <weft/backends/asio/backend.hpp>

namespace weft {

boost::asio::io_context& io_context(EventLoop& loop) {
    auto* backend = dynamic_cast<asio_backend::AsioBackend*>(&loop.backend());
    if (!backend)
        throw RuntimeError("the loop runs on the backend '" + std::string(loop.backend().name()) +
                           "', which has no io_context");
    return backend->share_context();
}

std::unique_ptr<EventLoop> new_event_loop(boost::asio::io_context& context) {
    return std::make_unique<EventLoop>(std::make_unique<asio_backend::AsioBackend>(context));
}

}  // namespace weft
