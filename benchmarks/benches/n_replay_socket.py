"""A client that was away for 100,000 entries comes back."""

from benchmarks.harness.model import Bench, Metric

RATE = Metric("entries_per_second", "entries", "entries/s")
TIME = Metric("seconds", "time", "s", 1, 2, more_is_better=False)
CPU = Metric("server_cpu_s", "server CPU", "s", 1, 2, more_is_better=False)

BENCH = Bench(
    "replay-socket",
    "replay over a socket",
    "a client loses its link, 100,000 entries of 100 bytes are published, it resumes: until it has the last of them",
    ("heartline, SQLite", "heartline"),
    (
        *("resume", "--connections", "1", "--messages", "100000", "--size", "100", "--window", "128"),
        *("--channel", "long/bench", "--settle", "0.2"),
    ),
    (RATE, TIME, CPU),
    CPU,
    quick=("--messages", "20000"),
    quick_rounds=1,
    group="durable",
)
