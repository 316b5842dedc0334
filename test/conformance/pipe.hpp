#pragma once
// A pipe for the twins that watch descriptors.

#include <unistd.h>

#include <cstdlib>

namespace weft::conformance {

class Pipe {
public:
    Pipe() { check(::pipe(ends_) == 0); }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    ~Pipe() {
        ::close(ends_[0]);
        ::close(ends_[1]);
    }
    int read_end() const { return ends_[0]; }
    void put() const { check(::write(ends_[1], "x", 1) == 1); }
    void get() const {
        char byte;
        check(::read(ends_[0], &byte, 1) == 1);
    }

private:
    static void check(bool good) {
        if (!good) std::abort();
    }
    int ends_[2];
};

}  // namespace weft::conformance
