/* Connections that rest: the memory each costs the server. */
#include "loadgen.h"

#include <stdlib.h>

static struct conn *conns;
static int opened, wanted;

static void ask_or_rest(struct conn *c) {
    if (c->next - (dialect->settled ? 1 : 0) < (uint64_t)options.calls) {
        dialect->request(c);
        return;
    }
    opened++;
    dial_more();
}

static void text(struct conn *c, const char *bytes, size_t size) {
    const char *data;
    size_t data_size;
    if (dialect->hear(c, bytes, size, &data, &data_size) == ANSWER) ask_or_rest(c);
}

static int all_rest(void) {
    return opened == wanted;
}

void idle_run(void) {
    struct callbacks mine = {.open = dialect->greet, .text = text};
    on_ready = ask_or_rest;
    net_start(&mine);
    conns = calloc((size_t)(options.warm + options.connections), sizeof *conns);
    wanted = options.warm;
    dial_all(conns, 0, options.warm, all_rest);
    net_run_for(options.settle);
    uint64_t before = server_memory();
    struct usage from = usage_now();
    wanted += options.connections;
    dial_all(conns, options.warm, options.warm + options.connections, all_rest);
    struct usage to = usage_now();
    net_run_for(options.settle);
    json_begin();
    json_number("connections", options.connections);
    json_number("per_second", options.connections / (to.at - from.at));
    json_number("bytes_each", ((double)server_memory() - (double)before) / options.connections);
    json_usage(from, to);
    json_end();
}
