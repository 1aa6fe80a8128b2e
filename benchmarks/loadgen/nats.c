/* The client protocol of NATS over a WebSocket: core subjects, at most once, nothing acknowledged. */
#define _GNU_SOURCE
#include "loadgen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* c->has_session: the PONG that was answered is that of CONNECT. */

/* A line, and the payload that a MSG line announces. */
static size_t nats_split(const char *text, size_t size) {
    const char *end = memmem(text, size, "\r\n", 2);
    if (!end) return 0;
    size_t line = (size_t)(end - text) + 2;
    if (!IS("MSG ")) return line;
    const char *last = memrchr(text, ' ', line);
    size_t whole = line + strtoul(last + 1, NULL, 10) + 2;
    return whole <= size ? whole : 0;
}

static void nats_greet(struct conn *c) {
    (void)c; /* the server speaks first */
}

static void nats_publish(struct conn *c, const char *channel, const char *data, size_t size) {
    char *to = net_begin(c, size + MESSAGE_ROOM), *at = to;
    at += PUT(at, "PUB ");
    at += put(at, channel, strlen(channel));
    at += PUT(at, " ");
    at += put_number(at, size);
    at += PUT(at, "\r\n");
    at += put(at, data, size);
    at += PUT(at, "\r\n");
    net_end(c, (size_t)(at - to));
    c->next++;
}

static void nats_subscribe(struct conn *c) {
    char *to = net_begin(c, MESSAGE_ROOM);
    net_end(c, (size_t)snprintf(to, MESSAGE_ROOM, "SUB %s 1\r\nPING\r\n", options.channel));
}

static enum heard nats_hear(struct conn *c, const char *text, size_t size, const char **data, size_t *data_size) {
    if (IS("MSG ")) {
        const char *payload = (const char *)memmem(text, size, "\r\n", 2) + 2;
        *data = payload;
        *data_size = (size_t)(text + size - payload) - 2;
        return ENTRY;
    }
    if (IS("PING")) {
        net_text(c, "PONG\r\n", 6);
        heartbeats++;
        return NOTHING;
    }
    if (IS("PONG")) {
        if (c->has_session) return SUBSCRIBED;
        c->has_session = 1;
        on_ready(c);
        return READY;
    }
    if (IS("INFO ")) {
        static const char hello[] = "CONNECT {\"verbose\":false,\"pedantic\":false,\"name\":\"load\",\"lang\":\"c\",\"version\":\"1\"}\r\nPING\r\n";
        if (!c->has_session) net_text(c, hello, sizeof hello - 1);
        return NOTHING;
    }
    die("connection %d: unexpected: %.*s", c->index, (int)(size < 200 ? size : 200), text);
}

const struct dialect nats_dialect = {
    .name = "nats", .binary = 1, .split = nats_split, .greet = nats_greet, .publish = nats_publish,
    .subscribe = nats_subscribe, .hear = nats_hear,
};
