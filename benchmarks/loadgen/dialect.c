/* What is said on a connection: "echo" to bare peers, "heartline.1" in full sessions.
 *
 * heartline: hello and welcome, calls and publications with rising numbers, the floor told every 128 answers, pings
 * answered, a subscription with credit. It reads only the frames of a server that behaves, by their first letters.
 */
#define _GNU_SOURCE
#include "loadgen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TELL_FLOOR_EVERY = SPAN / 2, MESSAGE_ROOM = 1024 };

const struct dialect *dialect;
void (*on_ready)(struct conn *);
uint64_t heartline_credit = 512, heartline_credit_bytes = 256 << 10;

static char *request_data; /* a JSON string of options.size bytes, quotes included */

static size_t put(char *to, const char *text, size_t size) {
    memcpy(to, text, size);
    return size;
}

#define PUT(to, literal) put(to, literal, sizeof(literal) - 1)

static size_t put_number(char *to, uint64_t n) {
    char digits[NUMBER_ROOM];
    size_t size = 0;
    do digits[size++] = (char)('0' + n % 10);
    while (n /= 10);
    for (size_t i = 0; i < size; i++) to[i] = digits[size - 1 - i];
    return size;
}

static uint64_t get_number(const char **at, const char *end) {
    uint64_t n = 0;
    if (*at == end || **at < '0' || **at > '9') die("a number expected at: %.*s", (int)(end - *at), *at);
    while (*at < end && **at >= '0' && **at <= '9') n = n * 10 + (uint64_t)(*(*at)++ - '0');
    return n;
}

/* --- echo --- */

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

/* --- heartline.1 --- */

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

static void hl_request(struct conn *c) {
    char *to = net_begin(c, (size_t)options.size + 64), *at = to;
    at += PUT(at, "[\"call\",");
    at += put_number(at, c->next);
    at += PUT(at, ",\"echo\",");
    at += put(at, request_data, (size_t)options.size);
    at += PUT(at, "]");
    net_end(c, (size_t)(at - to));
    c->next++;
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

void heartline_subscribe(struct conn *c) {
    char *to = net_begin(c, MESSAGE_ROOM);
    net_end(c, (size_t)snprintf(to, MESSAGE_ROOM, "[\"sub\",1,\"%s\"]", options.channel));
}

void heartline_at(struct conn *c) {
    char *to = net_begin(c, MESSAGE_ROOM), *at = to;
    at += PUT(at, "[\"at\",\"");
    at += put(at, options.channel, strlen(options.channel));
    at += PUT(at, "\",");
    at += put_number(at, c->offset);
    at += PUT(at, "]");
    net_end(c, (size_t)(at - to));
    c->untold = c->untold_bytes = 0;
}

void heartline_tell_floor(struct conn *c, uint64_t passed) {
    uint64_t floor = c->answered;
    if (floor < c->floor + passed) return;
    c->floor = floor;
    char *to = net_begin(c, 64), *at = to;
    at += PUT(at, "[\"settled\",");
    at += put_number(at, floor);
    at += PUT(at, "]");
    net_end(c, (size_t)(at - to));
}

/* The string value of a key, copied out. */
static int get_text(const char *text, size_t size, const char *key, char *to, size_t room) {
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

static uint64_t get_field(const char *text, size_t size, const char *key) {
    char quoted[64];
    int length = snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *at = memmem(text, size, quoted, (size_t)length);
    if (!at) die("no %s in %.*s", key, (int)size, text);
    at += length;
    return get_number(&at, text + size);
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
    c->untold++;
    c->untold_bytes += (uint32_t)size;
    if (c->untold * 4 >= heartline_credit || c->untold_bytes * 4 >= heartline_credit_bytes) heartline_at(c);
}

#define IS(literal) (size > sizeof(literal) - 1 && !memcmp(text, literal, sizeof(literal) - 1))

static enum heard hl_hear(struct conn *c, const char *text, size_t size, const char **data, size_t *data_size) {
    const char *at, *end = text + size;
    if (IS("[\"reply\",")) {
        at = text + 9;
        if (get_number(&at, end) != c->answered) die("connection %d: answered out of order: %.80s", c->index, text);
        c->answered++;
        heartline_tell_floor(c, TELL_FLOOR_EVERY);
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
        heartline_tell_floor(c, TELL_FLOOR_EVERY);
        return ACKED;
    }
    if (IS("[\"ping\",")) {
        char *to = net_begin(c, size);
        memcpy(to, text, size);
        to[3] = 'o';
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

static const struct dialect dialects[] = {
    {"echo", NULL, 0, bare_greet, bare_request, bare_publish, bare_hear},
    {"heartline.1", "heartline.1", 1, hl_greet, hl_request, hl_publish, hl_hear},
};

void dialect_choose(void) {
    for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++)
        if (!strcmp(dialects[i].name, options.dialect)) dialect = &dialects[i];
    if (!dialect) die("--dialect must be echo or heartline.1, not %s", options.dialect);
    if (options.size < 12) die("--size must be at least 12");
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
