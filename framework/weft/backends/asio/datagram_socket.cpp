#include <weft/backends/asio/datagram_socket.hpp>

#include <weft/base/constants.hpp>
#include <weft/io/socket_name.hpp>

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace weft::asio_backend {

AsioDatagramSocket::AsioDatagramSocket(SocketContext& context, io::OwnedDescriptor descriptor)
    : context_(context), descriptor_(descriptor.get()), channel_(*this) {
    context_.add_ref();
    descriptor.take();
    if (const auto local = local_address()) is_local_ = local->family() == Family::local;
}

AsioDatagramSocket::~AsioDatagramSocket() {
    close();
    context_.release();
}

void AsioDatagramSocket::start_receiving() {
    if (receiving_ || closed_) return;
    receiving_ = true;
    channel_.watch();
}

void AsioDatagramSocket::close() noexcept {
    if (closed_) return;
    closed_ = true;
    file_.remove();
    channel_.close();
}

// Events

void AsioDatagramSocket::write_ready() {
    if (!closed_) events_->on_writable();
}

// Receiving

void AsioDatagramSocket::take_event() {
    if (closed_) return;
    try {
        receive_all();
    } catch (...) {
        // An interrupt, after which the loop may run again.
        if (!closed_) channel_.watch();
        throw;
    }
    if (!closed_) channel_.watch();
}

/// What is there, up to a bound; another event tells of more.
void AsioDatagramSocket::receive_all() {
    Received last = receive_batch();
    channel_.note_read(last != Received::nothing);
    for (unsigned batch = 1; last == Received::batch && !closed_ && batch < constants::datagram_batches; ++batch)
        last = receive_batch();
}

/// What one system call gives. That it is less than it could be tells, without another call, that there is no more.
AsioDatagramSocket::Received AsioDatagramSocket::receive_batch() {
    constexpr std::size_t slots = constants::read_buffer_size / constants::datagram_slot_size;
    std::byte* buffer = context_.buffer();
    if (!buffer) {
        std::byte dropped;  // it would be told of for ever
        (void)::recv(descriptor_, &dropped, sizeof dropped, MSG_DONTWAIT);
        events_->on_datagram_error(std::make_error_code(std::errc::not_enough_memory));
        return Received::last;
    }
    // A Unix datagram may be larger than a slot.
    const unsigned wanted = is_local_ ? 1 : slots;
    const std::size_t slot_size = constants::read_buffer_size / wanted;
    std::array<mmsghdr, slots> messages{};
    std::array<iovec, slots> vectors;
    std::array<sockaddr_storage, slots> names;
    for (unsigned i = 0; i < wanted; ++i) {
        vectors[i] = {buffer + i * slot_size, slot_size};
        messages[i].msg_hdr.msg_iov = &vectors[i];
        messages[i].msg_hdr.msg_iovlen = 1;
        messages[i].msg_hdr.msg_name = &names[i];
        messages[i].msg_hdr.msg_namelen = sizeof names[i];
    }
    int count;
    do {
        count = ::recvmmsg(descriptor_, messages.data(), wanted, MSG_DONTWAIT, nullptr);
    } while (count < 0 && errno == EINTR);
    if (count < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK) return Received::nothing;
        events_->on_datagram_error(io::last_error());
        return Received::batch;
    }
    for (unsigned i = 0; i < static_cast<unsigned>(count) && !closed_; ++i) {
        const msghdr& header = messages[i].msg_hdr;
        if ((header.msg_flags & MSG_TRUNC) != 0) {
            events_->on_datagram_error(std::make_error_code(std::errc::message_size));
            continue;
        }
        const Address from =
            is_local_ && header.msg_namelen == 0
                ? Address::local({})
                : io::SocketName::read(reinterpret_cast<const sockaddr*>(&names[i]), header.msg_namelen);
        events_->on_datagram({buffer + i * slot_size, messages[i].msg_len}, from);
    }
    return static_cast<unsigned>(count) == wanted ? Received::batch : Received::last;
}

// Sending

void AsioDatagramSocket::send(std::span<const std::byte> data, const Address* to, std::error_code& error) noexcept {
    ssize_t count;
    do {
        if (to) {
            const io::SocketName name(*to);
            count =
                ::sendto(descriptor_, data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT, name.data(), name.size());
        } else {
            count = ::send(descriptor_, data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        }
    } while (count < 0 && errno == EINTR);
    if (count < 0) error = io::last_error();
}

std::optional<Address> AsioDatagramSocket::local_address() const {
    io::SocketName name;
    if (::getsockname(descriptor_, name.data(), name.size_address()) != 0) return std::nullopt;
    return name.address();
}

std::optional<Address> AsioDatagramSocket::remote_address() const {
    io::SocketName name;
    if (::getpeername(descriptor_, name.data(), name.size_address()) != 0) return std::nullopt;
    return name.address();
}

// Opening

namespace {

template <class Value>
void set_option(int descriptor, int level, int option, const Value& value, const std::string& what) {
    io::check_call(::setsockopt(descriptor, level, option, &value, sizeof value), what);
}

in_addr ipv4_of(const Address& address) noexcept {
    in_addr result{};
    std::memcpy(&result, address.bytes().data(), sizeof result);
    return result;
}

void join(int descriptor, const io::MulticastGroup& group) {
    const std::string what = "cannot join " + group.group.host();
    if (group.group.family() == Family::ipv4) {
        ip_mreqn request{};
        request.imr_multiaddr = ipv4_of(group.group);
        request.imr_address = ipv4_of(group.interface);
        set_option(descriptor, IPPROTO_IP, IP_ADD_MEMBERSHIP, request, what);
    } else {
        ipv6_mreq request{};
        std::memcpy(&request.ipv6mr_multiaddr, group.group.bytes().data(), sizeof request.ipv6mr_multiaddr);
        request.ipv6mr_interface = group.interface.scope();
        set_option(descriptor, IPPROTO_IPV6, IPV6_JOIN_GROUP, request, what);
    }
}

void configure(int descriptor, Family family, const io::DatagramSocketOptions& options) {
    const int on = 1;
    if (options.reuse_port) set_option(descriptor, SOL_SOCKET, SO_REUSEPORT, on, "SO_REUSEPORT");
    if (options.allow_broadcast) set_option(descriptor, SOL_SOCKET, SO_BROADCAST, on, "SO_BROADCAST");
    const bool ipv6 = family == Family::ipv6;
    const int level = ipv6 ? IPPROTO_IPV6 : IPPROTO_IP;
    if (options.multicast_ttl)
        set_option(descriptor, level, ipv6 ? IPV6_MULTICAST_HOPS : IP_MULTICAST_TTL, *options.multicast_ttl,
                   "multicast time to live " + std::to_string(*options.multicast_ttl));
    if (options.multicast_loopback) {
        const int value = *options.multicast_loopback ? 1 : 0;
        set_option(descriptor, level, ipv6 ? IPV6_MULTICAST_LOOP : IP_MULTICAST_LOOP, value, "multicast loopback");
    }
    if (options.multicast_interface) {
        const Address& interface = *options.multicast_interface;
        const std::string what = "multicast interface " + interface.host();
        if (ipv6)
            set_option(descriptor, level, IPV6_MULTICAST_IF, static_cast<int>(interface.scope()), what);
        else
            set_option(descriptor, level, IP_MULTICAST_IF, ipv4_of(interface), what);
    }
}

}  // namespace

detail::Ref<AsioDatagramSocket> open_datagram_socket(SocketContext& context, const std::optional<Address>& local,
                                                     const std::optional<Address>& remote,
                                                     const io::DatagramSocketOptions& options) {
    const Family family = local ? local->family() : remote ? remote->family() : options.family;
    io::OwnedDescriptor descriptor(
        io::check_call(::socket(io::system_family(family), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket"));
    configure(descriptor.get(), family, options);
    const int number = descriptor.get();
    auto socket = detail::Ref<AsioDatagramSocket>::adopt(new AsioDatagramSocket(context, std::move(descriptor)));
    if (local) {
        SocketFile::remove_stale(*local);
        const io::SocketName name(*local);
        io::check_call(::bind(number, name.data(), name.size()),
                       "error while attempting to bind on address " + local->to_string());
        socket->own_file(*local);
    }
    for (const io::MulticastGroup& group : options.groups)
        join(number, group);
    if (remote) {
        const io::SocketName name(*remote);
        io::check_call(::connect(number, name.data(), name.size()), "Connect call failed " + remote->to_string());
    }
    return socket;
}

detail::Ref<AsioDatagramSocket> adopt_datagram_socket(SocketContext& context, int descriptor) {
    io::OwnedDescriptor owned(descriptor);
    int type = 0;
    socklen_t size = sizeof type;
    io::check_call(::getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size), "socket");
    if (type != SOCK_DGRAM) throw ValueError("a datagram socket was expected, got one of type " + std::to_string(type));
    io::stop_blocking(descriptor, "socket");
    return detail::Ref<AsioDatagramSocket>::adopt(new AsioDatagramSocket(context, std::move(owned)));
}

}  // namespace weft::asio_backend
