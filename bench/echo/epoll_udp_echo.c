// UDP echo written directly on epoll: the limit every other UDP echo server is compared with.
//
//     epoll_udp_echo PORT          (0 = any; prints `port N`, runs until SIGTERM)
//
// One thread, one socket, level-triggered epoll. A datagram costs one recvfrom and one sendto; what the socket does not
// take is dropped, as the network might have. The socket is read until it is empty.

#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { read_buffer_size = 64 * 1024 };

static _Alignas(64) char read_buffer[read_buffer_size];

static void fail(const char* what) {
    perror(what);
    exit(1);
}

static int bind_to(int port) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket");
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    if (bind(fd, (struct sockaddr*)&address, sizeof address) != 0) fail("bind");
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr*)&address, &size) != 0) fail("getsockname");
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void echo_all(int fd) {
    for (;;) {
        struct sockaddr_storage from;
        socklen_t size = sizeof from;
        ssize_t received = recvfrom(fd, read_buffer, read_buffer_size, 0, (struct sockaddr*)&from, &size);
        if (received < 0) {
            if (errno == EAGAIN) return;
            if (errno == EINTR || errno == ECONNREFUSED) continue;
            fail("recvfrom");
        }
        ssize_t sent = sendto(fd, read_buffer, (size_t)received, 0, (struct sockaddr*)&from, size);
        if (sent < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNREFUSED) fail("sendto");
    }
}

int main(int argc, char** argv) {
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) fail("epoll_create1");
    int fd = bind_to(argc > 1 ? atoi(argv[1]) : 0);
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
    for (;;) {
        int count = epoll_wait(epoll_fd, &event, 1, -1);
        if (count < 0 && errno != EINTR) fail("epoll_wait");
        if (count > 0) echo_all(fd);
    }
}
