#pragma once
// FdWatch: add_reader() and add_writer().

#include <weft/backends/asio/socket_context.hpp>
#include <weft/backends/asio/waiter.hpp>
#include <weft/base/ref.hpp>
#include <weft/base/unique_function.hpp>
#include <weft/loop/backend.hpp>

#include <memory>

namespace weft::asio_backend {

class FdWatch;

/// Watches whose callbacks the last poll has called, in that order. They are linked, so that nothing is allocated.
class FdWatches {
public:
    FdWatches() = default;
    FdWatches(const FdWatches&) = delete;
    FdWatches& operator=(const FdWatches&) = delete;
    ~FdWatches() { clear(); }

    void add(std::shared_ptr<FdWatch> watch) noexcept;
    /// Each waits for its next event, and the list is empty. False if there was no memory for one: it and those after
    /// it stay.
    bool wait_again() noexcept;
    void clear() noexcept;

private:
    std::shared_ptr<FdWatch> first_;
    FdWatch* last_ = nullptr;
};

/// Watches one descriptor for one event. It works on a duplicate: the descriptor stays its owner's, who may watch it
/// for the other event too. After a call it waits again from the next poll on: within one poll a descriptor that
/// stays ready would be ready for ever.
class FdWatch : public std::enable_shared_from_this<FdWatch> {
public:
    FdWatch(FdWatches& called, SocketContext& context, int fd, FdEvent event, UniqueFunction<void()> callback);
    void wait();
    void stop() noexcept;

private:
    friend class FdWatches;

    FdWatches& called_;
    const detail::Ref<SocketContext> context_;
    Waiter descriptor_;
    const FdEvent event_;
    UniqueFunction<void()> callback_;
    std::shared_ptr<FdWatch> next_called_;
    bool stopped_ = false;
};

}  // namespace weft::asio_backend
