"""A hundred thousand sessions that do nothing but live."""

from benchmarks.harness.model import Bench, Metric

BENCH = Bench(
    "heartbeats",
    "heartbeats of 100,000 idle sessions",
    "share of a core for 4,000 pings a second and their answers, as 100,000 sessions make every 25 s; measured with 16,000 "
    "every 4 s, or as many as may be open at a time (ulimit -Hn); they come spread over two intervals",
    ("heartline, every 4 s",),
    ("heartbeat", "--connections", "16000", "--dialling", "500", "--over", "8", "--settle", "8", "--seconds", "20"),
    (
        Metric("share_of_100000", "share", "% of a core", 100, 2, more_is_better=False),
        Metric("heartbeat_us", "each heartbeat", "µs", 1, 1, more_is_better=False),
        Metric("connections", "measured with", "sessions"),
        Metric("heartbeats_per_second", "rate", "pings/s"),
        Metric("server_memory", "memory", "MB", 1e-6),
    ),
    quick=("--settle", "4", "--seconds", "12"),
    limit=0.06,
    quick_rounds=1,
)
