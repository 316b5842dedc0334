#pragma once
// AsioListener: a listening socket, TCP or Unix.

#include <weft/backends/asio/socket_context.hpp>
#include <weft/io/network.hpp>

#include <memory>

namespace weft::asio_backend {

class AsioListener final : public io::Listener {
public:
    /// A new socket.
    AsioListener(SocketContext& context, const Address& address, const io::ListenOptions& options,
                 io::ListenerEvents& events);
    /// On a stream socket that is bound (ValueError for another one); takes over its descriptor, also if it throws.
    AsioListener(SocketContext& context, int descriptor, const io::ListenOptions& options, io::ListenerEvents& events);
    ~AsioListener() override;

    void start() override;
    void stop() noexcept override;
    Address address() const override;
    int native_handle() const noexcept override;

private:
    class State;
    std::shared_ptr<State> state_;
};

}  // namespace weft::asio_backend
