#include <weft/io/registry.hpp>

#include <weft/io/protocol.hpp>
#include <weft/io/server.hpp>
#include <weft/io/transport.hpp>

#include <algorithm>

namespace weft::io {

IoRegistry& IoRegistry::of(EventLoop& loop) {
    if (auto* registry = loop.find_service<IoRegistry>()) return *registry;
    return loop.add_service<IoRegistry>();
}

void IoRegistry::shutdown() noexcept {
    auto servers = std::move(servers_);
    for (auto& server : servers)
        server->drop();
    by_descriptor_.clear();
    auto entries = std::move(entries_);
    for (auto& entry : entries)
        entry->drop();
}

void IoRegistry::set_owner(int fd, RegistryEntry* entry) {
    const auto index = static_cast<std::size_t>(fd);
    if (by_descriptor_.size() <= index) by_descriptor_.resize(index + 1);
    by_descriptor_[index] = entry;
    entry->registry_descriptor = fd;
}

void IoRegistry::forget_owner(RegistryEntry& entry) noexcept {
    const auto index = static_cast<std::size_t>(entry.registry_descriptor);
    // The descriptor may have become another transport's by now.
    if (index < by_descriptor_.size() && by_descriptor_[index] == &entry) by_descriptor_[index] = nullptr;
}

void IoRegistry::check_descriptor_free(int fd) const {
    const auto index = static_cast<std::size_t>(fd);
    if (index >= by_descriptor_.size() || !by_descriptor_[index]) return;
    const RegistryEntry& owner = *by_descriptor_[index];
    if (owner.owned_descriptor() == fd)
        throw RuntimeError("File descriptor " + std::to_string(fd) + " is used by transport " + owner.describe_entry());
}

void IoRegistry::add(std::shared_ptr<RegistryEntry> entry) {
    RegistryEntry& added = *entry;
    added.registry_index = static_cast<std::uint32_t>(entries_.size());
    entries_.push_back(std::move(entry));
    if (const int fd = added.owned_descriptor(); fd >= 0) set_owner(fd, &added);
}

void IoRegistry::remove(RegistryEntry& entry) noexcept {
    const std::uint32_t index = entry.registry_index;
    if (index >= entries_.size() || entries_[index].get() != &entry) return;
    forget_owner(entry);
    std::shared_ptr<RegistryEntry> removed = std::move(entries_[index]);
    if (index + 1 < entries_.size()) {
        entries_[index] = std::move(entries_.back());
        entries_[index]->registry_index = index;
    }
    entries_.pop_back();
}

void IoRegistry::add(detail::Ref<ServerState> server) {
    servers_.push_back(std::move(server));
}

void IoRegistry::remove(ServerState& server) noexcept {
    auto found = std::find_if(servers_.begin(), servers_.end(),
                              [&server](const auto& candidate) { return candidate.get() == &server; });
    if (found == servers_.end()) return;
    detail::Ref<ServerState> removed = std::move(*found);
    servers_.erase(found);
}

std::vector<std::shared_ptr<Transport>> IoRegistry::clients_of(const ServerState& server) const {
    std::vector<std::shared_ptr<Transport>> clients;
    for (const auto& entry : entries_)
        if (auto client = entry->client_of(server)) clients.push_back(std::move(client));
    return clients;
}

void release_later(EventLoop& loop, std::shared_ptr<BaseProtocol> protocol) {
    if (protocol && !loop.is_closed()) loop.schedule_internal([protocol = std::move(protocol)] {});
}

bool replace_protocol(EventLoop& loop, std::shared_ptr<BaseProtocol>& protocol, std::shared_ptr<BaseProtocol> next) {
    if (!next) throw ValueError("set_protocol: the protocol is null");
    const bool buffered = dynamic_cast<BufferedProtocol*>(next.get()) != nullptr;
    if (!buffered && !dynamic_cast<Protocol*>(next.get()))
        throw ValueError("set_protocol: the protocol is neither a Protocol nor a BufferedProtocol");
    release_later(loop, protocol);
    protocol = std::move(next);
    return buffered;
}

void report_error(EventLoop& loop, const std::exception_ptr& error, std::string_view message,
                  const std::type_info& protocol, const RegistryEntry& transport) {
    loop.report_error(error, [&] {
        ExceptionContext context(std::string(message), error);
        if (protocol != typeid(void)) context.protocol = "<" + detail::demangle(protocol.name()) + ">";
        context.transport = transport.describe_entry();
        return context;
    });
}

void report_end(EventLoop& loop, const std::exception_ptr& error, const char* message, const std::type_info& protocol,
                const RegistryEntry& transport) {
    bool everybodys = true;
    try {
        std::rethrow_exception(error);
    } catch (const OSError& of_network) {
        everybodys = of_network.code() == std::errc::not_enough_memory;
    } catch (...) {}
    if (everybodys)
        report_error(loop, error, message, protocol, transport);
    else if (loop.get_debug())
        loop.log(std::string(message) + ": " + describe_exception(error));
}

}  // namespace weft::io
