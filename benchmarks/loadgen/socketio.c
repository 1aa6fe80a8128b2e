/* Socket.IO 5 over Engine.IO 4, on a WebSocket from the start: events with acknowledgements, pings answered, and
 * recovery of a connection's state where the server offers it.
 *
 * The servers answer `echo` with its data, `join` with "j", `publish` with "p", and hand on what the latter brings as the
 * event `m`. "socket.io" is without recovery.
 */
#define _GNU_SOURCE
#include "loadgen.h"

#include <stdio.h>
#include <string.h>

/* c->session is the id, c->key the private one, c->epoch the offset of the last event. */

static void sio_event(struct conn *c, const char *event, const char *data, size_t size) {
    char *to = net_begin(c, size + 64), *at = to;
    at += PUT(at, "42");
    at += put_number(at, c->next++);
    at += PUT(at, "[\"");
    at += put(at, event, strlen(event));
    at += PUT(at, "\"");
    if (size) at += PUT(at, ",");
    at += put(at, data, size);
    at += PUT(at, "]");
    net_end(c, (size_t)(at - to));
}

static void sio_greet(struct conn *c) {
    c->next = c->answered = 0; /* ids are of this connection only; the server speaks first */
}

static void sio_connect(struct conn *c) {
    char *to = net_begin(c, MESSAGE_ROOM), *at = to;
    at += PUT(at, "40");
    if (c->has_session && c->key[0] && c->epoch[0])
        at += snprintf(at, MESSAGE_ROOM - 2, "{\"pid\":\"%s\",\"offset\":\"%s\"}", c->key, c->epoch);
    net_end(c, (size_t)(at - to));
}

static void sio_request(struct conn *c) {
    sio_event(c, "echo", request_data, (size_t)options.size);
}

static void sio_publish(struct conn *c, const char *channel, const char *data, size_t size) {
    (void)channel;
    sio_event(c, "publish", data, size);
}

static void sio_subscribe(struct conn *c) {
    sio_event(c, "join", "", 0);
}

static enum heard connected(struct conn *c, const char *text, size_t size) {
    char before[64];
    strcpy(before, c->session);
    get_text(text, size, "sid", c->session, sizeof c->session);
    get_text(text, size, "pid", c->key, sizeof c->key);
    if (c->has_session && strcmp(before, c->session) && dialect->recovers && c->key[0])
        die("connection %d: not recovered", c->index);
    c->has_session = 1;
    on_ready(c);
    return READY;
}

/* `42["m",data]`, or `42["m",data,offset]` where state is recovered. */
static enum heard entry(struct conn *c, const char *text, size_t size, const char **data, size_t *data_size) {
    const char *end = text + size, *at = text + 7 + options.size;
    if (at >= end) die("connection %d: a short entry: %.80s", c->index, text);
    *data = text + 7;
    *data_size = (size_t)options.size;
    if (*at == ',') {
        at += 2;
        size_t length = (size_t)(end - at) - 2;
        if (length >= sizeof c->epoch) die("connection %d: a long offset: %.*s", c->index, (int)length, at);
        memcpy(c->epoch, at, length);
        c->epoch[length] = 0;
    } else if (*at != ']') {
        die("connection %d: an entry of another size: %.80s", c->index, text);
    }
    return ENTRY;
}

static enum heard sio_hear(struct conn *c, const char *text, size_t size, const char **data, size_t *data_size) {
    const char *at = text + 2, *end = text + size;
    if (IS("43")) {
        if (get_number(&at, end) != c->answered) die("connection %d: answered out of order: %.80s", c->index, text);
        c->answered++;
        if (end - at == 5 && !memcmp(at, "[\"j\"]", 5)) return SUBSCRIBED;
        if (end - at == 5 && !memcmp(at, "[\"p\"]", 5)) return ACKED;
        *data = at + 1;
        *data_size = (size_t)(end - at) - 2;
        return ANSWER;
    }
    if (IS("42[\"m\",")) return entry(c, text, size, data, data_size);
    if (IS("2")) {
        net_text(c, "3", 1);
        heartbeats++;
        return NOTHING;
    }
    if (IS("40")) return connected(c, text, size);
    if (IS("0")) {
        sio_connect(c);
        return NOTHING;
    }
    die("connection %d: unexpected: %.*s", c->index, (int)(size < 200 ? size : 200), text);
}

const struct dialect socketio_dialect = {
    .name = "socket.io", .path = "/socket.io/?EIO=4&transport=websocket", .acknowledges = 1, .greet = sio_greet,
    .request = sio_request, .publish = sio_publish, .subscribe = sio_subscribe, .hear = sio_hear,
};
const struct dialect socketio_recovery_dialect = {
    .name = "socket.io+recovery", .path = "/socket.io/?EIO=4&transport=websocket", .recovers = 1, .acknowledges = 1,
    .greet = sio_greet, .request = sio_request, .publish = sio_publish, .subscribe = sio_subscribe, .hear = sio_hear,
};
