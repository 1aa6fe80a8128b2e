"""A server starts on a file of 1 GB."""

from benchmarks.harness.model import Bench, Metric

BENCH = Bench(
    "start-up",
    "start-up, the file on the disk",
    "from starting Python until the port is open; a million entries of 1 KB and 50,000 sessions are in the file (the "
    "short form: a twentieth), none of it in the system's cache; then one session comes back and reads an entry",
    ("large file", "empty file"),
    ("--entries", "1000000"),
    (
        Metric("start_s", "time", "s", 1, 2, more_is_better=False),
        Metric("resume_ms", "first resumption", "ms", 1, 1, more_is_better=False),
        Metric("memory_resumed", "memory", "MB", 1e-6, 1, more_is_better=False),
        Metric("file", "file", "MB", 1e-6),
    ),
    quick=("--entries", "50000", "--sessions", "2500"),
    limit=1.0,
    quick_rounds=1,
    group="durable",
)
