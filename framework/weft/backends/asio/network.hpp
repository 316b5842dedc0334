#pragma once
// AsioNetwork: TCP sockets of an io_context.

#include <weft/io/network.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <cstddef>
#include <memory>
#include <span>

namespace weft::asio_backend {

using IoContext = boost::asio::io_context;
using Executor = IoContext::executor_type;
using TcpSocket = boost::asio::basic_stream_socket<boost::asio::ip::tcp, Executor>;
using TcpAcceptor = boost::asio::basic_socket_acceptor<boost::asio::ip::tcp, Executor>;
using TcpResolver = boost::asio::ip::basic_resolver<boost::asio::ip::tcp, Executor>;

/// The buffer that sockets read into. A read borrows it when the system call is made, not while it waits, so idle
/// connections own no buffer; only if the last borrower has not delivered its data yet is another one used.
class ReadBuffers {
public:
    ReadBuffers() = default;
    ReadBuffers(const ReadBuffers&) = delete;
    ReadBuffers& operator=(const ReadBuffers&) = delete;
    ~ReadBuffers();
    std::byte* borrow();
    void give_back(std::byte* buffer) noexcept;

private:
    static std::byte* make();
    static void destroy(std::byte* buffer) noexcept;
    std::vector<std::byte*> free_;
};

class AsioNetwork final : public io::Network {
public:
    explicit AsioNetwork(IoContext& context) : context_(context), resolver_(context) {}
    void set_loop(EventLoop& loop) noexcept { loop_ = &loop; }
    void close() noexcept;

    Coro<io::SocketRef> connect(Address remote, std::optional<Address> local) override;
    std::unique_ptr<io::Listener> listen(const Address& address, const io::ListenOptions& options,
                                         io::ListenerEvents& events) override;
    Coro<std::vector<Address>> resolve(std::string host, std::uint16_t port, Family family) override;

    IoContext& context() noexcept { return context_; }
    /// Shared with the sockets, which may outlive this by an operation.
    const std::shared_ptr<ReadBuffers>& buffers() const noexcept { return buffers_; }

private:
    IoContext& context_;
    EventLoop* loop_ = nullptr;
    std::shared_ptr<ReadBuffers> buffers_ = std::make_shared<ReadBuffers>();
    TcpResolver resolver_;
};

boost::asio::ip::tcp::endpoint to_endpoint(const Address& address);
Address to_address(const boost::asio::ip::tcp::endpoint& endpoint);
std::error_code to_std(const boost::system::error_code& error);

}  // namespace weft::asio_backend
