"""A hundred clients publish over sockets, each waiting for its last acknowledgement."""

from benchmarks.harness.model import Bench, Metric

RATE = Metric("per_second", "handled publications", "msg/s")
PER_CPU = Metric("per_server_cpu_s", "of a core-second", "msg")
P50 = Metric("p50_us", "p50", "ms", 1e-3, 2)
P99 = Metric("p99_us", "p99", "ms", 1e-3, 2)

BENCH = Bench(
    "publish-100",
    "publications, 100 clients",
    "each client has one publication of 100 bytes under way on one channel; acknowledged when entry and record are "
    "written",
    ("heartline, SQLite", "heartline"),
    ("publish", "--connections", "100", "--window", "1", "--size", "100", "--seconds", "3"),
    (RATE, P50, P99),
    PER_CPU,
    quick=("--seconds", "0.7", "--warmup", "0.3"),
    rounds=7,
    quick_rounds=1,
    group="durable",
)
