#pragma once
// spawn_process: a child process, started as vfork(2) does it. Private to the services floor.

#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

namespace weft::detail {

/// What to start, with everything the child needs made beforehand: the child allocates nothing.
class SpawnRequest {
public:
    std::vector<std::string> arguments;    // the first is the program
    std::vector<std::string> environment;  // NAME=value
    std::vector<std::string> candidates;   // paths to try
    std::string cwd;                       // empty: as the parent's
    int standard[3] = {-1, -1, -1};        // descriptors that become 0, 1 and 2; -1: as the parent's
    std::vector<int> pass_fds;             // others that stay open, sorted
    bool new_session = false;
    pid_t process_group = -1;  // -1: the parent's
};

/// The child's pid. Throws the typed OSError that names the program or the directory.
pid_t spawn_process(const SpawnRequest& request);

}  // namespace weft::detail
