// TCP or Unix-socket echo written directly on epoll: the limit every other echo server is compared with.
//
//     epoll_echo PORT|PATH     (0 = any; prints `port N` or `path PATH`, runs until SIGTERM)
//
// One thread, level-triggered epoll, one read buffer shared by all connections. A message costs one recv and one
// send. Only what the socket did not take is copied; until it is gone the connection waits for EPOLLOUT and reads
// nothing, which is the backpressure.

#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { read_buffer_size = 256 * 1024, events_per_wait = 512, backlog = 4096 };

struct connection {
    int fd;
    char* rest;  // what could not be sent yet, or NULL
    size_t rest_size;
    size_t rest_sent;
};

static _Alignas(64) char read_buffer[read_buffer_size];
static int epoll_fd;

static void fail(const char* what) {
    perror(what);
    exit(1);
}

static void wait_for(struct connection* connection, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data = {.ptr = connection}};
    if (epoll_ctl(epoll_fd, operation, connection->fd, &event) != 0) fail("epoll_ctl");
}

static void close_connection(struct connection* connection) {
    close(connection->fd);
    free(connection->rest);
    free(connection);
}

static void accept_connections(int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EAGAIN) return;
            if (errno == ECONNABORTED || errno == EINTR) continue;
            fail("accept4");
        }
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // a Unix socket refuses it
        struct connection* connection = calloc(1, sizeof *connection);
        if (connection == NULL) fail("calloc");
        connection->fd = fd;
        wait_for(connection, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void keep_rest(struct connection* connection, const char* data, size_t size) {
    connection->rest = malloc(size);
    if (connection->rest == NULL) fail("malloc");
    memcpy(connection->rest, data, size);
    connection->rest_size = size;
    connection->rest_sent = 0;
    wait_for(connection, EPOLL_CTL_MOD, EPOLLOUT);
}

static void echo(struct connection* connection) {
    ssize_t received = recv(connection->fd, read_buffer, read_buffer_size, 0);
    if (received <= 0) {
        if (received < 0 && (errno == EAGAIN || errno == EINTR)) return;
        close_connection(connection);
        return;
    }
    ssize_t sent = send(connection->fd, read_buffer, (size_t)received, MSG_NOSIGNAL);
    if (sent == received) return;
    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            close_connection(connection);
            return;
        }
        sent = 0;
    }
    keep_rest(connection, read_buffer + sent, (size_t)(received - sent));
}

static void send_rest(struct connection* connection) {
    size_t left = connection->rest_size - connection->rest_sent;
    ssize_t sent = send(connection->fd, connection->rest + connection->rest_sent, left, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR) close_connection(connection);
        return;
    }
    connection->rest_sent += (size_t)sent;
    if ((size_t)sent < left) return;
    free(connection->rest);
    connection->rest = NULL;
    wait_for(connection, EPOLL_CTL_MOD, EPOLLIN);
}

static int listen_on_path(const char* path) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        fail("bind");
    }
    strcpy(address.sun_path, path);
    unlink(path);
    if (bind(fd, (struct sockaddr*)&address, sizeof address) != 0) fail("bind");
    if (listen(fd, backlog) != 0) fail("listen");
    printf("path %s\n", path);
    fflush(stdout);
    return fd;
}

static int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket");
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    if (bind(fd, (struct sockaddr*)&address, sizeof address) != 0) fail("bind");
    if (listen(fd, backlog) != 0) fail("listen");
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr*)&address, &size) != 0) fail("getsockname");
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char** argv) {
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) fail("epoll_create1");
    int listener = argc > 1 && argv[1][0] == '/' ? listen_on_path(argv[1]) : listen_on(argc > 1 ? atoi(argv[1]) : 0);
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = NULL}};  // NULL stands for the listener
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) != 0) fail("epoll_ctl");

    static struct epoll_event events[events_per_wait];
    for (;;) {
        int count = epoll_wait(epoll_fd, events, events_per_wait, -1);
        if (count < 0 && errno != EINTR) fail("epoll_wait");
        for (int i = 0; i < count; ++i) {
            struct connection* connection = events[i].data.ptr;
            if (connection == NULL)
                accept_connections(listener);
            else if (connection->rest != NULL)
                send_rest(connection);
            else
                echo(connection);
        }
    }
}
