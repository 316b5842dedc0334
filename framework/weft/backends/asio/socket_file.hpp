#pragma once
// SocketFile: the file that a bound Unix socket leaves in the file system.

#include <weft/io/address.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <optional>
#include <string>

namespace weft::asio_backend {

class SocketFile {
public:
    SocketFile() = default;
    SocketFile(const SocketFile&) = delete;
    SocketFile& operator=(const SocketFile&) = delete;
    ~SocketFile() { remove(); }

    /// Removes the socket that somebody left at the address; anything but a socket stays.
    static void remove_stale(const Address& address) noexcept {
        if (has_file(address) && identify(address.path())) ::unlink(address.path().c_str());
    }
    /// To be removed with this.
    void remember(const Address& address) {
        if (!has_file(address)) return;
        path_ = address.path();
        identity_ = identify(path_);
    }
    /// Now, if it is still the same file: another process may have put its own socket there.
    void remove() noexcept {
        if (identity_ && identify(path_) == identity_) ::unlink(path_.c_str());
        identity_.reset();
    }

private:
    using Identity = std::pair<dev_t, ino_t>;

    static bool has_file(const Address& address) noexcept {
        return !address.path().empty() && address.path().front() != '\0';
    }
    /// Nothing if the path names no socket.
    static std::optional<Identity> identify(const std::string& path) noexcept {
        struct stat status{};
        if (::lstat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return std::nullopt;
        return Identity(status.st_dev, status.st_ino);
    }

    std::string path_;
    std::optional<Identity> identity_;
};

}  // namespace weft::asio_backend
