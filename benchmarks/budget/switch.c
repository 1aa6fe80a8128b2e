/* Turning callgrind's counting on and off from Python (see counting.py): the client requests are macros. */
#include <valgrind/callgrind.h>

void count_on(void) {
    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;
}

void count_off(const char *name) {
    CALLGRIND_DUMP_STATS_AT(name);
    CALLGRIND_STOP_INSTRUMENTATION;
}

int under_valgrind(void) {
    return RUNNING_ON_VALGRIND;
}
