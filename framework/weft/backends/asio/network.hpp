#pragma once
// AsioNetwork: the sockets of a loop on AsioBackend.

#include <weft/backends/asio/name_lookup.hpp>
#include <weft/backends/asio/socket_context.hpp>
#include <weft/io/network.hpp>
#include <weft/io/socket_name.hpp>

#include <memory>
#include <vector>

namespace weft::asio_backend {

class AsioNetwork final : public io::Network {
public:
    explicit AsioNetwork(IoContext& context);
    ~AsioNetwork() override;
    void set_loop(EventLoop& loop) noexcept { loop_ = &loop; }
    void close() noexcept;

    Coro<io::SocketRef> connect(Address remote, std::optional<Address> local) override;
    std::unique_ptr<io::Listener> listen(const Address& address, const io::ListenOptions& options,
                                         io::ListenerEvents& events) override;
    bool has_descriptors() const noexcept override { return true; }
    io::SocketRef adopt_stream(int fd) override;
    io::DatagramRef open_datagram(const std::optional<Address>& local, const std::optional<Address>& remote,
                                  const io::DatagramSocketOptions& options) override;
    io::DatagramRef adopt_datagram(int fd) override;
    std::unique_ptr<io::Listener> adopt_listener(int fd, const io::ListenOptions& options,
                                                 io::ListenerEvents& events) override;
    io::SocketRef adopt_pipe(int fd, io::PipeEnd end) override;
    Coro<std::vector<AddrInfo>> getaddrinfo(std::string host, std::string service, AddrInfoHints hints) override;
    Coro<std::pair<std::string, std::string>> getnameinfo(Address address, int flags) override;

    SocketContext& sockets() const noexcept { return *sockets_; }

private:
    Coro<io::SocketRef> connect_local(Address remote, std::optional<Address> local);

    EventLoop* loop_ = nullptr;
    detail::Ref<SocketContext> sockets_;
    NameLookup names_;
};

/// A stream socket on the descriptor, which is closed if that fails.
io::SocketRef open_stream_socket(SocketContext& context, int descriptor, const io::SocketName& peer);
/// ValueError unless the descriptor is a stream socket.
void check_stream_socket(int fd);
std::error_code to_std(const boost::system::error_code& error);

}  // namespace weft::asio_backend
