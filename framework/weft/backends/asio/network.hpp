#pragma once
// AsioNetwork: TCP sockets of an io_context.

#include <weft/io/network.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace weft::asio_backend {

using IoContext = boost::asio::io_context;
using Executor = IoContext::executor_type;
using TcpSocket = boost::asio::basic_stream_socket<boost::asio::ip::tcp, Executor>;
using TcpAcceptor = boost::asio::basic_socket_acceptor<boost::asio::ip::tcp, Executor>;
using TcpResolver = boost::asio::ip::basic_resolver<boost::asio::ip::tcp, Executor>;

class AsioStreamSocket;

/// The buffer that sockets read into. A read borrows it when the system call is made, not while it waits, so idle
/// connections own no buffer; only if the last borrower has not delivered its data yet is another one used.
class ReadBuffers {
public:
    ReadBuffers() = default;
    ReadBuffers(const ReadBuffers&) = delete;
    ReadBuffers& operator=(const ReadBuffers&) = delete;
    ~ReadBuffers();
    /// Null if there is no memory.
    std::byte* borrow() noexcept;
    void give_back(std::byte* buffer) noexcept;

private:
    static constexpr std::size_t kept = 4;
    std::byte* free_[kept] = {};
    std::size_t count_ = 0;
};

/// What the sockets of one network share; they may outlive it by an operation.
class SocketContext {
public:
    explicit SocketContext(IoContext& io) noexcept;
    void add_ref() noexcept { ++refs_; }
    void release() noexcept {
        if (--refs_ == 0) delete this;
    }

    IoContext& io;
    ReadBuffers buffers;
    std::vector<detail::Ref<AsioStreamSocket>> rearm;  // sockets that want to wait for data again
    std::uint32_t epoch = 0;                           // counts the times the io_context ran a completion

private:
    ~SocketContext();
    std::uint32_t refs_ = 1;
};

class AsioNetwork final : public io::Network {
public:
    explicit AsioNetwork(IoContext& context);
    ~AsioNetwork() override;
    void set_loop(EventLoop& loop) noexcept { loop_ = &loop; }
    void close() noexcept;

    Coro<io::SocketRef> connect(Address remote, std::optional<Address> local) override;
    std::unique_ptr<io::Listener> listen(const Address& address, const io::ListenOptions& options,
                                         io::ListenerEvents& events) override;
    Coro<std::vector<Address>> resolve(std::string host, std::uint16_t port, Family family) override;

    /// To be called before each completion that the io_context runs: sockets that were read in the last one wait for
    /// data again.
    void before_completion();
    IoContext& context() noexcept { return context_; }
    SocketContext& sockets() noexcept { return *sockets_; }

private:
    IoContext& context_;
    EventLoop* loop_ = nullptr;
    detail::Ref<SocketContext> sockets_;
    TcpResolver resolver_;
};

boost::asio::ip::tcp::endpoint to_endpoint(const Address& address);
Address to_address(const boost::asio::ip::tcp::endpoint& endpoint);
std::error_code to_std(const boost::system::error_code& error);

}  // namespace weft::asio_backend
