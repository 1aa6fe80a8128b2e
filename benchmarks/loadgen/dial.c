/* Many connections at once, with a limit on how many are in their handshake at a time. */
#include "loadgen.h"

static struct conn *all;
static int next_one, last_one;

void dial_more(void) {
    while (next_one < last_one && net_in_flight < options.dialling) {
        net_dial(&all[next_one], next_one, options.path, dialect->subprotocol);
        next_one++;
    }
}

void dial_all(struct conn *conns, int from, int to, int (*ready)(void)) {
    all = conns;
    next_one = from;
    last_one = to;
    dial_more();
    net_run(ready, options.limit, "connecting");
}
