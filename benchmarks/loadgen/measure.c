/* Clocks, a histogram of latencies, CPU time and memory of the server as the system counts them, JSON. */
#define _GNU_SOURCE
#include "loadgen.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

uint64_t ns_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

double seconds_now(void) {
    return (double)ns_now() * 1e-9;
}

/* Buckets of one 32nd of a power of two: three per cent wide. */
void histogram_add(struct histogram *h, uint64_t ns) {
    int power = ns ? 63 - __builtin_clzll(ns) : 0;
    int part = power >= 5 ? (int)(ns >> (power - 5)) & 31 : 0;
    h->counts[power * 32 + part]++;
    h->total++;
}

double histogram_us(const struct histogram *h, double part) {
    uint64_t left = (uint64_t)((double)h->total * part);
    for (int i = 0; i < 64 * 32; i++) {
        if (h->counts[i] > left) return (double)(1ull << (i / 32)) * (1 + (i % 32 + 0.5) / 32) / 1000;
        left -= h->counts[i];
    }
    return 0;
}

static double server_cpu(void) {
    clockid_t clock;
    struct timespec t;
    if (clock_getcpuclockid(options.server_pid, &clock) || clock_gettime(clock, &t)) die("no process %d", options.server_pid);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

uint64_t server_memory(void) {
    char path[64];
    unsigned long long pages = 0;
    if (!options.server_pid) return 0;
    snprintf(path, sizeof path, "/proc/%d/statm", options.server_pid);
    FILE *file = fopen(path, "r");
    if (!file || fscanf(file, "%*u %llu", &pages) != 1) die("cannot read %s", path);
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

struct usage usage_now(void) {
    struct rusage mine;
    getrusage(RUSAGE_SELF, &mine);
    struct usage u = {.at = seconds_now(), .server_cpu = options.server_pid ? server_cpu() : 0};
    u.load_cpu = (double)(mine.ru_utime.tv_sec + mine.ru_stime.tv_sec) +
                 (double)(mine.ru_utime.tv_usec + mine.ru_stime.tv_usec) * 1e-6;
    return u;
}

static const char *between;

void json_begin(void) {
    between = "{";
}

void json_number(const char *name, double value) {
    printf("%s\"%s\": %.10g", between, name, value);
    between = ", ";
}

void json_usage(struct usage from, struct usage to) {
    json_number("seconds", to.at - from.at);
    json_number("server_cpu_s", to.server_cpu - from.server_cpu);
    json_number("load_cpu_s", to.load_cpu - from.load_cpu);
    json_number("server_memory", (double)server_memory());
}

void json_latency(const struct histogram *h) {
    json_number("p50_us", histogram_us(h, 0.5));
    json_number("p99_us", histogram_us(h, 0.99));
}

void json_end(void) {
    printf("}\n");
}
