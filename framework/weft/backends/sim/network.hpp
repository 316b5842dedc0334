#pragma once
// SimNetwork: connections and datagrams between tasks of one loop, in memory and in order. Each direction holds a
// bounded number of bytes, so that back-pressure is felt; each delivery is an event of the backend after `latency`.

#include <weft/io/network.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

namespace weft::sim {

class SimBackend;
class SimDatagramSocket;
class SimListener;
class SimSocket;

class SimNetwork final : public io::Network {
public:
    explicit SimNetwork(SimBackend& backend) noexcept : backend_(backend) {}
    void close() noexcept { listeners_.clear(); }

    Coro<io::SocketRef> connect(Address remote, std::optional<Address> local) override;
    std::unique_ptr<io::Listener> listen(const Address& address, const io::ListenOptions& options,
                                         io::ListenerEvents& events) override;
    io::DatagramRef open_datagram(const std::optional<Address>& local, const std::optional<Address>& remote,
                                  const io::DatagramSocketOptions& options) override;
    /// Knows `localhost`, what add_name() was told and ports by number; GaiError for the rest.
    Coro<std::vector<AddrInfo>> getaddrinfo(std::string host, std::string service, AddrInfoHints hints) override;
    /// The first name that add_name() gave the address, else the address itself; the port as a number.
    Coro<std::pair<std::string, std::string>> getnameinfo(Address address, int flags) override;

    void add_name(std::string host, Address address) { names_.emplace(std::move(host), address); }
    /// How long bytes, connections and their ends travel; default none, and then they arrive in the next poll.
    void set_latency(Duration latency) noexcept { latency_ = latency; }
    Duration latency() const noexcept { return latency_; }
    /// How long connecting to this host takes, whatever the port; Duration::max(): it never answers.
    void set_connect_latency(const Address& host, Duration latency) { connect_latency_[host.with_port(0)] = latency; }
    /// Bytes that one direction of a connection made from now on holds before it takes no more; default 64 KiB.
    void set_capacity(std::size_t bytes) noexcept { capacity_ = bytes; }
    std::size_t capacity() const noexcept { return capacity_; }
    SimBackend& backend() noexcept { return backend_; }

    // For datagram sockets.

    Address with_free_datagram_port(Address address);
    /// Throws the typed OSError if the address is taken.
    void add_datagram_socket(const Address& address, SimDatagramSocket& socket);
    void remove_datagram_socket(const Address& address, SimDatagramSocket& socket) noexcept;
    /// Who gets a datagram: of several sockets that share an address one, of a group all.
    std::vector<detail::Ref<SimDatagramSocket>> datagram_receivers(const Address& to, const Address& from) const;

private:
    friend class SimListener;
    SimListener* find_listener(const Address& address) const;
    io::SocketRef join_listener(const Address& own, const Address& remote);
    Address local_name(const std::optional<Address>& wanted, const Address& remote);
    std::uint16_t free_port();

    SimBackend& backend_;
    std::map<Address, SimListener*> listeners_;
    std::multimap<Address, SimDatagramSocket*> datagram_sockets_;
    std::multimap<std::string, Address> names_;
    std::map<Address, Duration> connect_latency_;
    Duration latency_ = Duration::zero();
    std::size_t capacity_ = 64 * 1024;
    std::uint16_t last_port_ = 49151;
};

}  // namespace weft::sim
