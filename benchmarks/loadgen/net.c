/* Connections, the opening handshake, frames (RFC 6455), and the event loop. */
#define _GNU_SOURCE
#include "loadgen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_SIZE = 1 << 20, EVENTS = 512, HEADER_ROOM = 14, PORTS_EACH = 20000 };

static const double TICK = 0.01;
static int poll_fd = -1;
static const struct callbacks *calls;
static char *reading; /* one read buffer for all; what is left over is kept by the connection */
static uint64_t mask_state = 0x9e3779b97f4a7c15u;
static char *begun; /* the payload that net_begin handed out */
int net_in_flight, net_binary;
size_t (*net_split)(const char *, size_t);

static uint32_t new_mask(void) {
    mask_state ^= mask_state << 13;
    mask_state ^= mask_state >> 7;
    mask_state ^= mask_state << 17;
    return (uint32_t)(mask_state >> 16);
}

static void reserve(struct buffer *b, size_t more) {
    if (b->from == b->to) b->from = b->to = 0;
    if (b->to + more <= b->room) return;
    if (b->from) {
        memmove(b->bytes, b->bytes + b->from, b->to - b->from);
        b->to -= b->from;
        b->from = 0;
    }
    if (b->to + more > b->room) {
        b->room = (b->to + more) * 2;
        b->bytes = realloc(b->bytes, b->room);
        if (!b->bytes) die("out of memory");
    }
}

static void watch(struct conn *c, int operation) {
    struct epoll_event event = {.data.ptr = c};
    event.events = EPOLLIN | (c->wants_out || c->phase == CONNECTING ? EPOLLOUT : 0u);
    if (epoll_ctl(poll_fd, operation, c->fd, &event)) die("epoll_ctl: %s", strerror(errno));
}

void net_start(const struct callbacks *what) {
    calls = what;
    mask_state ^= ns_now();
    poll_fd = epoll_create1(0);
    reading = malloc(READ_SIZE);
    if (poll_fd < 0 || !reading) die("cannot start: %s", strerror(errno));
}

void net_dial(struct conn *c, int index, const char *path, const char *subprotocol) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    int one = 1;
    inet_pton(AF_INET, options.host, &to.sin_addr);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die("socket: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (index >= PORTS_EACH) { /* an address has some 28,000 ports: 127.0.0.2 and so on for further connections */
        struct sockaddr_in mine = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001u + (uint32_t)(index / PORTS_EACH))};
        setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        if (bind(c->fd, (struct sockaddr *)&mine, sizeof mine)) die("bind: %s", strerror(errno));
    }
    c->index = index;
    c->path = path;
    c->phase = CONNECTING;
    c->wants_out = 0;
    c->in.from = c->in.to = c->out.from = c->out.to = c->stream.from = c->stream.to = 0;
    net_in_flight++;
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS)
        die("connect to %s:%d: %s", options.host, options.port, strerror(errno));
    reserve(&c->out, 512);
    c->out.to += (size_t)snprintf(c->out.bytes + c->out.to, 512,
                                  "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                  "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n%s%s%s\r\n",
                                  path, options.host, options.port, subprotocol ? "Sec-WebSocket-Protocol: " : "",
                                  subprotocol ? subprotocol : "", subprotocol ? "\r\n" : "");
    watch(c, EPOLL_CTL_ADD);
}

void net_drop(struct conn *c) {
    if (c->phase == CLOSED) return;
    close(c->fd);
    c->phase = CLOSED;
}

char *net_begin(struct conn *c, size_t most) {
    reserve(&c->out, most + HEADER_ROOM);
    begun = c->out.bytes + c->out.to + HEADER_ROOM;
    return begun;
}

void net_end(struct conn *c, size_t size) {
    unsigned char *at = (unsigned char *)c->out.bytes + c->out.to;
    uint32_t mask = new_mask();
    *at++ = net_binary ? 0x82 : 0x81;
    if (size < 126) {
        *at++ = (unsigned char)(0x80 | size);
    } else if (size < 65536) {
        *at++ = 0x80 | 126;
        *at++ = (unsigned char)(size >> 8);
        *at++ = (unsigned char)size;
    } else {
        *at++ = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8) *at++ = (unsigned char)((uint64_t)size >> shift);
    }
    memcpy(at, &mask, 4);
    unsigned char *key = at;
    at += 4;
    for (size_t i = 0; i < size; i++) at[i] = (unsigned char)begun[i] ^ key[i & 3]; /* at is before begun: fine */
    c->out.to = (size_t)((char *)at - c->out.bytes) + size;
}

void net_text(struct conn *c, const char *text, size_t size) {
    memcpy(net_begin(c, size), text, size);
    net_end(c, size);
}

void net_flush(struct conn *c) {
    if (c->phase == CLOSED || c->phase == CONNECTING) return;
    while (c->out.from < c->out.to) {
        ssize_t n = send(c->fd, c->out.bytes + c->out.from, c->out.to - c->out.from, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EINTR) continue;
            if (errno != EAGAIN) die("connection %d: write: %s", c->index, strerror(errno));
            break;
        }
        c->out.from += (size_t)n;
    }
    int wants = c->out.from < c->out.to;
    if (wants != c->wants_out) {
        c->wants_out = wants;
        watch(c, EPOLL_CTL_MOD);
    }
}

/* The head of the answer to the upgrade; how many bytes it took. */
static size_t upgraded(struct conn *c, char *from, size_t size) {
    char *end = memmem(from, size, "\r\n\r\n", 4);
    if (!end) return 0;
    if (size < 12 || memcmp(from, "HTTP/1.1 101", 12)) die("refused: %.*s", (int)(end - from), from);
    c->phase = OPEN;
    net_in_flight--;
    calls->open(c);
    return (size_t)(end - from) + 4;
}

/* The payload of a data frame: a message, or a piece of a stream of messages. */
static void message(struct conn *c, const char *from, size_t size) {
    size_t done = 0, took;
    if (!net_split) {
        calls->text(c, from, size);
        return;
    }
    if (c->stream.from < c->stream.to) {
        reserve(&c->stream, size);
        memcpy(c->stream.bytes + c->stream.to, from, size);
        size += c->stream.to - c->stream.from;
        from = c->stream.bytes + c->stream.from;
    }
    c->stream.from = c->stream.to = 0;
    for (; c->phase == OPEN && done < size && (took = net_split(from + done, size - done)); done += took)
        calls->text(c, from + done, took);
    if (done == size || c->phase != OPEN) return;
    if (c->stream.room < size - done) reserve(&c->stream, size - done);
    memmove(c->stream.bytes, from + done, size - done);
    c->stream.to = size - done;
}

/* One frame, if it is there as a whole; how many bytes it took. */
static size_t one_frame(struct conn *c, char *from, size_t size) {
    const unsigned char *at = (const unsigned char *)from;
    uint64_t length;
    size_t head = 2;
    if (size < 2) return 0;
    length = at[1] & 127;
    if (at[1] & 128) die("a masked frame from the server");
    if (length == 126) {
        if (size < 4) return 0;
        length = (uint64_t)at[2] << 8 | at[3];
        head = 4;
    } else if (length == 127) {
        if (size < 10) return 0;
        length = 0;
        for (int i = 2; i < 10; i++) length = length << 8 | at[i];
        head = 10;
    }
    if (size < head + length) return 0;
    switch (at[0]) {
    case 0x81: message(c, from + head, (size_t)length); break;
    case 0x82:
        if (!net_binary) die("connection %d: a binary frame", c->index);
        message(c, from + head, (size_t)length);
        break;
    case 0x00: case 0x01: case 0x02: case 0x80:
        if (!net_split) die("connection %d: a message in pieces", c->index);
        message(c, from + head, (size_t)length);
        break;
    case 0x88:
        die("connection %d: closed by the server: %d %.*s", c->index, length >= 2 ? at[head] << 8 | at[head + 1] : 1005,
            length > 2 ? (int)length - 2 : 0, from + head + 2);
    case 0x89:
    case 0x8a: break; /* servers here ping by text, or not at all while they are busy */
    default: die("connection %d: unexpected frame %02x", c->index, at[0]);
    }
    return head + (size_t)length;
}

static void readable(struct conn *c) {
    for (;;) {
        size_t kept = c->in.to - c->in.from;
        if (kept) memcpy(reading, c->in.bytes + c->in.from, kept);
        c->in.from = c->in.to = 0;
        ssize_t n = recv(c->fd, reading + kept, READ_SIZE - kept, 0);
        if (n < 0 && errno == EINTR) n = 0;
        else if (n == 0) die("connection %d: ended by the server", c->index);
        else if (n < 0 && errno != EAGAIN) die("connection %d: read: %s", c->index, strerror(errno));
        size_t size = kept + (n > 0 ? (size_t)n : 0), done = 0;
        while (c->phase != CLOSED && done < size) {
            size_t took = c->phase == OPEN ? one_frame(c, reading + done, size - done) : upgraded(c, reading + done, size - done);
            if (!took) break;
            done += took;
        }
        if (c->phase == CLOSED) return;
        if (done < size) {
            reserve(&c->in, size - done);
            memcpy(c->in.bytes, reading + done, size - done);
            c->in.to = size - done;
        }
        if (c->out.from < c->out.to) net_flush(c);
        if (n < READ_SIZE - (ssize_t)kept) return;
    }
}

static void ready(struct conn *c, uint32_t what) {
    if (c->phase == CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) die("connect to %s:%d: %s", options.host, options.port, strerror(error));
        if (!(what & EPOLLOUT)) return;
        c->phase = UPGRADING;
        c->wants_out = 1;
        net_flush(c);
        return;
    }
    if (what & EPOLLOUT) net_flush(c);
    if (what & (EPOLLIN | EPOLLHUP | EPOLLERR) && c->phase != CLOSED) readable(c);
}

static int turn(int (*done)(void), double until) {
    static double next_tick;
    struct epoll_event events[EVENTS];
    double now = seconds_now();
    while (!(done && done())) {
        if (now >= until) return 0;
        double wait = until - now < TICK ? until - now : TICK;
        int n = epoll_wait(poll_fd, events, EVENTS, options.spin ? 0 : (int)(wait * 1000) + 1);
        if (n < 0 && errno != EINTR) die("epoll_wait: %s", strerror(errno));
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (c->phase != CLOSED) ready(c, events[i].events);
        }
        now = seconds_now();
        if (calls->tick && now >= next_tick) {
            next_tick = now + TICK;
            calls->tick();
        }
    }
    return 1;
}

void net_run(int (*done)(void), double seconds, const char *waiting_for) {
    if (!turn(done, seconds_now() + seconds)) die("%s: not after %.0f s", waiting_for, seconds);
}

void net_run_for(double seconds) {
    turn(NULL, seconds_now() + seconds);
}
