#pragma once
// ProcessTransport: a child and its pipes. Private to the services floor.

#include <weft/io/registry.hpp>
#include <weft/services/subprocess.hpp>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>

namespace weft::io {

///     running -> exited (returncode is known) -> lost (the pipes are gone too; connection_lost was called)
class ProcessTransport final : public SubprocessTransport,
                               public RegistryEntry,
                               public std::enable_shared_from_this<ProcessTransport> {
public:
    /// Starts the child and connects its pipes; `connected` is called after connection_made.
    static std::shared_ptr<ProcessTransport> start(EventLoop& loop, std::shared_ptr<SubprocessProtocol> protocol,
                                                   std::vector<std::string> arguments, SubprocessOptions options,
                                                   UniqueFunction<void()> connected);
    ProcessTransport(EventLoop& loop, std::shared_ptr<SubprocessProtocol> protocol, bool leads_group);
    ~ProcessTransport() override;

    int get_pid() const noexcept override { return pid_; }
    std::optional<int> get_returncode() const noexcept override { return returncode_; }
    std::shared_ptr<Transport> get_pipe_transport(int fd) const override;
    void send_signal(int signal_number) override;
    void terminate() override;
    void kill() override;
    void send_signal_to_group(int signal_number) override;
    void close() override;
    bool is_closing() const noexcept override { return closed_; }
    EventLoop& get_loop() const noexcept override { return loop_; }
    std::string repr() const override;
    std::string describe_entry() const override { return repr(); }
    void drop() noexcept override;

    Coro<int> wait() override;

private:
    class PipeProtocol;

    void connect_pipe(int fd, int end);
    void watch_exit();
    void watch_exit_by_thread();
    void exit_seen();
    void child_ended(int status);
    void pipe_data(int fd, std::span<const std::byte> data);
    void pipe_lost(int fd, std::exception_ptr error);
    void finish_if_ended();
    template <class F>
    void call_protocol(const char* name, F&& fn);

    EventLoop& loop_;
    std::shared_ptr<SubprocessProtocol> protocol_;
    detail::ContextSlot context_;  // the protocol is called in it
    std::array<std::shared_ptr<Transport>, 3> pipes_;
    std::array<bool, 3> pipe_open_{};
    std::vector<Future<>> waiters_;
    pid_t pid_ = -1;
    int pidfd_ = -1;
    std::optional<int> returncode_;
    const bool leads_group_;
    bool made_ = false;  // connection_made was called
    bool closed_ = false;
    bool lost_ = false;
};

}  // namespace weft::io
