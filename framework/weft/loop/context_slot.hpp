#pragma once
// What runs in which context: the part of contexts that the loop itself needs. See context.hpp.

#include <weft/base/ref.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace weft::detail {

/// A value of one variable; shared by contexts, immutable.
class ContextValue {
public:
    void add_ref() noexcept { refs_.fetch_add(1, std::memory_order_relaxed); }
    void release() noexcept {
        if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
    }
    ContextValue(const ContextValue&) = delete;
    ContextValue& operator=(const ContextValue&) = delete;

protected:
    ContextValue() = default;
    virtual ~ContextValue() = default;

private:
    std::atomic<std::uint32_t> refs_{1};
};

/// The values of a context by the numbers of their variables: immutable while it is shared, and shared by copies.
class ContextMap {
public:
    void add_ref() noexcept { refs_.fetch_add(1, std::memory_order_relaxed); }
    void release() noexcept {
        if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy();
    }
    /// Null if the variable has no value.
    ContextValue* find(std::uint64_t variable) const noexcept {
        std::size_t low = 0;
        for (std::size_t count = size_; count > 0;) {
            const std::size_t half = count / 2;
            if (entries()[low + half].variable < variable) {
                low += half + 1;
                count -= half + 1;
            } else {
                count = half;
            }
        }
        return low < size_ && entries()[low].variable == variable ? entries()[low].value : nullptr;
    }
    std::size_t size() const noexcept { return size_; }
    /// A map like `map` (which may be null) with the value of one variable replaced, or removed if `value` is null.
    static Ref<ContextMap> with(const ContextMap* map, std::uint64_t variable, Ref<ContextValue> value);

private:
    struct Entry {
        std::uint64_t variable;
        ContextValue* value;  // one reference
    };
    explicit ContextMap(std::size_t size) noexcept : size_(static_cast<std::uint32_t>(size)) {}
    Entry* entries() noexcept { return reinterpret_cast<Entry*>(this + 1); }
    const Entry* entries() const noexcept { return reinterpret_cast<const Entry*>(this + 1); }
    void destroy() noexcept;

    std::atomic<std::uint32_t> refs_{1};
    std::uint32_t size_;
    // The entries follow, by the numbers of their variables.
};

/// The place of a running context: what get() reads and set() changes.
class ContextSlot {
public:
    ContextSlot() noexcept = default;
    /// A copy of the context that runs on this thread. (Defined in event_loop.hpp.)
    inline static ContextSlot copy_of_current() noexcept;
    Ref<ContextMap> map;
};

/// The slot of a Context object.
class SharedContextSlot : public ContextSlot {
public:
    SharedContextSlot() noexcept = default;
    explicit SharedContextSlot(ContextSlot slot) noexcept : ContextSlot(std::move(slot)) {}
    /// Where the context was before somebody asked a running task for it; only compared.
    const ContextSlot* moved_from = nullptr;
};

/// The slot of what runs on this thread: of a callback or Context::run(), else of the current task, else of the thread;
/// null if that is a thread that never set anything. (Defined in event_loop.hpp.)
inline ContextSlot* current_context() noexcept;
/// The current slot, made if the thread has none yet.
ContextSlot& require_current_context();

/// The slot of a callback or Context::run(); it goes before that of the current task. Null mostly.
extern thread_local constinit ContextSlot* context_override;
/// The slot of a thread outside of any loop; null until something is set.
extern thread_local constinit ContextSlot* thread_context;
/// The context of the innermost Context::run(); null mostly.
extern thread_local constinit SharedContextSlot* entered_context;

/// True if `current`, the slot that is current on this thread, has the context that was in `slot` once.
bool was_moved_from(const ContextSlot* slot, const ContextSlot& current) noexcept;

/// Makes a slot the current one for as long as this lives.
class ContextScope {
public:
    explicit ContextScope(ContextSlot& slot) noexcept : previous_(std::exchange(context_override, &slot)) {}
    ContextScope(const ContextScope&) = delete;
    ContextScope& operator=(const ContextScope&) = delete;
    ~ContextScope() { context_override = previous_; }

private:
    ContextSlot* previous_;
};

}  // namespace weft::detail
