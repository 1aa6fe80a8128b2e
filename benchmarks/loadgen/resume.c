/* All connections are lost at once, something is published, all come back at once: the time until the last has all.
 *
 * Where sessions recover, each has had one entry before it is lost, and gets the entries it missed. A peer that has no
 * such thing is merely reconnected to: each connection is back when one request was answered.
 */
#include "loadgen.h"

#include <stdlib.h>

static struct conn *conns, publisher;
static int opened, complete, publisher_ready, coming_back;
static char *message;
static double last_welcome;
static uint64_t wanted = 1; /* entries each must have */

static void ready(struct conn *c) {
    if (c == &publisher) {
        publisher_ready = 1;
        return;
    }
    opened++;
    if (coming_back) last_welcome = seconds_now();
    if (!dialect->recovers) dialect->request(c);
    else if (!coming_back) dialect->subscribe(c);
    dial_more();
}

static void text(struct conn *c, const char *bytes, size_t size) {
    const char *data;
    size_t data_size;
    switch (dialect->hear(c, bytes, size, &data, &data_size)) {
    case ANSWER: complete++; break;
    case SUBSCRIBED:
        if (!coming_back) complete++;
        break;
    case ENTRY:
        if (data_size != (size_t)options.size || strtoull(data + 1, NULL, 10) != c->entries)
            die("connection %d: entry %llu expected, not %.80s", c->index, (unsigned long long)c->entries, bytes);
        c->entries++;
        if (c->entries == wanted) complete++;
        break;
    default: break;
    }
}

static int all_complete(void) { return complete == options.connections; }
static int publisher_open(void) { return publisher_ready; }
static int all_acked(void) { return publisher.answered >= publisher.next; }

static void publish(int from, int to) {
    for (int i = from; i < to; i++) {
        number_message(message, (uint64_t)i);
        dialect->publish(&publisher, options.channel, message, (size_t)options.size);
        if ((i + 1 - from) % options.window == 0 || i == to - 1) {
            net_flush(&publisher);
            net_run(all_acked, options.limit, "publishing");
        }
    }
}

void resume_run(void) {
    struct callbacks mine = {.open = dialect->greet, .text = text};
    on_ready = ready;
    net_start(&mine);
    conns = calloc((size_t)options.connections, sizeof *conns);
    message = new_message();
    if (options.window < 1 || options.window > SPAN / 2) die("--window must be 1 to %d", SPAN / 2);
    dial_all(conns, 0, options.connections, all_complete);
    if (dialect->recovers) {
        complete = 0;
        net_dial(&publisher, -1, options.path, dialect->subprotocol);
        net_run(publisher_open, options.limit, "connecting the publisher");
        publish(0, 1);
        net_run(all_complete, options.limit, "the first entry");
    }
    for (int i = 0; i < options.connections; i++) net_drop(&conns[i]);
    net_run_for(options.settle);
    if (dialect->recovers) publish(1, options.messages + 1);
    wanted += (uint64_t)options.messages;
    coming_back = 1;
    opened = complete = 0;
    struct usage from = usage_now();
    dial_all(conns, 0, options.connections, all_complete);
    struct usage to = usage_now();
    json_begin();
    json_number("connections", options.connections);
    json_number("per_second", options.connections / (to.at - from.at));
    json_number("entries_per_second", (double)options.connections * options.messages / (to.at - from.at));
    json_number("welcomed_s", last_welcome - from.at);
    json_usage(from, to);
    json_end();
}
