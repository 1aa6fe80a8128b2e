/* heartline.1 in full sessions: hello and welcome, calls, sends and publications with rising numbers, the floor told
 * every 128 answers, pings answered, a subscription with credit. It reads only the frames of a server that behaves, by
 * their first letters.
 */
#define _GNU_SOURCE
#include "loadgen.h"

#include <stdio.h>
#include <string.h>

enum { TELL_FLOOR_EVERY = SPAN / 2 };

uint64_t heartline_credit = 512, heartline_credit_bytes = 256 << 10;

static void hl_greet(struct conn *c) {
    char *to = net_begin(c, MESSAGE_ROOM), *at = to;
    at += snprintf(at, MESSAGE_ROOM, "[\"hello\",{\"instance\":\"load-%d\",\"floor\":%llu", c->index,
                   (unsigned long long)(c->answered ? c->answered : 1));
    if (c->has_session) at += snprintf(at, MESSAGE_ROOM, ",\"session\":\"%s\",\"key\":\"%s\"", c->session, c->key);
    if (c->has_session && c->subscribed)
        at += snprintf(at, MESSAGE_ROOM, ",\"cursors\":[[1,\"%s\",[\"%s\",%llu]]]", options.channel, c->epoch,
                       (unsigned long long)c->offset);
    at += PUT(at, "}]");
    net_end(c, (size_t)(at - to));
}

static void hl_say(struct conn *c, const char *kind, const char *event) {
    char *to = net_begin(c, (size_t)options.size + 64), *at = to;
    at += PUT(at, "[\"");
    at += put(at, kind, 4);
    at += PUT(at, "\",");
    at += put_number(at, c->next);
    at += PUT(at, ",\"");
    at += put(at, event, 4);
    at += PUT(at, "\",");
    at += put(at, request_data, (size_t)options.size);
    at += PUT(at, "]");
    net_end(c, (size_t)(at - to));
    c->next++;
}

static void hl_request(struct conn *c) {
    hl_say(c, "call", "echo");
}

static void hl_send(struct conn *c) {
    hl_say(c, "send", "note");
}

static void hl_publish(struct conn *c, const char *channel, const char *data, size_t size) {
    char *to = net_begin(c, size + MESSAGE_ROOM), *at = to;
    at += PUT(at, "[\"pub\",");
    at += put_number(at, c->next);
    at += PUT(at, ",\"");
    at += put(at, channel, strlen(channel));
    at += PUT(at, "\",\"m\",");
    at += put(at, data, size);
    at += PUT(at, "]");
    net_end(c, (size_t)(at - to));
    c->next++;
}

static void hl_subscribe(struct conn *c) {
    char *to = net_begin(c, MESSAGE_ROOM);
    net_end(c, (size_t)snprintf(to, MESSAGE_ROOM, "[\"sub\",1,\"%s\"]", options.channel));
}

static void hl_handled(struct conn *c) {
    char *to = net_begin(c, MESSAGE_ROOM), *at = to;
    at += PUT(at, "[\"at\",\"");
    at += put(at, options.channel, strlen(options.channel));
    at += PUT(at, "\",");
    at += put_number(at, c->offset);
    at += PUT(at, "]");
    net_end(c, (size_t)(at - to));
    c->untold = c->untold_bytes = 0;
}

static void hl_settled(struct conn *c, uint64_t passed) {
    uint64_t floor = c->answered;
    if (floor < c->floor + passed) return;
    c->floor = floor;
    char *to = net_begin(c, 64), *at = to;
    at += PUT(at, "[\"settled\",");
    at += put_number(at, floor);
    at += PUT(at, "]");
    net_end(c, (size_t)(at - to));
}

static enum heard welcome(struct conn *c, const char *text, size_t size) {
    int resumed = memmem(text, size, "\"resumed\":true", 14) != NULL;
    if (resumed != c->has_session) die("connection %d: resumed is %d", c->index, resumed);
    if (!resumed) {
        get_text(text, size, "session", c->session, sizeof c->session);
        if (!get_text(text, size, "key", c->key, sizeof c->key)) die("a new session without a key");
        c->next = c->answered = c->floor = 1;
        c->has_session = 1;
        heartline_credit = get_field(text, size, "credit");
        heartline_credit_bytes = get_field(text, size, "credit_bytes");
    }
    on_ready(c);
    return READY;
}

/* An entry of the channel: in order, and told with `at` before half of the credit is used. */
static void entry(struct conn *c, uint64_t offset, size_t size) {
    if (offset <= c->offset) die("connection %d: offset %llu after %llu", c->index, (unsigned long long)offset,
                                 (unsigned long long)c->offset);
    c->offset = offset;
    if (!c->untold++) c->untold_since = ns_now();
    c->untold_bytes += (uint32_t)size;
    if (c->untold * 4 >= heartline_credit || c->untold_bytes * 4 >= heartline_credit_bytes) hl_handled(c);
}

static enum heard hl_hear(struct conn *c, const char *text, size_t size, const char **data, size_t *data_size) {
    const char *at, *end = text + size;
    if (IS("[\"reply\",")) {
        at = text + 9;
        if (get_number(&at, end) != c->answered) die("connection %d: answered out of order: %.80s", c->index, text);
        c->answered++;
        hl_settled(c, TELL_FLOOR_EVERY);
        *data = at + 1;
        *data_size = (size_t)(end - at) - 2;
        return ANSWER;
    }
    if (IS("[\"msg\",\"")) {
        size_t name = strlen(options.channel);
        if (size < name + 16 || memcmp(text + 8, options.channel, name)) die("an entry of another channel: %.80s", text);
        at = text + 8 + name + 2;
        entry(c, get_number(&at, end), size);
        if (end - at < 6 || memcmp(at, ",\"m\",", 5)) die("an entry of another event: %.80s", text);
        *data = at + 5;
        *data_size = (size_t)(end - *data) - 1;
        return ENTRY;
    }
    if (IS("[\"ack\",")) {
        at = text + 7;
        c->answered = get_number(&at, end) + 1;
        hl_settled(c, TELL_FLOOR_EVERY);
        return ACKED;
    }
    if (IS("[\"ping\",")) {
        char *to = net_begin(c, size);
        memcpy(to, text, size);
        to[3] = 'o';
        heartbeats++;
        net_end(c, size);
        return NOTHING;
    }
    if (IS("[\"welcome\",")) return welcome(c, text, size);
    if (IS("[\"ok\",1,")) {
        get_text(text, size, "epoch", c->epoch, sizeof c->epoch);
        c->offset = get_field(text, size, "offset");
        c->subscribed = 1;
        return SUBSCRIBED;
    }
    die("connection %d: unexpected: %.*s", c->index, (int)(size < 200 ? size : 200), text);
}

const struct dialect heartline_dialect = {
    .name = "heartline.1", .subprotocol = "heartline.1", .recovers = 1, .acknowledges = 1, .greet = hl_greet,
    .request = hl_request, .send = hl_send, .publish = hl_publish, .subscribe = hl_subscribe, .hear = hl_hear,
    .handled = hl_handled, .settled = hl_settled,
};
