#pragma once
// What the tests of sockets share: descriptors that close themselves, children that are waited for.

#include "support/harness.hpp"
#include "support/temporary_directory.hpp"

#include <weft/io/descriptor.hpp>

#include <fcntl.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

extern char** environ;

namespace weft::testing {

using Descriptor = io::OwnedDescriptor;

/// A connected pair of Unix sockets that do not block.
inline std::pair<Descriptor, Descriptor> socket_pair(int type = SOCK_STREAM) {
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) == 0);
    return {Descriptor(ends[0]), Descriptor(ends[1])};
}

/// A Unix socket that listens, and whose queue is full at once.
inline Descriptor full_listener(const std::string& path) {
    Descriptor listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    path.copy(name.sun_path, sizeof name.sun_path - 1);
    REQUIRE(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0);
    REQUIRE(::listen(listener.get(), 1) == 0);
    return listener;
}

/// The descriptors of this process.
inline std::size_t open_descriptors() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
        ++count;
    return count;
}

/// A child that runs beside the test; it is ended and waited for by the destructor.
class Child {
public:
    explicit Child(std::vector<std::string> command) {
        std::vector<char*> arguments;
        for (std::string& word : command)
            arguments.push_back(word.data());
        arguments.push_back(nullptr);
        const int error = ::posix_spawnp(&pid_, arguments[0], nullptr, nullptr, arguments.data(), environ);
        REQUIRE(error == 0);
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
    /// Waits, without holding up the loop, for the child to end; its exit status.
    Coro<int> wait() {
        int status = 0;
        while (::waitpid(pid_, &status, WNOHANG) == 0)
            co_await sleep(2ms);
        pid_ = -1;
        co_return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }

private:
    pid_t pid_ = -1;
};

/// Echoes until the end of the stream.
inline Coro<> echo_stream(StreamReader reader, StreamWriter writer) {
    while (true) {
        const Bytes data = co_await reader.read(65536);
        if (data.empty()) break;
        writer.write(data.span());
        co_await writer.drain();
    }
}

inline Coro<std::string> ask_for_echo(StreamReader& reader, StreamWriter& writer, std::string text) {
    writer.write(text);
    const Bytes back = co_await reader.readexactly(text.size());
    co_return back.str();
}

}  // namespace weft::testing
