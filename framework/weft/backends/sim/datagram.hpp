#pragma once
// SimDatagramSocket: a datagram socket of a simulated network. A datagram is an event of the backend after the
// network's latency; one that finds no room at its receiver is lost, as with UDP.

#include <weft/io/network.hpp>

#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

namespace weft::sim {

class SimNetwork;

class SimDatagramSocket final : public io::DatagramSocket {
public:
    SimDatagramSocket(SimNetwork& network, std::optional<Address> local, std::optional<Address> remote,
                      io::DatagramSocketOptions options);

    void start_receiving() override;
    void send(std::span<const std::byte> data, const Address* to, std::error_code& error) noexcept override;
    void wait_writable() override;
    void close() noexcept override;
    std::optional<Address> local_address() const override { return local_; }
    std::optional<Address> remote_address() const override { return remote_; }

    // For the network.

    bool shares_port() const noexcept { return options_.reuse_port; }
    /// Whether a datagram from there to here is this socket's.
    bool accepts(const Address& to, const Address& from) const noexcept;
    /// How closely it is meant: connected before bound to this address before bound to all.
    int rank() const noexcept { return (remote_ ? 2 : 0) + (local_->is_any() ? 0 : 1); }
    /// The address stands for all sockets that accept it.
    static bool is_addressed_with_others(const Address& to) noexcept;
    void arrived(Bytes data, Address from);

private:
    using Incoming = std::pair<Bytes, Address>;

    ~SimDatagramSocket() override;
    void bind();
    std::error_code try_send(std::span<const std::byte> data, const Address& to);
    void refused();
    void deliver(const Incoming& datagram);

    SimNetwork& network_;
    std::optional<Address> local_;  // bound to it
    const std::optional<Address> remote_;
    const io::DatagramSocketOptions options_;
    std::deque<Incoming> waiting_;  // until start_receiving()
    std::size_t waiting_bytes_ = 0;
    bool receiving_ = false;
    bool closed_ = false;
};

}  // namespace weft::sim
