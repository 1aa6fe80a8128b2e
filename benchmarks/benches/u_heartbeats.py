"""A hundred thousand sessions that do nothing but live."""

from benchmarks.harness.model import Bench, Metric

BENCH = Bench(
    "heartbeats",
    "heartbeats of 100,000 idle sessions",
    "share of a core for pings and their answers, every 25 s, over one of these intervals; told for 100,000, measured with "
    "as many as may be open at a time here (ulimit -Hn), 5,000 in the short form; they come spread over one interval",
    ("heartline",),
    ("heartbeat", "--connections", "100000", "--dialling", "500", "--settle", "2", "--seconds", "25"),
    (
        Metric("share_of_100000", "share", "% of a core", 100, 2, more_is_better=False),
        Metric("heartbeat_us", "each heartbeat", "µs", 1, 1, more_is_better=False),
        Metric("connections", "measured with", "sessions"),
        Metric("heartbeats_each", "each", "pings", 1, 2),
        Metric("server_memory", "memory", "MB", 1e-6),
    ),
    quick=("--connections", "5000", "--over", "5", "--seconds", "25"),
    limit=0.06,
    rounds=3,
    quick_rounds=1,
)
