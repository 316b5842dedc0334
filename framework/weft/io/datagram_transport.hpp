#pragma once
// SocketDatagramTransport: the datagram transport of every backend. Private to the io floor.

#include <weft/io/datagram.hpp>
#include <weft/io/registry.hpp>

#include <deque>
#include <memory>

namespace weft::io {

///     open -> closing (flushes) -> lost
class SocketDatagramTransport final : public DatagramTransport,
                                      public DatagramEvents,
                                      public RegistryEntry,
                                      private detail::ReadyNode,
                                      public std::enable_shared_from_this<SocketDatagramTransport> {
public:
    /// Makes a transport and schedules connection_made, then the start of receiving, then `ready`, in this order. If it
    /// throws, the socket is closed.
    static std::shared_ptr<SocketDatagramTransport> open(EventLoop& loop, OpenDatagram& socket,
                                                         std::shared_ptr<DatagramProtocol> protocol,
                                                         UniqueFunction<void()> ready);

    SocketDatagramTransport(EventLoop& loop, DatagramRef socket, std::optional<Address> to);
    ~SocketDatagramTransport() override;

    void close() override;
    bool is_closing() const noexcept override { return closing_; }
    void set_protocol(std::shared_ptr<BaseProtocol> protocol) override;
    std::shared_ptr<BaseProtocol> get_protocol() const override { return protocol_; }
    EventLoop& get_loop() const noexcept override { return loop_; }
    void abort() override;
    void set_write_buffer_limits(std::optional<std::size_t> high, std::optional<std::size_t> low) override;
    std::pair<std::size_t, std::size_t> get_write_buffer_limits() const noexcept override {
        return {low_water_, high_water_};
    }
    std::size_t get_write_buffer_size() const noexcept override { return buffered_; }
    std::optional<Address> peername() const override;
    std::optional<Address> sockname() const override;
    int fileno() const noexcept override { return socket_ ? socket_->native_handle() : -1; }

    void drop() noexcept override;
    int owned_descriptor() const noexcept override { return fileno(); }
    std::string describe_entry() const override { return repr(); }

private:
    // ReadyNode: the socket is closed.
    void run() override;
    void discard() noexcept override { loss_scheduled_ = false; }
    std::string describe() const override { return "<connection_lost callback>"; }

    void on_datagram(std::span<const std::byte> data, const Address& from) override;
    void on_datagram_error(std::error_code error) override;
    void on_writable() override;

    class Outgoing {
    public:
        Outgoing(std::span<const std::byte> data, const Address* to) : data(data) {
            if (to) this->to = *to;
        }
        std::size_t weight() const noexcept { return data.size() + constants::datagram_header_size; }
        Bytes data;
        std::optional<Address> to;
    };

    void send_datagram(std::span<const std::byte> data, const Address* to) override;
    void tell_error(std::error_code error, const char* what);
    template <class F>
    void call_protocol(const char* message, F&& call);
    void pause_protocol();
    void maybe_resume_protocol();
    void schedule_connection_lost() noexcept;
    void connection_lost();

    EventLoop& loop_;
    DatagramRef socket_;
    const std::optional<Address> peer_;  // it is connected
    std::optional<Address> own_;         // once it is closed
    const std::optional<Address> to_;    // where it sends otherwise, if it is not told
    std::shared_ptr<DatagramProtocol> protocol_;
    detail::ContextSlot context_ = detail::ContextSlot::copy_of_current();  // of who opened it
    std::deque<Outgoing> outgoing_;
    std::size_t buffered_ = 0;  // what outgoing_ counts for
    std::size_t high_water_ = constants::write_high_water;
    std::size_t low_water_ = constants::write_high_water / 4;
    unsigned dropped_writes_ = 0;
    bool connected_ = false;  // connection_made was called
    bool closing_ = false;
    bool lost_ = false;  // connection_lost is scheduled or done
    bool loss_scheduled_ = false;
    bool protocol_paused_ = false;
};

}  // namespace weft::io
