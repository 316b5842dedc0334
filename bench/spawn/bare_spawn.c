// The least that starting a program and waiting for it costs: posix_spawn and waitpid in a loop.
//     bare_spawn COUNT    prints the seconds that COUNT programs took
#define _GNU_SOURCE
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char** environ;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char** argv) {
    const int count = argc > 1 ? atoi(argv[1]) : 1000;
    char* const arguments[] = {"/bin/true", NULL};
    const double begin = now();
    for (int i = 0; i < count; ++i) {
        pid_t pid;
        int status;
        if (posix_spawn(&pid, arguments[0], NULL, NULL, arguments, environ) != 0) return 1;
        if (waitpid(pid, &status, 0) != pid || status != 0) return 1;
    }
    printf("seconds %.6f\n", now() - begin);
    return 0;
}
