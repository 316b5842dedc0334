#pragma once
// Certificates for tests, made anew by each run.

#include "support/temporary_directory.hpp"

#include <string>

namespace weft::testing {

/// PEM files in a directory that goes with this: NAME.pem and NAME.key for
///
///     ca        what signs the others
///     server    for localhost, 127.0.0.1 and *.weft.test
///     other     for other.test
///     expired   for localhost, until yesterday
///     client    a client's
///     lonely    for localhost, signed by itself
class Certificates {
public:
    Certificates();
    std::string chain(const std::string& name) const { return directory_ / (name + ".pem"); }
    std::string key(const std::string& name) const { return directory_ / (name + ".key"); }
    std::string operator/(const std::string& name) const { return directory_ / name; }
    /// Those of this run.
    static const Certificates& instance();

private:
    TemporaryDirectory directory_;
};

}  // namespace weft::testing
