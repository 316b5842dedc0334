#pragma once
// AsioListener: a listening socket, TCP or Unix.

#include <weft/backends/asio/socket_context.hpp>
#include <weft/io/network.hpp>

#include <sys/types.h>

#include <memory>
#include <string>

namespace weft::asio_backend {

class AsioListener final : public io::Listener {
public:
    /// Binds and listens; throws the typed OS error.
    AsioListener(IoContext& context, SocketContext& sockets, const Address& address, const io::ListenOptions& options,
                 io::ListenerEvents& events);
    /// Takes over a socket that is bound; it is closed if this throws.
    AsioListener(IoContext& context, SocketContext& sockets, int fd, const io::ListenOptions& options,
                 io::ListenerEvents& events);
    ~AsioListener() override { stop(); }

    void start() override;
    void stop() noexcept override;
    Address address() const override;
    int native_handle() const noexcept override;

private:
    class State;
    void listen(IoContext& context, SocketContext& sockets, int fd, const io::ListenOptions& options,
                io::ListenerEvents& events);

    std::shared_ptr<State> state_;  // shared with an accept in flight
    std::string owned_path_;        // of the file that stop() removes if it is still the same
    dev_t device_ = 0;
    ino_t inode_ = 0;
};

}  // namespace weft::asio_backend
