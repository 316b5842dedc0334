#include <weft/backends/asio/fd_watch.hpp>

#include <weft/backends/asio/network.hpp>
#include <weft/base/exceptions.hpp>
#include <weft/io/descriptor.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

namespace weft::asio_backend {

namespace asio = boost::asio;

FdWatch::FdWatch(FdWatches& called, SocketContext& context, int fd, FdEvent event, UniqueFunction<void()> callback)
    : called_(called), context_(&context), descriptor_(context), event_(event), callback_(std::move(callback)) {
    io::OwnedDescriptor copy(io::check_call(::fcntl(fd, F_DUPFD_CLOEXEC, 0), "cannot watch descriptor"));
    // They are always ready, which epoll refuses to tell.
    struct stat status{};
    if (::fstat(copy.get(), &status) == 0 && (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)))
        throw_os_error(std::make_error_code(std::errc::operation_not_permitted),
                       "cannot watch a file: descriptor " + std::to_string(fd));
    if (const auto error = descriptor_.assign(copy.get()))
        throw_os_error(to_std(error), "cannot watch descriptor " + std::to_string(fd));
    copy.take();
}

void FdWatch::wait() {
    if (stopped_) return;
    descriptor_.async_wait(event_ == FdEvent::readable ? Wait::read : Wait::write,
                           [self = shared_from_this()](const boost::system::error_code& error) {
                               if (self->stopped_ || error == asio::error::operation_aborted) return;
                               self->called_.add(self);
                               // If there is no memory to queue a call, the next poll tells again.
                               detail::run_guarded([&] { self->callback_(); }, [](const std::exception_ptr&) {});
                           });
}

void FdWatch::stop() noexcept {
    stopped_ = true;
    descriptor_.close();
}

void FdWatches::add(std::shared_ptr<FdWatch> watch) noexcept {
    FdWatch* const added = watch.get();
    (last_ ? last_->next_called_ : first_) = std::move(watch);
    last_ = added;
}

bool FdWatches::wait_again() noexcept {
    while (first_) {
        try {
            first_->wait();
        } catch (...) {
            return false;
        }
        const std::shared_ptr<FdWatch> waiting = std::move(first_);
        first_ = std::move(waiting->next_called_);
    }
    last_ = nullptr;
    return true;
}

void FdWatches::clear() noexcept {
    while (first_) {
        const std::shared_ptr<FdWatch> dropped = std::move(first_);
        first_ = std::move(dropped->next_called_);
    }
    last_ = nullptr;
}

}  // namespace weft::asio_backend
