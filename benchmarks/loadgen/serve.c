/* A server for one client at a time, so that a client in another language is the limit: prints its port, then serves.
 *
 * A client that asks for the subprotocol heartline.1 gets a session, replies to its calls, acknowledgements of its sends,
 * and entries of the channel it follows, as fast as its credit allows. A bare one gets a text message of the same size
 * over and over on /feed, and its own messages back on any other path.
 */
#define _GNU_SOURCE
#include "loadgen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { IN_ROOM = 4 << 20, OUT_ROOM = 8 << 20, WRITE_SIZE = 64 << 10, FRAME_ROOM = 10 };

static int fd, is_heartline, is_feed, feeding;
static char *in, *out, *entry_data, feed_text[32];
static size_t in_to, out_from, out_to;
static uint64_t offset, handled, acknowledge;

static void frame(int opcode, const char *payload, size_t size) {
    unsigned char *at = (unsigned char *)out + out_to;
    if (out_to + size + FRAME_ROOM > OUT_ROOM) die("serve: the client does not read");
    *at++ = (unsigned char)(0x80 | opcode);
    if (size < 126) {
        *at++ = (unsigned char)size;
    } else if (size < 65536) {
        *at++ = 126;
        *at++ = (unsigned char)(size >> 8);
        *at++ = (unsigned char)size;
    } else {
        *at++ = 127;
        for (int shift = 56; shift >= 0; shift -= 8) *at++ = (unsigned char)((uint64_t)size >> shift);
    }
    memcpy(at, payload, size);
    out_to = (size_t)((char *)at - out) + size;
}

static void say(const char *text) {
    frame(1, text, strlen(text));
}

/* As many entries as credit and one write allow, or one when its time has come. */
static void feed(void) {
    static char *text;
    static uint64_t next_at;
    if (!text) text = malloc((size_t)options.size + MESSAGE_ROOM);
    if (options.pace) {
        uint64_t now = ns_now();
        if (now < next_at) return;
        next_at = now + (uint64_t)options.pace * 1000;
    }
    while (out_to - out_from < (options.pace ? 1 : WRITE_SIZE)) {
        if (!is_heartline) {
            frame(1, entry_data, (size_t)options.size);
            continue;
        }
        uint64_t beyond = offset - handled, each = (uint64_t)options.size + strlen(feed_text) + 20;
        if (beyond >= heartline_credit || (beyond + 1) * each > heartline_credit_bytes) return;
        char *at = text;
        at += PUT(at, "[\"msg\",\"");
        at += put(at, feed_text, strlen(feed_text));
        at += PUT(at, "\",");
        at += put_number(at, ++offset);
        at += PUT(at, ",\"m\",");
        at += put(at, entry_data, (size_t)options.size);
        at += PUT(at, "]");
        frame(1, text, (size_t)(at - text));
    }
}

static void welcome(void) {
    char text[MESSAGE_ROOM];
    snprintf(text, sizeof text,
             "[\"welcome\",{\"session\":\"bench\",\"resumed\":false,\"key\":\"0123456789abcdef0123456789abcdef\",\"received\":0,"
             "\"heartbeat\":{\"interval\":25,\"timeout\":10},\"limits\":{\"message\":1048576,\"window\":256,"
             "\"window_bytes\":1048576,\"credit\":%llu,\"credit_bytes\":%llu,\"subscriptions\":100},"
             "\"inbox\":{\"epoch\":\"e\",\"offset\":0},\"time\":1790000000,\"server\":\"bench\"}]",
             (unsigned long long)heartline_credit, (unsigned long long)heartline_credit_bytes);
    say(text);
}

static void reply(const char *text, size_t size) {
    static char *answer;
    static size_t room;
    const char *end = text + size, *at = text + sizeof "[\"call\"," - 1;
    uint64_t n = get_number(&at, end);
    const char *data = memchr(at + 2, '"', (size_t)(end - at) - 2); /* past ,"event" */
    if (!data) die("serve: a call without an event: %.*s", (int)size, text);
    data += 2;
    if (room < size + 64) answer = realloc(answer, room = size * 2 + 64);
    char *to = answer;
    to += PUT(to, "[\"reply\",");
    to += put_number(to, n);
    to += PUT(to, ",");
    to += put(to, data, (size_t)(end - data));
    frame(1, answer, (size_t)(to - answer));
}

static void subscribe(const char *text, size_t size) {
    char answer[MESSAGE_ROOM];
    const char *end = text + size, *at = text + sizeof "[\"sub\"," - 1;
    uint64_t r = get_number(&at, end);
    const char *name = at + 2, *stop = memchr(name, '"', (size_t)(end - name));
    if (!stop || (size_t)(stop - name) >= sizeof feed_text) die("serve: what channel? %.*s", (int)size, text);
    memcpy(feed_text, name, (size_t)(stop - name));
    feed_text[stop - name] = 0;
    snprintf(answer, sizeof answer, "[\"ok\",%llu,{\"epoch\":\"e\",\"offset\":0}]", (unsigned long long)r);
    say(answer);
    feeding = 1;
}

static void heard(const char *text, size_t size) {
    const char *at, *end = text + size;
    if (!is_heartline) frame(1, text, size);
    else if (IS("[\"call\",")) reply(text, size);
    else if (IS("[\"send\",")) at = text + 8, acknowledge = get_number(&at, end);
    else if (IS("[\"at\",")) {
        at = (const char *)memrchr(text, ',', size) + 1;
        handled = get_number(&at, end);
    } else if (IS("[\"hello\",")) welcome();
    else if (IS("[\"sub\",")) subscribe(text, size);
    else if (IS("[\"ping\",")) {
        char answer[MESSAGE_ROOM];
        if (size > sizeof answer) die("serve: a long ping");
        memcpy(answer, text, size);
        answer[3] = 'o';
        frame(1, answer, size);
    } else if (!IS("[\"settled\",") && !IS("[\"pong\",") && !IS("[\"bye\"") && !IS("[\"unsub\",")) {
        die("serve: unexpected: %.*s", (int)(size < 200 ? size : 200), text);
    }
}

/* One masked frame; how many bytes it took. Sets *closed when the client takes its leave. */
static size_t one_frame(char *from, size_t size, int *closed) {
    const unsigned char *at = (const unsigned char *)from;
    size_t head = 2;
    uint64_t length;
    if (size < 2) return 0;
    length = at[1] & 127;
    if (!(at[1] & 128)) die("serve: an unmasked frame");
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
    if (size < head + 4 + length) return 0;
    const unsigned char *key = at + head;
    char *payload = from + head + 4;
    for (uint64_t i = 0; i < length; i++) payload[i] ^= (char)key[i & 3];
    switch (at[0] & 15) {
    case 1: case 2: heard(payload, (size_t)length); break;
    case 8:
        frame(8, payload, (size_t)length);
        *closed = 1;
        break;
    case 9: frame(10, payload, (size_t)length); break;
    case 10: break;
    default: die("serve: unexpected frame %02x", at[0]);
    }
    return head + 4 + (size_t)length;
}

static size_t upgrade(char *from, size_t size) {
    char key[64], accept[32], *end = memmem(from, size, "\r\n\r\n", 4);
    if (!end) return 0;
    *end = 0;
    char *at = strcasestr(from, "Sec-WebSocket-Key:");
    if (!at || sscanf(at + 18, " %63[^\r\n ]", key) != 1) die("serve: not an upgrade: %s", from);
    websocket_accept(key, accept);
    is_heartline = strcasestr(from, "heartline.1") != NULL;
    is_feed = !strncmp(from, "GET /feed ", 10);
    out_to += (size_t)sprintf(out + out_to,
                              "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                              "Sec-WebSocket-Accept: %s\r\n%s\r\n", accept,
                              is_heartline ? "Sec-WebSocket-Protocol: heartline.1\r\n" : "");
    feeding = is_feed && !is_heartline;
    return (size_t)(end - from) + 4;
}

/* Until the client has gone. */
static void serve_one(void) {
    int upgraded = 0, closed = 0;
    in_to = out_from = out_to = 0;
    offset = handled = acknowledge = 0;
    feeding = 0;
    while (!(closed && out_from == out_to)) {
        if (out_from == out_to) out_from = out_to = 0;
        if (feeding && !closed && out_from == 0) feed();
        struct pollfd wait = {.fd = fd, .events = POLLIN | (out_from < out_to ? POLLOUT : 0)};
        if (poll(&wait, 1, options.spin ? 0 : -1) < 0 && errno != EINTR) die("poll: %s", strerror(errno));
        if (wait.revents & POLLOUT) {
            ssize_t n = send(fd, out + out_from, out_to - out_from, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (n < 0 && errno != EAGAIN) return;
            if (n > 0) out_from += (size_t)n;
        }
        if (!(wait.revents & (POLLIN | POLLHUP | POLLERR))) continue;
        ssize_t n = recv(fd, in + in_to, IN_ROOM - in_to, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN)) return;
        if (n < 0) continue;
        in_to += (size_t)n;
        size_t done = 0, took;
        while (done < in_to && !closed) {
            took = upgraded ? one_frame(in + done, in_to - done, &closed) : upgrade(in + done, in_to - done);
            if (!took) break;
            upgraded = 1;
            done += took;
        }
        memmove(in, in + done, in_to - done);
        in_to -= done;
        if (acknowledge) {
            char text[64];
            snprintf(text, sizeof text, "[\"ack\",%llu]", (unsigned long long)acknowledge);
            say(text);
            acknowledge = 0;
        }
    }
}

void serve_run(void) {
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    socklen_t size = sizeof here;
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, options.host, &here.sin_addr);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 16)) die("listen: %s", strerror(errno));
    getsockname(listener, (struct sockaddr *)&here, &size);
    printf("{\"port\": %d}\n", ntohs(here.sin_port));
    fflush(stdout);
    in = malloc(IN_ROOM);
    out = malloc(OUT_ROOM);
    entry_data = new_message();
    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        serve_one();
        close(fd);
    }
}
