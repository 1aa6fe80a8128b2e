/* Publications, or one-way messages, and their acknowledgements: so many connections, each with a window under way. A
 * bare peer acknowledges a one-way message by saying it again. */
#include "loadgen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct conn *conns;
static struct histogram latency;
static char *message;
static uint64_t acknowledged;
static int opened, publishing, one_way;
static char *names; /* of the channels, ROOM bytes each */

enum { ROOM = 32 };

static void publish(struct conn *c) {
    c->sent_at[c->next % SPAN] = ns_now();
    if (one_way) {
        dialect->send(c);
        return;
    }
    static int turn;
    dialect->publish(c, names + (size_t)turn * ROOM, message, (size_t)options.size);
    if (++turn == options.channels) turn = 0;
}

static void ready(struct conn *c) {
    (void)c;
    opened++;
    dial_more();
}

/* One acknowledgement may settle many. */
static void text(struct conn *c, const char *bytes, size_t size) {
    const char *data;
    size_t data_size;
    uint64_t before = c->answered;
    enum heard heard = dialect->hear(c, bytes, size, &data, &data_size);
    if (heard != ACKED && heard != ANSWER) return;
    if (c->answered > c->next) die("connection %d: acknowledged what was not sent: %.80s", c->index, bytes);
    uint64_t now = ns_now();
    for (uint64_t n = before; n < c->answered; n++) histogram_add(&latency, now - c->sent_at[n % SPAN]);
    acknowledged += c->answered - before;
    if (dialect->settled) dialect->settled(c, SPAN / 4);
    while (publishing && c->next < c->answered + (uint64_t)options.window) publish(c);
}

static int all_open(void) {
    return opened == options.connections;
}

static int all_acknowledged(void) {
    for (int i = 0; i < options.connections; i++)
        if (conns[i].answered < conns[i].next) return 0;
    return 1;
}

static void name_channels(void) {
    names = calloc((size_t)options.channels, ROOM);
    for (int i = 0; i < options.channels; i++)
        snprintf(names + (size_t)i * ROOM, ROOM, i ? "%.20s-%d" : "%.20s", options.channel, i);
}

void publish_run(int is_one_way) {
    struct callbacks mine = {.open = dialect->greet, .text = text};
    on_ready = ready;
    one_way = is_one_way;
    if (one_way ? !dialect->send : !dialect->acknowledges) die("%s is not acknowledged in %s", options.load, dialect->name);
    if (options.channels < 1) die("--channels must be at least 1");
    name_channels();
    net_start(&mine);
    if (options.window < 1 || options.window > SPAN * 3 / 4) die("--window must be 1 to %d", SPAN * 3 / 4);
    conns = calloc((size_t)options.connections, sizeof *conns);
    message = new_message();
    for (int i = 0; i < options.connections; i++) conns[i].sent_at = calloc(SPAN, sizeof(uint64_t));
    dial_all(conns, 0, options.connections, all_open);
    publishing = 1;
    for (int i = 0; i < options.connections; i++) {
        for (int w = 0; w < options.window; w++) publish(&conns[i]);
        net_flush(&conns[i]);
    }
    net_run_for(options.warmup);
    memset(&latency, 0, sizeof latency);
    uint64_t before = acknowledged;
    struct usage from = usage_now();
    net_run_for(options.seconds);
    struct usage to = usage_now();
    uint64_t counted = acknowledged - before;
    struct histogram measured = latency;
    publishing = 0;
    net_run(all_acknowledged, options.limit, "the last acknowledgements");
    json_begin();
    json_number("messages", (double)counted);
    json_number("per_second", (double)counted / (to.at - from.at));
    json_number("per_server_cpu_s", (double)counted / (to.server_cpu - from.server_cpu));
    json_usage(from, to);
    json_latency(&measured);
    json_end();
}
