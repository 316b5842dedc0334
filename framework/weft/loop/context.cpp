#include <weft/loop/context.hpp>

#include <weft/base/frame_pool.hpp>

#include <memory>
#include <new>

namespace weft::detail {

thread_local constinit ContextSlot* context_override = nullptr;
thread_local constinit ContextSlot* thread_context = nullptr;
thread_local constinit SharedContextSlot* entered_context = nullptr;

namespace {

/// The context of a thread outside of any loop.
class ThreadContext {
public:
    ~ThreadContext() { thread_context = nullptr; }
    ContextSlot slot;
};

std::atomic<std::uint64_t> last_variable{0};

}  // namespace

ContextSlot& require_current_context() {
    if (ContextSlot* current = current_context()) return *current;
    thread_local ThreadContext own;
    thread_context = &own.slot;
    return own.slot;
}

bool was_moved_from(const ContextSlot* slot, const ContextSlot& current) noexcept {
    if (entered_context == &current) return entered_context->moved_from == slot;
    TaskRecord* const task = running_loop ? running_loop->current_task() : nullptr;
    const SharedContextSlot* const shared = task ? task->shared_context() : nullptr;
    return shared == &current && shared->moved_from == slot;
}

std::uint64_t next_context_variable() noexcept {
    return last_variable.fetch_add(1, std::memory_order_relaxed) + 1;
}

Ref<ContextMap> ContextMap::with(const ContextMap* map, std::uint64_t variable, Ref<ContextValue> value) {
    const std::size_t old_size = map ? map->size_ : 0;
    const bool had = map && map->find(variable);
    if (!had && !value) return Ref<ContextMap>(const_cast<ContextMap*>(map));
    const std::size_t size = old_size + (value ? 1 : 0) - (had ? 1 : 0);
    if (size == 0) return nullptr;
    void* block = pool_allocate(sizeof(ContextMap) + size * sizeof(Entry));
    auto made = Ref<ContextMap>::adopt(new (block) ContextMap(size));
    Entry* to = made->entries();
    const auto add = [&to](std::uint64_t number, ContextValue* entry) { ::new (to++) Entry{number, entry}; };
    bool placed = !value;
    for (std::size_t i = 0; i < old_size; ++i) {
        const Entry& entry = map->entries()[i];
        if (!placed && entry.variable >= variable) {
            add(variable, value.detach());
            placed = true;
        }
        if (entry.variable == variable) continue;
        entry.value->add_ref();
        add(entry.variable, entry.value);
    }
    if (!placed) add(variable, value.detach());
    return made;
}

void ContextMap::destroy() noexcept {
    const std::size_t size = size_;
    for (std::size_t i = 0; i < size; ++i)
        entries()[i].value->release();
    std::destroy_at(this);
    pool_free(this, sizeof(ContextMap) + size * sizeof(Entry));
}

void ContextState::enter() {
    if (entered_.exchange(true, std::memory_order_acquire))
        throw RuntimeError("cannot enter context: it is already entered");
}

void throw_no_context_value(const std::string& name) {
    throw LookupError("the context variable '" + name + "' has no value");
}

void throw_wrong_token(WrongToken reason) {
    if (reason == WrongToken::used) throw RuntimeError("the token has already been used once");
    throw ValueError(reason == WrongToken::other_variable ? "the token was created by a different ContextVar"
                                                          : "the token was created in a different Context");
}

}  // namespace weft::detail
