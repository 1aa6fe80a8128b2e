/* A load generator for WebSocket servers: one thread, epoll, no library.
 *
 * net.c      connections, the opening handshake, frames, the event loop
 * dialect.c  what is said on them: which dialects there are, "echo" for bare peers, what all of them share
 * heartline.c socketio.c mqtt.c nats.c        one dialect each
 * dial.c     many connections, some at a time
 * measure.c  clocks, a histogram of latencies, CPU time and memory of the server, JSON
 * echo.c fanout.c heartbeat.c idle.c publish.c resume.c   one kind of load each; main.c reads the options and runs one
 * serve.c accept.c   the other way round: a server for one client, which is what is measured then
 *
 * Whatever does not go as it must (a wrong answer, a missing one, a lost connection) ends the program with a sentence
 * on stderr and status 1: a benchmark of a wrong server means nothing.
 */
#ifndef LOADGEN_H
#define LOADGEN_H

#include <stddef.h>
#include <stdint.h>

/* Options, the same for every load; see main.c for their defaults. */
struct options {
    const char *load, *host, *path, *dialect, *channel;
    int port, connections, window, size, messages, burst, dialling, warm, calls, server_pid, spin, channels, pace;
    double warmup, seconds, settle, limit, over, pause;
};
extern struct options options;

void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* --- net.c --- */

enum phase { CLOSED, CONNECTING, UPGRADING, OPEN };

struct buffer {
    char *bytes;
    size_t from, to, room;
};

struct conn {
    int fd, index;
    enum phase phase;
    int wants_out;
    struct buffer in, out; /* in: an unfinished frame; out: what the socket did not take yet */
    struct buffer stream;  /* an unfinished message of a dialect whose messages are not frames */
    const char *path;
    uint64_t *sent_at; /* when request n was sent, in a ring of SPAN */
    /* numbers of requests: the next to send, the next to be answered, the floor last told */
    uint64_t next, answered, floor;
    /* a session, kept over links */
    int has_session, subscribed;
    char session[64], key[64], epoch[64];
    /* entries of the channel: how many came, the last offset, and what `at` has not told yet */
    uint64_t entries, offset;
    uint32_t untold, untold_bytes;
    uint64_t untold_since;
};

/* What a load does with its connections. `lost` NULL: losing one is an error. */
struct callbacks {
    void (*open)(struct conn *);
    void (*text)(struct conn *, const char *, size_t);
    void (*tick)(void); /* every 0.01 s, if not NULL */
};

extern int net_binary;                                        /* frames of ours are binary ones */
extern size_t (*net_split)(const char *, size_t);             /* how long the first whole message is, 0: not whole yet; NULL: a frame each */

void net_start(const struct callbacks *);
void net_dial(struct conn *, int index, const char *path, const char *subprotocol);
void net_drop(struct conn *);                                /* close at once, without a close frame */
char *net_begin(struct conn *, size_t most);                 /* where to write a text message of at most that many bytes */
void net_end(struct conn *, size_t size);                    /* ... and how long it became; leaves with the next flush */
void net_text(struct conn *, const char *text, size_t size); /* both in one */
void net_flush(struct conn *);
void net_run(int (*done)(void), double seconds, const char *waiting_for); /* dies when it is not done in time */
void net_run_for(double seconds);
extern int net_in_flight; /* dialled and not open yet */

/* --- dialect.c --- */

enum { SPAN = 256, NUMBER_ROOM = 24, MESSAGE_ROOM = 1024 };

enum heard { NOTHING, READY, ANSWER, ENTRY, SUBSCRIBED, ACKED };

struct dialect {
    const char *name, *subprotocol, *path; /* path NULL: what the options say */
    int recovers;                          /* a session comes back with what it missed */
    int acknowledges;                      /* ACKED for what was published */
    int binary;
    size_t (*split)(const char *text, size_t size); /* see net_split */
    void (*greet)(struct conn *);   /* the WebSocket is open; `ready` follows, from here or from hear */
    void (*request)(struct conn *); /* the next request, whose answer is the same payload */
    void (*send)(struct conn *);    /* the next one-way message, if there is such a thing: then it is ACKED */
    void (*publish)(struct conn *, const char *channel, const char *data, size_t size);
    void (*subscribe)(struct conn *); /* SUBSCRIBED follows; NULL: the paths /follow and /publish say it */
    enum heard (*hear)(struct conn *, const char *text, size_t size, const char **data, size_t *data_size);
    void (*handled)(struct conn *);                  /* tell how far the channel was handled; may be NULL */
    void (*settled)(struct conn *, uint64_t passed); /* ... how far all is settled, if that many were since; may be NULL */
};
extern const struct dialect *dialect;
extern const struct dialect heartline_dialect, socketio_dialect, socketio_recovery_dialect, mqtt_dialect, nats_dialect;
extern void (*on_ready)(struct conn *);
extern uint64_t heartline_credit, heartline_credit_bytes, heartbeats; /* pings that were answered */
extern char *request_data; /* a JSON string of options.size bytes, quotes included */

void dialect_choose(void);
char *new_message(void);                        /* a JSON string of options.size bytes, quotes included */
void number_message(char *message, uint64_t n); /* it begins with eight digits then */

size_t put(char *to, const char *text, size_t size);
size_t put_number(char *to, uint64_t n);
uint64_t get_number(const char **at, const char *end);
int get_text(const char *text, size_t size, const char *key, char *to, size_t room); /* the string value of a key, copied out */
uint64_t get_field(const char *text, size_t size, const char *key);
#define PUT(to, literal) put(to, literal, sizeof(literal) - 1)
#define IS(literal) (size >= sizeof(literal) - 1 && !memcmp(text, literal, sizeof(literal) - 1))

/* --- measure.c --- */

struct histogram {
    uint64_t counts[64 * 32], total;
};
void histogram_add(struct histogram *, uint64_t ns);
double histogram_us(const struct histogram *, double part);

struct usage {
    double at, server_cpu, load_cpu;
};
double seconds_now(void);
uint64_t ns_now(void);
struct usage usage_now(void);
uint64_t server_memory(void); /* resident bytes */

void json_begin(void);
void json_number(const char *name, double value);
void json_usage(struct usage from, struct usage to);
void json_latency(const struct histogram *);
void json_end(void);

/* --- the loads --- */

void echo_run(void);
void fanout_run(void);
void heartbeat_run(void);
void idle_run(void);
void publish_run(int one_way);
void resume_run(void);
void serve_run(void);
void websocket_accept(const char *key, char *accept); /* accept.c */

/* --- dial.c --- */

/* Dial connections [from, to), at most options.dialling at a time, until `ready` says that all are. */
void dial_all(struct conn *conns, int from, int to, int (*ready)(void));
void dial_more(void); /* call when one has become ready */

#endif
