/* MQTT 3.1.1 over a WebSocket: clean sessions, publications and subscriptions with QoS 1, everything acknowledged. */
#define _GNU_SOURCE
#include "loadgen.h"

#include <stdio.h>
#include <string.h>

enum { CONNACK = 0x20, PUBLISH = 0x32, PUBACK = 0x40, SUBACK = 0x90, PINGRESP = 0xd0, IDS = 65535 };

static char *put_length(char *to, size_t length) {
    do {
        *to++ = (char)((length & 127) | (length > 127 ? 128 : 0));
        length >>= 7;
    } while (length);
    return to;
}

static char *put_two(char *to, size_t n) {
    *to++ = (char)(n >> 8);
    *to++ = (char)n;
    return to;
}

static char *put_text(char *to, const char *text) {
    to = put_two(to, strlen(text));
    return to + put(to, text, strlen(text));
}

/* Bytes of the fixed header, the length of what follows in `left`; 0 when it is not whole. */
static size_t header(const char *text, size_t size, size_t *left) {
    *left = 0;
    for (size_t i = 1; i < size && i < 5; i++) {
        *left |= (size_t)(text[i] & 127) << (7 * (i - 1));
        if (!(text[i] & 128)) return i + 1;
    }
    return 0;
}

static size_t mqtt_split(const char *text, size_t size) {
    size_t left, head = header(text, size, &left);
    return head && head + left <= size ? head + left : 0;
}

static void mqtt_greet(struct conn *c) {
    char id[32], *to = net_begin(c, MESSAGE_ROOM), *at = to;
    int length = snprintf(id, sizeof id, "load%d", c->index);
    *at++ = 0x10;
    at = put_length(at, 10 + 2 + (size_t)length);
    at = put_text(at, "MQTT");
    at += PUT(at, "\x04\x02"); /* version 3.1.1, clean session */
    at = put_two(at, 0);       /* no keep-alive: the load is not about that */
    at = put_text(at, id);
    net_end(c, (size_t)(at - to));
}

static void mqtt_publish(struct conn *c, const char *channel, const char *data, size_t size) {
    char *to = net_begin(c, size + MESSAGE_ROOM), *at = to;
    *at++ = PUBLISH;
    at = put_length(at, 2 + strlen(channel) + 2 + size);
    at = put_text(at, channel);
    at = put_two(at, c->next++ % IDS + 1);
    at += put(at, data, size);
    net_end(c, (size_t)(at - to));
}

static void mqtt_subscribe(struct conn *c) {
    char *to = net_begin(c, MESSAGE_ROOM), *at = to;
    *at++ = (char)0x82;
    at = put_length(at, 2 + 2 + strlen(options.channel) + 1);
    at = put_two(at, 1);
    at = put_text(at, options.channel);
    *at++ = 1;
    net_end(c, (size_t)(at - to));
}

static enum heard entry(struct conn *c, const char *text, size_t size, size_t head, const char **data, size_t *data_size) {
    size_t topic = (size_t)(unsigned char)text[head] << 8 | (unsigned char)text[head + 1];
    const char *id = text + head + 2 + topic;
    char *to = net_begin(c, 4);
    to[0] = PUBACK;
    to[1] = 2;
    to[2] = id[0];
    to[3] = id[1];
    net_end(c, 4);
    *data = id + 2;
    *data_size = (size_t)(text + size - *data);
    return ENTRY;
}

static enum heard mqtt_hear(struct conn *c, const char *text, size_t size, const char **data, size_t *data_size) {
    size_t left, head = header(text, size, &left);
    int kind = text[0] & 0xf0;
    if (kind == (PUBLISH & 0xf0) && (text[0] & 6) == 2) return entry(c, text, size, head, data, data_size);
    if (kind == PUBACK) {
        c->answered++;
        return ACKED;
    }
    if (kind == CONNACK && left == 2 && text[3] == 0) {
        on_ready(c);
        return READY;
    }
    if (kind == SUBACK && left == 3 && text[4] == 1) return SUBSCRIBED;
    if (kind == PINGRESP) return NOTHING;
    die("connection %d: unexpected packet %02x of %zu bytes", c->index, (unsigned char)text[0], size);
}

const struct dialect mqtt_dialect = {
    .name = "mqtt", .subprotocol = "mqtt", .acknowledges = 1, .binary = 1, .split = mqtt_split, .greet = mqtt_greet,
    .publish = mqtt_publish, .subscribe = mqtt_subscribe, .hear = mqtt_hear,
};
