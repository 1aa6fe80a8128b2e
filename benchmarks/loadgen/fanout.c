/* One publisher, many subscribers: the time until the last of them has the last message. */
#include "loadgen.h"

#include <stdlib.h>
#include <string.h>

enum { TELL_AFTER = 100 * 1000 * 1000 }; /* ns */

static struct conn *conns, publisher;
static uint64_t *published_at;
static struct histogram latency;
static uint64_t entries, expected, deliveries_wanted;
static int opened, following, publisher_ready;
static char *message;

static void ready(struct conn *c) {
    if (c == &publisher) {
        publisher_ready = 1;
        return;
    }
    opened++;
    if (dialect->subscribe) dialect->subscribe(c);
    else c->subscribed = 1, following++;
    dial_more();
}

static void text(struct conn *c, const char *bytes, size_t size) {
    const char *data;
    size_t data_size;
    switch (dialect->hear(c, bytes, size, &data, &data_size)) {
    case SUBSCRIBED: following++; break;
    case ENTRY:
        if (data_size != (size_t)options.size || strtoull(data + 1, NULL, 10) != c->entries)
            die("connection %d: entry %llu expected, not %.80s", c->index, (unsigned long long)c->entries, bytes);
        histogram_add(&latency, ns_now() - published_at[c->entries]);
        c->entries++;
        entries++;
        break;
    default: break;
    }
}

/* What was handled is told 0.1 s after the first of it, as heartline's clients do. */
static void tick(void) {
    if (!dialect->handled) return;
    uint64_t due = ns_now() - TELL_AFTER;
    for (int i = 0; i < options.connections; i++)
        if (conns[i].untold && conns[i].untold_since <= due) {
            dialect->handled(&conns[i]);
            net_flush(&conns[i]);
        }
}

static int all_follow(void) { return following == options.connections; }
static int publisher_open(void) { return publisher_ready; }
static int all_delivered(void) { return entries == deliveries_wanted; }
static int all_acked(void) { return publisher.answered >= publisher.next; }

static void publish(const char *channel) {
    if (!strcmp(channel, options.channel)) {
        number_message(message, expected);
        published_at[expected++] = ns_now();
    }
    dialect->publish(&publisher, channel, message, (size_t)options.size);
}

/* So many messages, a burst at a time; the next burst when the last one has arrived everywhere. */
static void publish_all(int messages, int burst) {
    for (int left = messages; left > 0; left -= burst) {
        int now = left < burst ? left : burst;
        if (dialect->settled && publisher.next + (uint64_t)now >= publisher.floor + SPAN) dialect->settled(&publisher, 1);
        if (options.pause > 0) net_run_for(options.pause);
        for (int i = 0; i < now; i++) publish(options.channel);
        net_flush(&publisher);
        deliveries_wanted += (uint64_t)now * (uint64_t)options.connections;
        net_run(all_delivered, options.limit, "delivering");
        if (dialect->acknowledges) net_run(all_acked, options.limit, "acknowledging");
    }
}

/* A heartline session may have 8 messages under way at first, twice as many whenever a window is settled: 256 after
 * these, published where nobody listens. */
static void widen_window(void) {
    for (int window = 8; window < SPAN; window *= 2) {
        for (int i = 0; i < window; i++) publish("nobody");
        net_flush(&publisher);
        net_run(all_acked, options.limit, "widening the window");
    }
}

void fanout_run(void) {
    struct callbacks mine = {.open = dialect->greet, .text = text, .tick = tick};
    on_ready = ready;
    net_start(&mine);
    if (options.burst < 1 || options.burst >= SPAN) die("--burst must be 1 to %d", SPAN - 1);
    conns = calloc((size_t)options.connections, sizeof *conns);
    published_at = calloc((size_t)options.messages + (size_t)options.warm, sizeof *published_at);
    message = new_message();
    net_dial(&publisher, -1, dialect->subscribe ? options.path : "/publish", dialect->subprotocol);
    net_run(publisher_open, options.limit, "connecting the publisher");
    if (!dialect->subscribe) options.path = "/follow";
    dial_all(conns, 0, options.connections, all_follow);
    if (dialect->settled) widen_window();
    publish_all(options.warm, options.burst);
    net_run_for(0.4);
    memset(&latency, 0, sizeof latency);
    uint64_t before = entries;
    struct usage from = usage_now();
    publish_all(options.messages, options.burst);
    struct usage to = usage_now();
    json_begin();
    json_number("deliveries", (double)(entries - before));
    json_number("per_second", (double)(entries - before) / (to.at - from.at));
    json_number("per_server_cpu_s", (double)(entries - before) / (to.server_cpu - from.server_cpu));
    json_usage(from, to);
    json_latency(&latency);
    json_end();
}
