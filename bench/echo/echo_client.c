// Load generator for the echo servers: one thread, epoll.
//
//     echo_client --port P | --unix PATH | --udp --port P [--host H] [--mode pingpong|stream|idle] [--connections N]
//     [--size S] [--messages M]
//                 [--warmup W] [--inflight BYTES] [--hold SECONDS] [--timeout SECONDS] [--tls] [--sync]
//
//   pingpong  every connection has one message of S bytes in flight; M messages in all
//   stream    one connection; writes M units of S bytes (default 64 KiB), at most --inflight bytes ahead of the echo
//   idle      echoes once on every connection, prints `held N`, then does nothing for --hold seconds
//
// Connections are opened in small batches and each echoes one message first, so that no server's backlog overflows.
// That and the warm-up are outside the measured run, and there every byte of the echo is compared; in the measured
// run bytes are counted. The last line is {"messages":M,"seconds":T}. Exit status 1 says what went wrong.
//
// --tls speaks TLS 1.3 and believes every certificate. With --udp a message is a datagram, and only pingpong is known:
// a datagram that is lost ends in the time-out.
//
// --sync lets a driver look at the server around the measured run: the client prints `warm` and waits for a line on
// stdin before it starts. After the result it waits again, with all connections open: at a line it warms up once more,
// by some messages on every connection, and all repeats from `warm`; the end of stdin ends the client.

#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
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
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    events_per_wait = 512,
    connections_per_batch = 64,
    connections_per_source = 5000,  // source addresses 127.0.0.1, .2, ...: each has about 28 000 ports
    read_buffer_size = 256 * 1024,
    stream_rewarm = 64,   // units
    pingpong_rewarm = 2,  // messages on each connection
};

enum mode { mode_pingpong, mode_stream, mode_idle };

static struct {
    const char* host;
    int port;
    enum mode mode;
    int connections;
    size_t size;
    long messages;
    long warmup;
    size_t inflight;
    double hold;
    unsigned timeout;
    bool tls;
    bool udp;
    const char* path;  // of a Unix socket, or null
    bool sync;
} options = {.host = "127.0.0.1", .connections = 1, .messages = 1000, .inflight = 1024 * 1024, .timeout = 120};

struct connection {
    int fd;
    SSL* ssl;         // null without --tls
    size_t sent;      // of the message in flight
    size_t received;  // of its echo
    bool wants_out;
};

static struct connection* connections;
static struct epoll_event events[events_per_wait];
static _Alignas(64) char read_buffer[read_buffer_size];
static char* payload;  // twice `size` bytes with period `size`, so that a comparison never wraps
static int epoll_fd;
static SSL_CTX* tls;

static void fail(const char* what) {
    fprintf(stderr, "echo_client: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void refuse(const char* what) {
    fprintf(stderr, "echo_client: %s\n", what);
    exit(1);
}

static void fail_tls(const char* what) {
    fprintf(stderr, "echo_client: %s: %s\n", what, ERR_error_string(ERR_get_error(), NULL));
    exit(1);
}

static void on_alarm(int signal_number) {
    (void)signal_number;
    static const char text[] = "echo_client: timed out\n";
    ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);
    (void)ignored;
    _exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void watch(int index, int operation, uint32_t interest) {
    struct epoll_event event = {.events = interest, .data = {.u32 = (uint32_t)index}};
    if (epoll_ctl(epoll_fd, operation, connections[index].fd, &event) != 0) fail("epoll_ctl");
}

static int wait_for_events(void) {
    int count = epoll_wait(epoll_fd, events, events_per_wait, -1);
    if (count < 0 && errno != EINTR) fail("epoll_wait");
    return count;
}

static SSL* start_tls(int fd) {
    SSL* ssl = SSL_new(tls);
    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1) fail_tls("handshake");
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0) fail("fcntl");
    return ssl;
}

static int connect_unix(void) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(options.path) >= sizeof address.sun_path) refuse("--unix: the path is too long");
    strcpy(address.sun_path, options.path);
    if (connect(fd, (struct sockaddr*)&address, sizeof address) != 0) fail("connect");
    return fd;
}

static int connect_internet(int index) {
    int fd = socket(AF_INET, (options.udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket");
    int on = 1;
    struct sockaddr_in source = {.sin_family = AF_INET,
                                 .sin_addr = {htonl(INADDR_LOOPBACK + (uint32_t)(index / connections_per_source))}};
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (options.connections > connections_per_source && bind(fd, (struct sockaddr*)&source, sizeof source) != 0)
        fail("bind");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    if (inet_pton(AF_INET, options.host, &address.sin_addr) != 1) refuse("--host takes an IPv4 address");
    if (connect(fd, (struct sockaddr*)&address, sizeof address) != 0) fail("connect");
    if (!options.udp) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void open_connection(int index) {
    int fd = options.path != NULL ? connect_unix() : connect_internet(index);
    connections[index] = (struct connection){.fd = fd, .ssl = options.tls ? start_tls(fd) : NULL};
    watch(index, EPOLL_CTL_ADD, EPOLLIN);
}

static size_t send_encrypted(SSL* ssl, const char* data, size_t size) {
    size_t sent = 0;
    int status = SSL_write_ex(ssl, data, size, &sent);
    if (status == 1) return sent;
    if (SSL_get_error(ssl, status) != SSL_ERROR_WANT_WRITE) fail_tls("SSL_write");
    return 0;
}

// Until the socket is empty: epoll says nothing of what lies decrypted here.
static ssize_t receive_encrypted(SSL* ssl) {
    size_t total = 0;
    while (total < read_buffer_size) {
        size_t received = 0;
        int status = SSL_read_ex(ssl, read_buffer + total, read_buffer_size - total, &received);
        total += received;
        if (status == 1) {
            if (SSL_has_pending(ssl)) continue;
            break;
        }
        int error = SSL_get_error(ssl, status);
        if (error == SSL_ERROR_WANT_READ) break;
        if (error == SSL_ERROR_ZERO_RETURN) return 0;
        fail_tls("SSL_read");
    }
    errno = EAGAIN;
    return total > 0 ? (ssize_t)total : -1;
}

// Sends up to `limit` bytes of the endless repetition of the payload from position `offset`; 0 if the socket is full.
static size_t send_some(const struct connection* connection, size_t offset, size_t limit) {
    size_t start = offset % options.size;
    if (limit > options.size - start) limit = options.size - start;
    if (connection->ssl != NULL) return limit > 0 ? send_encrypted(connection->ssl, payload + start, limit) : 0;
    ssize_t sent = send(connection->fd, payload + start, limit, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) return (size_t)sent;
    if (errno != EAGAIN && errno != EINTR) fail("send");
    return 0;
}

// Receives what has come, at least what belongs at position `offset` of the echo; 0 if nothing is there.
static size_t receive_some(const struct connection* connection, size_t offset, bool verify) {
    ssize_t received = connection->ssl != NULL ? receive_encrypted(connection->ssl)
                                               : recv(connection->fd, read_buffer, read_buffer_size, MSG_DONTWAIT);
    if (received == 0) refuse("the server closed a connection");
    if (received < 0) {
        if (errno != EAGAIN && errno != EINTR) fail("recv");
        return 0;
    }
    size_t compared = 0;
    while (verify && compared < (size_t)received) {
        size_t left = (size_t)received - compared;
        size_t part = left < options.size ? left : options.size;
        if (memcmp(read_buffer + compared, payload + (offset + compared) % options.size, part) != 0)
            refuse("the echo differs from what was sent");
        compared += part;
    }
    return (size_t)received;
}

static void continue_message(int index) {
    struct connection* connection = &connections[index];
    connection->sent += send_some(connection, connection->sent, options.size - connection->sent);
    bool wants_out = connection->sent < options.size;
    if (wants_out != connection->wants_out) watch(index, EPOLL_CTL_MOD, EPOLLIN | (wants_out ? EPOLLOUT : 0));
    connection->wants_out = wants_out;
}

static void start_message(int index) {
    connections[index].sent = 0;
    connections[index].received = 0;
    continue_message(index);
}

// Exchanges `total` messages over the connections [first, last), one in flight on each.
static void pingpong(int first, int last, long total, bool verify) {
    long started = 0;
    for (int i = first; i < last && started < total; ++i, ++started)
        start_message(i);
    for (long finished = 0; finished < total;) {
        int count = wait_for_events();
        for (int i = 0; i < count; ++i) {
            int index = (int)events[i].data.u32;
            struct connection* connection = &connections[index];
            if (connection->wants_out) continue_message(index);
            connection->received += receive_some(connection, connection->received, verify);
            if (connection->received > connection->sent) refuse("more came back than was sent");
            if (connection->received < options.size) continue;
            ++finished;
            if (started < total) {
                ++started;
                start_message(index);
            }
        }
    }
}

// Streams `total` units through the first connection.
static void stream(long total, bool verify) {
    const struct connection* connection = &connections[0];
    size_t bytes = (size_t)total * options.size;
    size_t sent = 0;
    size_t received = 0;
    watch(0, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT | EPOLLET);
    while (received < bytes) {
        size_t ahead = sent - received;
        size_t allowed = ahead < options.inflight ? options.inflight - ahead : 0;
        if (allowed > bytes - sent) allowed = bytes - sent;
        size_t wrote = allowed > 0 ? send_some(connection, sent, allowed) : 0;
        sent += wrote;
        size_t read = receive_some(connection, received, verify);
        received += read;
        if (received > sent) refuse("more came back than was sent");
        if (wrote == 0 && read == 0) wait_for_events();
    }
    watch(0, EPOLL_CTL_MOD, EPOLLIN);
}

static void open_all(void) {
    for (int first = 0; first < options.connections; first += connections_per_batch) {
        int last = first + connections_per_batch;
        if (last > options.connections) last = options.connections;
        for (int i = first; i < last; ++i)
            open_connection(i);
        pingpong(first, last, last - first, true);
    }
}

// False at the end of stdin.
static bool wait_for_driver(void) {
    char byte = 0;
    while (read(STDIN_FILENO, &byte, 1) == 1)
        if (byte == '\n') return true;
    return false;
}

static void hold(void) {
    printf("held %d\n", options.connections);
    fflush(stdout);
    struct timespec duration = {.tv_sec = (time_t)options.hold};
    duration.tv_nsec = (long)((options.hold - (double)duration.tv_sec) * 1e9);
    nanosleep(&duration, NULL);
    options.messages = options.connections;
}

static void measured_run(void) {
    double begin = now();
    if (options.mode == mode_stream)
        stream(options.messages, false);
    else if (options.mode == mode_pingpong)
        pingpong(0, options.connections, options.messages, false);
    else
        hold();
    printf("{\"messages\":%ld,\"seconds\":%.6f}\n", options.messages, now() - begin);
    fflush(stdout);
}

static void warm_up(long messages) {
    if (options.mode == mode_stream)
        stream(messages, true);
    else if (options.mode == mode_pingpong)
        pingpong(0, options.connections, messages, true);
}

static void run(void) {
    open_all();
    warm_up(options.warmup);
    for (;;) {
        if (options.sync && options.mode != mode_idle) {
            printf("warm\n");
            fflush(stdout);
            if (!wait_for_driver()) return;
        }
        measured_run();
        if (!options.sync || !wait_for_driver()) return;
        warm_up(options.mode == mode_stream ? stream_rewarm : (long)options.connections * pingpong_rewarm);
    }
}

static void prepare(void) {
    struct sigaction action = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &action, NULL);
    alarm(options.timeout);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) fail("epoll_create1");
    connections = calloc((size_t)options.connections, sizeof *connections);
    payload = malloc(2 * options.size);
    if (connections == NULL || payload == NULL) fail("malloc");
    if (options.tls) {
        tls = SSL_CTX_new(TLS_client_method());
        if (tls == NULL || SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION) != 1) fail_tls("SSL_CTX_new");
        SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
        SSL_CTX_set_read_ahead(tls, 1);
    }
    uint32_t state = 1;
    for (size_t i = 0; i < options.size; ++i) {
        state = state * 1664525u + 1013904223u;
        payload[i] = (char)(state >> 24);
    }
    memcpy(payload + options.size, payload, options.size);
}

static enum mode mode_named(const char* name) {
    if (strcmp(name, "pingpong") == 0) return mode_pingpong;
    if (strcmp(name, "stream") == 0) return mode_stream;
    if (strcmp(name, "idle") == 0) return mode_idle;
    refuse("--mode is pingpong, stream or idle");
    return mode_idle;
}

static void parse(int argc, char** argv) {
    static const struct option known[] = {
        {"host", required_argument, NULL, 'h'},
        {"port", required_argument, NULL, 'p'},
        {"mode", required_argument, NULL, 'd'},
        {"connections", required_argument, NULL, 'n'},
        {"size", required_argument, NULL, 's'},
        {"messages", required_argument, NULL, 'm'},
        {"warmup", required_argument, NULL, 'w'},
        {"inflight", required_argument, NULL, 'i'},
        {"hold", required_argument, NULL, 'o'},
        {"timeout", required_argument, NULL, 't'},
        {"tls", no_argument, NULL, 'e'},
        {"unix", required_argument, NULL, 'u'},
        {"udp", no_argument, NULL, 'g'},
        {"sync", no_argument, NULL, 'y'},
        {NULL, 0, NULL, 0},
    };
    for (int letter; (letter = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (letter) {
        case 'h': options.host = optarg; break;
        case 'p': options.port = atoi(optarg); break;
        case 'd': options.mode = mode_named(optarg); break;
        case 'n': options.connections = atoi(optarg); break;
        case 's': options.size = strtoul(optarg, NULL, 10); break;
        case 'm': options.messages = atol(optarg); break;
        case 'w': options.warmup = atol(optarg); break;
        case 'i': options.inflight = strtoul(optarg, NULL, 10); break;
        case 'o': options.hold = atof(optarg); break;
        case 't': options.timeout = (unsigned)atoi(optarg); break;
        case 'e': options.tls = true; break;
        case 'u': options.path = optarg; break;
        case 'g': options.udp = true; break;
        case 'y': options.sync = true; break;
        default: refuse("unknown option");
        }
    }
    if (options.size == 0) options.size = options.mode == mode_stream ? 64 * 1024 : 1024;
    if (options.path == NULL && (options.port <= 0 || options.port > 65535)) refuse("--port or --unix is needed");
    if (options.udp && (options.mode != mode_pingpong || options.path != NULL || options.tls))
        refuse("--udp goes with --mode pingpong only");
    if (options.connections < 1 || options.messages < 0 || options.warmup < 0) refuse("a count is out of range");
    if (options.mode == mode_stream) options.connections = 1;
}

// So that a TLS server does not take the end for a connection that was cut.
static void say_goodbye(void) {
    for (int i = 0; i < options.connections; ++i)
        if (connections[i].ssl != NULL) SSL_shutdown(connections[i].ssl);
}

int main(int argc, char** argv) {
    parse(argc, argv);
    prepare();
    run();
    say_goodbye();
    return 0;
}
