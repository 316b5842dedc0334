#pragma once
// IoRegistry: the transports and servers of a loop. It keeps them alive while nobody else does, and drops them when the
// loop closes. Private to the framework.

#include <weft/base/ref.hpp>
#include <weft/io/server.hpp>
#include <weft/loop/event_loop.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <typeinfo>
#include <vector>

namespace weft::io {

/// What a registry holds: a transport of any kind.
class RegistryEntry {
public:
    /// The loop closes: lets go of descriptors and protocols without calling anything.
    virtual void drop() noexcept = 0;
    /// The application's transport of this connection if `server` accepted it, else null.
    virtual std::shared_ptr<Transport> client_of(const ServerState& server) {
        (void)server;
        return nullptr;
    }

    /// The descriptor that is the transport's from the start to the end, or -1.
    virtual int owned_descriptor() const noexcept { return -1; }
    /// For errors: "<Transport fd=7 ...>".
    virtual std::string describe_entry() const { return "<transport>"; }

    std::uint32_t registry_index = 0;  // the registry's
    int registry_descriptor = -1;      // the registry's

protected:
    RegistryEntry() = default;
    ~RegistryEntry() = default;
};

class IoRegistry final : public Service {
public:
    static IoRegistry& of(EventLoop& loop);
    std::string_view name() const noexcept override { return "io"; }
    void shutdown() noexcept override;
    void check_descriptor_free(int fd) const override;

    void add(std::shared_ptr<RegistryEntry> entry);
    void remove(RegistryEntry& entry) noexcept;
    void add(detail::Ref<ServerState> server);
    void remove(ServerState& server) noexcept;
    /// The transports accepted by `server`.
    std::vector<std::shared_ptr<Transport>> clients_of(const ServerState& server) const;
    std::size_t transports() const noexcept { return entries_.size(); }

private:
    void set_owner(int fd, RegistryEntry* entry);
    void forget_owner(RegistryEntry& entry) noexcept;

    std::vector<std::shared_ptr<RegistryEntry>> entries_;
    std::vector<RegistryEntry*> by_descriptor_;
    std::vector<detail::Ref<ServerState>> servers_;
};

/// Lets go of a protocol whose transport has got another one: by the loop, since it may be the protocol's own callback
/// that runs.
void release_later(EventLoop& loop, std::shared_ptr<BaseProtocol> protocol);
/// set_protocol() of a stream: `next` in the place of `protocol`. True if it is a BufferedProtocol, ValueError if it is
/// neither that nor a Protocol.
bool replace_protocol(EventLoop& loop, std::shared_ptr<BaseProtocol>& protocol, std::shared_ptr<BaseProtocol> next);

/// What kind of protocol it is, which may be null.
template <class P>
const std::type_info& type_of(const P* protocol) noexcept {
    return protocol ? typeid(*protocol) : typeid(void);
}
/// Tells the exception handler `message`, and of which transport and kind of protocol.
void report_error(EventLoop& loop, const std::exception_ptr& error, std::string_view message,
                  const std::type_info& protocol, const RegistryEntry& transport);
/// Why a connection ends. What the network does is its protocol's business, and is only logged in debug mode; what the
/// application threw, and lack of memory here, is everybody's: the exception handler is told.
void report_end(EventLoop& loop, const std::exception_ptr& error, const char* message, const std::type_info& protocol,
                const RegistryEntry& transport);

}  // namespace weft::io
