/* Options, and which load to run. */
#include "loadgen.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { RESERVE = 200 }; /* files that a server has open besides, generously */

struct options options = {
    .load = "", .host = "127.0.0.1", .path = "/", .dialect = "echo", .channel = "bench",
    .connections = 100, .window = 8, .size = 64, .messages = 200, .burst = 200, .dialling = 1000, .spin = 1, .channels = 1,
    .warmup = 0.5, .seconds = 2, .settle = 0.5, .limit = 60, .over = 25,
};

static const struct { const char *name; int *integer; double *real; const char **text; const char *help; } table[] = {
    {"--port", &options.port, 0, 0, "where the server listens"},
    {"--host", 0, 0, &options.host, "its IPv4 address"},
    {"--path", 0, 0, &options.path, "of the WebSocket"},
    {"--dialect", 0, 0, &options.dialect, "echo, heartline.1, socket.io, socket.io+recovery, mqtt or nats"},
    {"--channel", 0, 0, &options.channel, "the channel to follow or publish to"},
    {"--server-pid", &options.server_pid, 0, 0, "whose CPU time and memory to tell"},
    {"--connections", &options.connections, 0, 0, "how many"},
    {"--dialling", &options.dialling, 0, 0, "how many of them may be in their handshake at a time"},
    {"--window", &options.window, 0, 0, "echo, publish, send: so many under way on each connection; resume: publications at a time"},
    {"--size", &options.size, 0, 0, "bytes of payload"},
    {"--messages", &options.messages, 0, 0, "fanout, resume: how many are published"},
    {"--burst", &options.burst, 0, 0, "fanout: how many of them at a time"},
    {"--warm", &options.warm, 0, 0, "idle: connections before the first look at the memory; fanout: messages"},
    {"--calls", &options.calls, 0, 0, "idle: requests each connection makes before it rests"},
    {"--pace", &options.pace, 0, 0, "serve: microseconds between two entries, each in a write of its own; 0: as fast as may be"},
    {"--channels", &options.channels, 0, 0, "publish: to so many in turn"},
    {"--spin", &options.spin, 0, 0, "1: never sleep, so that the server need not pay for waking this process (default)"},
    {"--warmup", 0, &options.warmup, 0, "echo, publish, send: seconds before the measurement"},
    {"--seconds", 0, &options.seconds, 0, "echo, heartbeat, publish, send: how long to measure"},
    {"--settle", 0, &options.settle, 0, "heartbeat, idle, resume: seconds of quiet"},
    {"--over", 0, &options.over, 0, "heartbeat: seconds within which the connections come"},
    {"--pause", 0, &options.pause, 0, "fanout: seconds of quiet before each burst, in which readers tell what they have handled"},
    {"--limit", 0, &options.limit, 0, "seconds after which a phase has failed"},
};

void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "loadgen: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    exit(1);
}

static void usage(void) {
    fprintf(stderr, "usage: loadgen echo|fanout|heartbeat|idle|publish|resume|send|serve --port N [--option value ...]\n");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) fprintf(stderr, "  %-14s %s\n", table[i].name, table[i].help);
    exit(2);
}

static void read_option(const char *name, const char *value) {
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(table[i].name, name)) continue;
        char *end = "";
        if (table[i].integer) *table[i].integer = (int)strtol(value, &end, 10);
        if (table[i].real) *table[i].real = strtod(value, &end);
        if (table[i].text) *table[i].text = value;
        if (*end) die("%s wants a number, not %s", name, value);
        return;
    }
    usage();
}

int main(int count, char **words) {
    struct rlimit files;
    if (count < 2 || count % 2) usage();
    options.load = words[1];
    for (int i = 2; i < count; i += 2) read_option(words[i], words[i + 1]);
    if (!options.port && strcmp(options.load, "serve")) usage();
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (!strcmp(options.load, "heartbeat") && (rlim_t)options.connections + RESERVE > files.rlim_max)
        options.connections = (int)files.rlim_max - RESERVE; /* the sample tells how many there were */
    if ((rlim_t)options.connections + options.warm + 32 > files.rlim_max)
        die("only %lu files may be open here (ulimit -Hn)", (unsigned long)files.rlim_max);
    dialect_choose();
    if (!strcmp(options.load, "echo")) echo_run();
    else if (!strcmp(options.load, "fanout")) fanout_run();
    else if (!strcmp(options.load, "idle")) idle_run();
    else if (!strcmp(options.load, "heartbeat")) heartbeat_run();
    else if (!strcmp(options.load, "publish")) publish_run(0);
    else if (!strcmp(options.load, "send")) publish_run(1);
    else if (!strcmp(options.load, "serve")) serve_run();
    else if (!strcmp(options.load, "resume")) resume_run();
    else usage();
    return 0;
}
