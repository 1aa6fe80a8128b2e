/* Sessions that do nothing but live: what their heartbeats cost the server, and how many there were. */
#include "loadgen.h"

#include <stdlib.h>

static struct conn *conns;
static int opened;

static void ready(struct conn *c) {
    (void)c;
    opened++;
    dial_more();
}

static void text(struct conn *c, const char *bytes, size_t size) {
    const char *data;
    size_t data_size;
    dialect->hear(c, bytes, size, &data, &data_size);
}

static int all_open(void) {
    return opened == options.connections;
}

void heartbeat_run(void) {
    struct callbacks mine = {.open = dialect->greet, .text = text};
    on_ready = ready;
    net_start(&mine);
    conns = calloc((size_t)options.connections, sizeof *conns);
    dial_all(conns, 0, options.connections, all_open);
    net_run_for(options.settle);
    uint64_t before = heartbeats;
    struct usage from = usage_now();
    net_run_for(options.seconds);
    struct usage to = usage_now();
    double share = (to.server_cpu - from.server_cpu) / (to.at - from.at);
    if (heartbeats == before) die("no heartbeat in %.0f s", options.seconds);
    json_begin();
    json_number("connections", options.connections);
    json_number("heartbeats_each", (double)(heartbeats - before) / options.connections);
    json_number("share_of_100000", share * 100000 / options.connections);
    json_usage(from, to);
    json_end();
}
