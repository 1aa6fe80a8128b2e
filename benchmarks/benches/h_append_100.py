"""A hundred publishers, each waiting for its last append: what the group commit is for."""

from benchmarks.harness.model import Bench, Metric

RATE = Metric("per_second", "acknowledged appends", "appends/s")
PER_CPU = Metric("per_server_cpu_s", "appends of a core-second", "appends")
PEERS = ("SQLite broker", "SQLite broker, sync=normal", "memory broker")

BENCH = Bench(
    "append-100",
    "appends, 100 publishers",
    "entries of 100 bytes in ten channels, each publisher with one append under way; acknowledged after the commit",
    PEERS,
    ("append", "--publishers", "100", "--seconds", "3"),
    (RATE,),
    PER_CPU,
    quick=("--seconds", "0.5"),
    limit=30_000,
    rounds=7,
    quick_rounds=1,
    group="durable",
)
