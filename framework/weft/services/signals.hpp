#pragma once
// SignalService: what is behind loop.add_signal_handler(). An application uses the loop's functions; to get its signals
// in another way it puts a service of its own before the first one:
//
//     class FromSupervisor : public SignalService { ... };
//     loop.add_service<FromSupervisor>();
//
// The default one asks the loop's backend. Any number of loops may handle one signal: each that has a handler runs it,
// on its own thread, whichever thread of the process gets the signal. Signals of one number that arrive before the
// loop's next turn may be one call; after each arrival there is a call. While there is a handler, the signal does not
// interrupt system calls (SA_RESTART); when the last one goes, it has its default action.

#include <weft/base/unique_function.hpp>
#include <weft/loop/event_loop.hpp>
#include <weft/loop/service.hpp>

#include <string_view>

namespace weft {

class SignalService : public Service {
public:
    using service_type = SignalService;
    static constexpr bool has_default = true;
    /// The loop's; the default one is made if it has none.
    static SignalService& of(EventLoop& loop);
    std::string_view name() const noexcept override { return "signals"; }
    /// Has the loop run `fn` as an ordinary callback, in the current context, after each arrival of the signal, whose
    /// number is one that can be handled. Replaces the one before it.
    virtual void add(int signal_number, UniqueFunction<void()> fn) = 0;
    /// False if there was none. It is not called any more, also if the signal has arrived already.
    virtual bool remove(int signal_number) = 0;
};

}  // namespace weft
