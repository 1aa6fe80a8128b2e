"""Entries read back from the broker."""

from benchmarks.harness.model import Bench, Metric

RATE = Metric("per_second", "entries", "entries/s")
PER_CPU = Metric("per_server_cpu_s", "of a core-second", "entries")

BENCH = Bench(
    "replay",
    "replay from the broker",
    "a channel of 100,000 entries of 100 bytes, read in pieces of 256",
    ("SQLite broker", "plain sqlite3", "memory broker"),
    ("replay", "--entries", "100000", "--seconds", "2"),
    (RATE,),
    PER_CPU,
    quick=("--entries", "20000", "--seconds", "0.5"),
    limit=300_000,
    rounds=7,
    quick_rounds=1,
    group="durable",
)
