#include <weft/backends/sim/datagram.hpp>

#include <weft/backends/sim/backend.hpp>

#include <algorithm>

namespace weft::sim {

namespace {

constexpr std::size_t largest_udp_datagram = 65507;

bool is_multicast(const Address& address) noexcept {
    if (address.family() == Family::ipv4) return (address.bytes()[0] & 0xf0) == 0xe0;
    return address.family() == Family::ipv6 && address.bytes()[0] == 0xff;
}
bool is_broadcast(const Address& address) noexcept {
    return address.family() == Family::ipv4 &&
           std::all_of(address.bytes().begin(), address.bytes().begin() + 4, [](auto byte) { return byte == 255; });
}

}  // namespace

SimDatagramSocket::SimDatagramSocket(SimNetwork& network, std::optional<Address> local, std::optional<Address> remote,
                                     io::DatagramSocketOptions options)
    : network_(network), local_(std::move(local)), remote_(std::move(remote)), options_(std::move(options)) {
    if (local_ || remote_) bind();
}

SimDatagramSocket::~SimDatagramSocket() {
    close();
}

/// Gives it an address and has the network know it.
void SimDatagramSocket::bind() {
    const Family family = local_ ? local_->family() : remote_ ? remote_->family() : options_.family;
    if (family == Family::local) {
        if (!local_) local_ = Address::local({});
    } else {
        if (!local_) local_ = remote_ ? remote_->with_port(0) : Address::any(family, 0);
        if (local_->port() == 0) local_ = network_.with_free_datagram_port(*local_);
    }
    network_.add_datagram_socket(*local_, *this);
}

void SimDatagramSocket::close() noexcept {
    if (closed_) return;
    closed_ = true;
    waiting_.clear();
    if (local_) network_.remove_datagram_socket(*local_, *this);
}

bool SimDatagramSocket::is_addressed_with_others(const Address& to) noexcept {
    return is_multicast(to) || is_broadcast(to);
}

// Receiving

bool SimDatagramSocket::accepts(const Address& to, const Address& from) const noexcept {
    if (closed_ || !local_) return false;
    if (remote_ && from != *remote_) return false;
    if (to.family() == Family::local) return to == *local_;
    if (to.family() != local_->family() || to.port() != local_->port()) return false;
    if (is_multicast(to))
        return std::any_of(options_.groups.begin(), options_.groups.end(),
                           [&to](const auto& joined) { return joined.group.bytes() == to.bytes(); });
    return local_->is_any() || is_broadcast(to) || local_->bytes() == to.bytes();
}

void SimDatagramSocket::arrived(Bytes data, Address from) {
    Incoming datagram(std::move(data), std::move(from));
    if (receiving_) {
        deliver(datagram);
    } else if (waiting_bytes_ + datagram.first.size() <= network_.capacity()) {
        waiting_bytes_ += datagram.first.size();
        waiting_.push_back(std::move(datagram));
    }
}

void SimDatagramSocket::start_receiving() {
    if (receiving_) return;
    receiving_ = true;
    network_.backend().post(Duration::zero(), [self = detail::Ref<SimDatagramSocket>(this)] {
        for (; !self->closed_ && !self->waiting_.empty(); self->waiting_.pop_front()) {
            const Incoming datagram = std::move(self->waiting_.front());
            self->deliver(datagram);
        }
    });
}

void SimDatagramSocket::deliver(const Incoming& datagram) {
    if (!closed_) events_->on_datagram(datagram.first.span(), datagram.second);
}

void SimDatagramSocket::refused() {
    if (!closed_ && receiving_) events_->on_datagram_error(std::make_error_code(std::errc::connection_refused));
}

// Sending

void SimDatagramSocket::send(std::span<const std::byte> data, const Address* to, std::error_code& error) noexcept {
    if (!to && remote_) to = &*remote_;
    if (!to) {
        error = std::make_error_code(std::errc::destination_address_required);
        return;
    }
    try {
        error = try_send(data, *to);
    } catch (...) {
        error = std::make_error_code(std::errc::not_enough_memory);
    }
}

std::error_code SimDatagramSocket::try_send(std::span<const std::byte> data, const Address& to) {
    if (!local_) bind();
    if (to.family() != local_->family()) return std::make_error_code(std::errc::address_family_not_supported);
    if (to.family() == Family::local) {
        if (network_.datagram_receivers(to, *local_).empty())
            return std::make_error_code(std::errc::no_such_file_or_directory);
    } else if (data.size() > largest_udp_datagram) {
        return std::make_error_code(std::errc::message_size);
    }
    if (is_broadcast(to) && !options_.allow_broadcast) return std::make_error_code(std::errc::permission_denied);
    // Who receives it sees where it came from: the machine, if the sender is bound to no address of it.
    Address from = *local_;
    if (from.is_any() && !is_multicast(to) && !is_broadcast(to)) from = to.with_port(from.port());
    network_.backend().post(network_.latency(), [self = detail::Ref<SimDatagramSocket>(this), to,
                                                 from = std::move(from), data = Bytes(data)]() mutable {
        const auto receivers = self->network_.datagram_receivers(to, from);
        const bool own_copy = self->options_.multicast_loopback.value_or(true);
        for (const auto& receiver : receivers)
            if (!is_multicast(to) || own_copy) receiver->arrived(data, from);
        if (!receivers.empty() || !self->remote_) return;
        self->network_.backend().post(self->network_.latency(), [self] { self->refused(); });
    });
    return {};
}

void SimDatagramSocket::wait_writable() {
    network_.backend().post(Duration::zero(), [self = detail::Ref<SimDatagramSocket>(this)] {
        if (!self->closed_) self->events_->on_writable();
    });
}

}  // namespace weft::sim
