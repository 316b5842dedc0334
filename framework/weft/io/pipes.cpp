#include <weft/io/pipes.hpp>

#include <weft/io/descriptor.hpp>

#include <sys/stat.h>

namespace weft::io {

Coro<SocketRef> adopt_pipe(int fd, PipeEnd end) {
    struct stat status{};
    if (::fstat(fd, &status) != 0) throw_os_error(last_error(), "file descriptor " + std::to_string(fd));
    if (!S_ISFIFO(status.st_mode) && !S_ISSOCK(status.st_mode) && !S_ISCHR(status.st_mode))
        throw ValueError("Pipe transport is for pipes, sockets and character devices only, not for file descriptor " +
                         std::to_string(fd));
    co_return get_running_loop().backend().network().adopt_pipe(fd, end);
}

}  // namespace weft::io
