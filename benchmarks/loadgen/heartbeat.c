/* Sessions that do nothing but live: what their heartbeats cost the server, and how many there were.
 *
 * They come evenly within --over seconds, so that their heartbeats are as spread as those of strangers. What a server does
 * with nobody there is measured first: only the rest is multiplied when the cost of 100,000 is told, that is, of 4,000
 * heartbeats a second. The server's interval is its own: one that makes about as many a second measures at that load.
 */
#include "loadgen.h"

#include <stdlib.h>

#define OF_100000 (100000 / 25.0) /* heartbeats a second */

static struct conn *conns;
static int dialled, opened;
static double began;

static void ready(struct conn *c) {
    (void)c;
    opened++;
}

static void text(struct conn *c, const char *bytes, size_t size) {
    const char *data;
    size_t data_size;
    dialect->hear(c, bytes, size, &data, &data_size);
}

static void tick(void) {
    if (!conns || dialled == options.connections) return;
    double part = options.over > 0 ? (seconds_now() - began) / options.over : 1;
    int due = part < 1 ? (int)(part * options.connections) : options.connections;
    for (; dialled < due && net_in_flight < options.dialling; dialled++)
        net_dial(&conns[dialled], dialled, options.path, dialect->subprotocol);
}

static int all_open(void) {
    return opened == options.connections;
}

static double share(struct usage from, struct usage to) {
    return (to.server_cpu - from.server_cpu) / (to.at - from.at);
}

void heartbeat_run(void) {
    struct callbacks mine = {.open = dialect->greet, .text = text, .tick = tick};
    on_ready = ready;
    net_start(&mine);
    struct usage empty = usage_now();
    net_run_for(options.settle);
    double alone = share(empty, usage_now());
    conns = calloc((size_t)options.connections, sizeof *conns);
    began = seconds_now();
    net_run(all_open, options.over + options.limit, "connecting");
    net_run_for(options.settle);
    uint64_t before = heartbeats;
    struct usage from = usage_now();
    net_run_for(options.seconds);
    struct usage to = usage_now();
    if (heartbeats == before) die("no heartbeat in %.0f s", options.seconds);
    double rate = (double)(heartbeats - before) / (to.at - from.at);
    json_begin();
    json_number("connections", options.connections);
    json_number("heartbeats_per_second", rate);
    json_number("heartbeat_us", (share(from, to) - alone) / rate * 1e6);
    json_number("share_alone", alone);
    json_number("share_of_100000", alone + (share(from, to) - alone) * OF_100000 / rate);
    json_usage(from, to);
    json_end();
}
