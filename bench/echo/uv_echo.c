// TCP echo on libuv, written for speed: one shared aligned read buffer, uv_try_write first, and a queued write (with
// reading stopped meanwhile) only for what the socket did not take.
//
//     uv_echo PORT             (0 = any; prints `port N`, runs until SIGTERM)

#define _GNU_SOURCE

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { read_buffer_size = 256 * 1024, backlog = 4096 };

struct queued_write {
    uv_write_t request;
    char data[];
};

static _Alignas(64) char read_buffer[read_buffer_size];

static void check(int status, const char* what) {
    if (status >= 0) return;
    fprintf(stderr, "%s: %s\n", what, uv_strerror(status));
    exit(1);
}

static void on_closed(uv_handle_t* handle) {
    free(handle);
}

static void close_connection(uv_stream_t* stream) {
    if (!uv_is_closing((uv_handle_t*)stream)) uv_close((uv_handle_t*)stream, on_closed);
}

static void on_allocate(uv_handle_t* handle, size_t suggested_size, uv_buf_t* buffer) {
    (void)handle;
    (void)suggested_size;
    *buffer = uv_buf_init(read_buffer, read_buffer_size);
}

static void on_read(uv_stream_t* stream, ssize_t received, const uv_buf_t* buffer);

static void on_written(uv_write_t* request, int status) {
    uv_stream_t* stream = request->handle;
    free(request->data);
    if (status == UV_ECANCELED) return;
    if (status < 0 || uv_read_start(stream, on_allocate, on_read) < 0) close_connection(stream);
}

static void queue_write(uv_stream_t* stream, const char* data, size_t size) {
    struct queued_write* write = malloc(sizeof *write + size);
    if (write == NULL) check(UV_ENOMEM, "malloc");
    memcpy(write->data, data, size);
    write->request.data = write;
    uv_buf_t rest = uv_buf_init(write->data, (unsigned)size);
    uv_read_stop(stream);
    if (uv_write(&write->request, stream, &rest, 1, on_written) < 0) {
        free(write);
        close_connection(stream);
    }
}

static void on_read(uv_stream_t* stream, ssize_t received, const uv_buf_t* buffer) {
    if (received == 0) return;
    if (received < 0) {
        close_connection(stream);
        return;
    }
    uv_buf_t data = uv_buf_init(buffer->base, (unsigned)received);
    int sent = uv_try_write(stream, &data, 1);
    if (sent == received) return;
    if (sent == UV_EAGAIN) sent = 0;
    if (sent < 0)
        close_connection(stream);
    else
        queue_write(stream, buffer->base + sent, (size_t)(received - sent));
}

static void on_connection(uv_stream_t* listener, int status) {
    check(status, "listen");
    uv_tcp_t* connection = malloc(sizeof *connection);
    if (connection == NULL) check(UV_ENOMEM, "malloc");
    check(uv_tcp_init(listener->loop, connection), "uv_tcp_init");
    if (uv_accept(listener, (uv_stream_t*)connection) < 0) {
        close_connection((uv_stream_t*)connection);
        return;
    }
    uv_tcp_nodelay(connection, 1);
    check(uv_read_start((uv_stream_t*)connection, on_allocate, on_read), "uv_read_start");
}

int main(int argc, char** argv) {
    signal(SIGPIPE, SIG_IGN);
    uv_loop_t* loop = uv_default_loop();
    uv_tcp_t listener;
    struct sockaddr_in address;
    check(uv_tcp_init(loop, &listener), "uv_tcp_init");
    check(uv_ip4_addr("127.0.0.1", argc > 1 ? atoi(argv[1]) : 0, &address), "uv_ip4_addr");
    check(uv_tcp_bind(&listener, (const struct sockaddr*)&address, 0), "uv_tcp_bind");
    check(uv_listen((uv_stream_t*)&listener, backlog, on_connection), "uv_listen");
    int size = sizeof address;
    check(uv_tcp_getsockname(&listener, (struct sockaddr*)&address, &size), "uv_tcp_getsockname");
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return uv_run(loop, UV_RUN_DEFAULT);
}
