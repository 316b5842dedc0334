// TLS echo written directly on epoll and OpenSSL: the limit every other TLS echo server is compared with.
//
//     epoll_tls_echo PORT CERTIFICATE KEY          (0 = any; prints `port N`, runs until SIGTERM)
//
// One thread, level-triggered epoll, one read buffer shared by all connections. OpenSSL reads ahead, so a message costs
// one recv and one send; as in the other servers it gives the buffers of an idle connection back. What the socket did
// not take stays in the connection; until it is gone the connection waits for EPOLLOUT and reads nothing, which is the
// backpressure.

#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { read_buffer_size = 256 * 1024, events_per_wait = 512, backlog = 4096 };

struct connection {
    int fd;
    SSL* ssl;
    bool connected;  // the handshake is done
    char* rest;      // what could not be sent yet, or NULL
    size_t rest_size;
    size_t rest_sent;
};

static _Alignas(64) char read_buffer[read_buffer_size];
static int epoll_fd;
static SSL_CTX* tls;

static void fail(const char* what) {
    perror(what);
    exit(1);
}

static void fail_tls(const char* what) {
    fprintf(stderr, "epoll_tls_echo: %s: %s\n", what, ERR_error_string(ERR_get_error(), NULL));
    exit(1);
}

static void wait_for(struct connection* connection, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data = {.ptr = connection}};
    if (epoll_ctl(epoll_fd, operation, connection->fd, &event) != 0) fail("epoll_ctl");
}

static void close_connection(struct connection* connection) {
    SSL_free(connection->ssl);
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
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct connection* connection = calloc(1, sizeof *connection);
        if (connection == NULL) fail("calloc");
        connection->fd = fd;
        connection->ssl = SSL_new(tls);
        if (connection->ssl == NULL || SSL_set_fd(connection->ssl, fd) != 1) fail_tls("SSL_new");
        SSL_set_accept_state(connection->ssl);
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

// Sends as much as the socket takes; false if the connection is gone.
static bool send_some(struct connection* connection, const char* data, size_t size, size_t* sent) {
    while (*sent < size) {
        size_t count = 0;
        int status = SSL_write_ex(connection->ssl, data + *sent, size - *sent, &count);
        *sent += count;
        if (status == 1) continue;
        if (SSL_get_error(connection->ssl, status) == SSL_ERROR_WANT_WRITE) return true;
        close_connection(connection);
        return false;
    }
    return true;
}

static void echo(struct connection* connection) {
    size_t received = 0;
    int error = SSL_ERROR_NONE;
    do {
        size_t count = 0;
        int status = SSL_read_ex(connection->ssl, read_buffer + received, read_buffer_size - received, &count);
        received += count;
        if (status != 1) error = SSL_get_error(connection->ssl, status);
    } while (error == SSL_ERROR_NONE && received < read_buffer_size && SSL_has_pending(connection->ssl));
    if (error != SSL_ERROR_NONE && error != SSL_ERROR_WANT_READ) {
        close_connection(connection);
        return;
    }
    size_t sent = 0;
    if (!send_some(connection, read_buffer, received, &sent)) return;
    if (sent < received) keep_rest(connection, read_buffer + sent, received - sent);
}

static void shake_hands(struct connection* connection) {
    int status = SSL_do_handshake(connection->ssl);
    if (status == 1) {
        connection->connected = true;
        // A first message may have come with the end of the handshake: epoll no longer knows of it.
        if (SSL_has_pending(connection->ssl)) echo(connection);
        return;
    }
    if (SSL_get_error(connection->ssl, status) != SSL_ERROR_WANT_READ) close_connection(connection);
}

static void send_rest(struct connection* connection) {
    if (!send_some(connection, connection->rest, connection->rest_size, &connection->rest_sent)) return;
    if (connection->rest_sent < connection->rest_size) return;
    free(connection->rest);
    connection->rest = NULL;
    wait_for(connection, EPOLL_CTL_MOD, EPOLLIN);
}

static void make_context(const char* certificate, const char* key) {
    tls = SSL_CTX_new(TLS_server_method());
    if (tls == NULL || SSL_CTX_use_certificate_chain_file(tls, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1)
        fail_tls("certificate");
    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_read_ahead(tls, 1);
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
    if (argc != 4) {
        fprintf(stderr, "usage: epoll_tls_echo PORT CERTIFICATE KEY\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    make_context(argv[2], argv[3]);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) fail("epoll_create1");
    int listener = listen_on(atoi(argv[1]));
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
            else if (connection->connected)
                echo(connection);
            else
                shake_hands(connection);
        }
    }
}
