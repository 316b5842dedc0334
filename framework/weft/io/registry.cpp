#include <weft/io/registry.hpp>

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
    auto entries = std::move(entries_);
    for (auto& entry : entries)
        entry->drop();
}

void IoRegistry::add(std::shared_ptr<RegistryEntry> entry) {
    entry->registry_index = static_cast<std::uint32_t>(entries_.size());
    entries_.push_back(std::move(entry));
}

void IoRegistry::remove(RegistryEntry& entry) noexcept {
    const std::uint32_t index = entry.registry_index;
    if (index >= entries_.size() || entries_[index].get() != &entry) return;
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

}  // namespace weft::io
