#include <weft/backends/asio/wake_up.hpp>

#ifdef WEFT_ASIO_EPOLL
#include <sys/eventfd.h>
#include <unistd.h>
#else
#include <boost/asio/post.hpp>
#endif

#include <atomic>
#include <cstdint>

namespace weft::asio_backend {

namespace asio = boost::asio;

#ifdef WEFT_ASIO_EPOLL

WakeUp::WakeUp(SocketContext& context)
    : set_(context.events), event_(io::check_call(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {
    if (const int error = set_.add(event_.get(), EPOLLIN | EPOLLET, *this))
        throw_os_error(std::error_code(error, std::system_category()), "cannot watch an eventfd");
}

void WakeUp::post() noexcept {
    // Nobody reads it: each write is an event, and there are not 2^64 of them.
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(event_.get(), &one, sizeof one);
}

#elif defined(WEFT_ASIO_INTERNALS)

class WakeUp::Operation final : private asio::detail::scheduler_operation {
public:
    explicit Operation(IoContext& context)
        : scheduler_operation(&Operation::complete), scheduler_(asio::use_service<asio::detail::scheduler>(context)) {}
    void post() noexcept {
        if ((state_.fetch_or(queued, std::memory_order_acq_rel) & queued) == 0)
            scheduler_.post_immediate_completion(this, false);
    }
    void retire() noexcept {
        if ((state_.fetch_or(retired, std::memory_order_acq_rel) & queued) == 0) delete this;
    }

private:
    ~Operation() = default;
    static void complete(void*, scheduler_operation* base, const boost::system::error_code&, std::size_t) {
        auto* self = static_cast<Operation*>(base);
        if ((self->state_.fetch_and(~queued, std::memory_order_acq_rel) & retired) != 0) delete self;
    }

    static constexpr unsigned queued = 1;
    static constexpr unsigned retired = 2;
    asio::detail::scheduler& scheduler_;
    std::atomic<unsigned> state_{0};
};

WakeUp::WakeUp(SocketContext& context) : operation_(new Operation(context.io)) {}

void WakeUp::post() noexcept {
    operation_->post();
}

void WakeUp::Retire::operator()(Operation* operation) const noexcept {
    operation->retire();
}

#else

void WakeUp::post() noexcept {
    asio::post(context_, [] {});
}

#endif

}  // namespace weft::asio_backend
