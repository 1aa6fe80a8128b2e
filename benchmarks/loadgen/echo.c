/* Requests and their answers: so many connections, each with a window of requests under way. */
#include "loadgen.h"

#include <stdlib.h>
#include <string.h>

static struct conn *conns;
static struct histogram latency;
static uint64_t answers;
static int opened, asking;

static void ask(struct conn *c) {
    c->sent_at[c->next % SPAN] = ns_now();
    dialect->request(c);
}

static void ready(struct conn *c) {
    (void)c;
    opened++;
    dial_more();
}

static void text(struct conn *c, const char *bytes, size_t size) {
    const char *data;
    size_t data_size;
    if (dialect->hear(c, bytes, size, &data, &data_size) != ANSWER) return;
    if (c->answered > c->next || data_size != (size_t)options.size || data[0] != '"' || data[data_size - 1] != '"')
        die("connection %d: a wrong answer: %.80s", c->index, bytes);
    histogram_add(&latency, ns_now() - c->sent_at[(c->answered - 1) % SPAN]);
    answers++;
    if (asking) ask(c);
}

static int all_open(void) {
    return opened == options.connections;
}

static int all_answered(void) {
    for (int i = 0; i < options.connections; i++)
        if (conns[i].answered < conns[i].next) return 0;
    return 1;
}

void echo_run(void) {
    static const struct callbacks callbacks = {.text = text};
    struct callbacks mine = callbacks;
    mine.open = dialect->greet;
    on_ready = ready;
    net_start(&mine);
    if (options.window < 1 || options.window > SPAN / 2) die("--window must be 1 to %d", SPAN / 2);
    conns = calloc((size_t)options.connections, sizeof *conns);
    for (int i = 0; i < options.connections; i++) conns[i].sent_at = calloc(SPAN, sizeof(uint64_t));
    dial_all(conns, 0, options.connections, all_open);
    asking = 1;
    for (int i = 0; i < options.connections; i++) {
        for (int w = 0; w < options.window; w++) ask(&conns[i]);
        net_flush(&conns[i]);
    }
    net_run_for(options.warmup);
    memset(&latency, 0, sizeof latency);
    uint64_t before = answers;
    struct usage from = usage_now();
    net_run_for(options.seconds);
    struct usage to = usage_now();
    uint64_t counted = answers - before;
    struct histogram measured = latency;
    asking = 0;
    net_run(all_answered, options.limit, "the last answers");
    json_begin();
    json_number("messages", (double)counted);
    json_number("per_second", (double)counted / (to.at - from.at));
    json_number("per_server_cpu_s", (double)counted / (to.server_cpu - from.server_cpu));
    json_usage(from, to);
    json_latency(&measured);
    json_end();
}
