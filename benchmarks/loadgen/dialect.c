/* What is said on a connection: which dialects there are, the echo of bare peers, and what all of them share. */
#define _GNU_SOURCE
#include "loadgen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct dialect *dialect;
void (*on_ready)(struct conn *);
char *request_data;
uint64_t heartbeats;

static void bare_greet(struct conn *c) {
    on_ready(c);
}

static void bare_request(struct conn *c) {
    net_text(c, request_data, (size_t)options.size);
    c->next++;
}

static void bare_publish(struct conn *c, const char *channel, const char *data, size_t size) {
    (void)channel;
    net_text(c, data, size);
    c->next++;
}

static enum heard bare_hear(struct conn *c, const char *text, size_t size, const char **data, size_t *data_size) {
    *data = text;
    *data_size = size;
    if (c->subscribed) return ENTRY;
    c->answered++;
    return ANSWER;
}

static const struct dialect bare_dialect = {
    .name = "echo", .greet = bare_greet, .request = bare_request, .send = bare_request, .publish = bare_publish,
    .hear = bare_hear,
};

static const struct dialect *const dialects[] = {
    &bare_dialect, &heartline_dialect, &socketio_dialect, &socketio_recovery_dialect, &mqtt_dialect, &nats_dialect,
};

void dialect_choose(void) {
    for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++)
        if (!strcmp(dialects[i]->name, options.dialect)) dialect = dialects[i];
    if (!dialect) die("no --dialect %s", options.dialect);
    if (options.size < 12) die("--size must be at least 12");
    if (dialect->path) options.path = dialect->path;
    net_binary = dialect->binary;
    net_split = dialect->split;
    request_data = new_message();
}

char *new_message(void) {
    char *message = malloc((size_t)options.size);
    memset(message, 'x', (size_t)options.size);
    message[0] = message[options.size - 1] = '"';
    return message;
}

void number_message(char *message, uint64_t n) {
    for (int i = 8; i > 0; i--, n /= 10) message[i] = (char)('0' + n % 10);
}

size_t put(char *to, const char *text, size_t size) {
    memcpy(to, text, size);
    return size;
}

size_t put_number(char *to, uint64_t n) {
    char digits[NUMBER_ROOM];
    size_t size = 0;
    do digits[size++] = (char)('0' + n % 10);
    while (n /= 10);
    for (size_t i = 0; i < size; i++) to[i] = digits[size - 1 - i];
    return size;
}

uint64_t get_number(const char **at, const char *end) {
    uint64_t n = 0;
    if (*at == end || **at < '0' || **at > '9') die("a number expected at: %.*s", (int)(end - *at), *at);
    while (*at < end && **at >= '0' && **at <= '9') n = n * 10 + (uint64_t)(*(*at)++ - '0');
    return n;
}

int get_text(const char *text, size_t size, const char *key, char *to, size_t room) {
    char quoted[64];
    int length = snprintf(quoted, sizeof quoted, "\"%s\":\"", key);
    const char *at = memmem(text, size, quoted, (size_t)length);
    if (!at) return 0;
    at += length;
    const char *end = memchr(at, '"', size - (size_t)(at - text));
    if (!end || (size_t)(end - at) >= room) die("cannot read %s in %.*s", key, (int)size, text);
    memcpy(to, at, (size_t)(end - at));
    to[end - at] = 0;
    return 1;
}

uint64_t get_field(const char *text, size_t size, const char *key) {
    char quoted[64];
    int length = snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *at = memmem(text, size, quoted, (size_t)length);
    if (!at) die("no %s in %.*s", key, (int)size, text);
    at += length;
    return get_number(&at, text + size);
}
