"""One publisher, two thousand subscribers, a window of eight messages at a time."""

from benchmarks.harness.model import Bench, Metric

RATE = Metric("per_second", "deliveries", "deliveries/s")
PER_CPU = Metric("per_server_cpu_s", "deliveries of a core-second", "deliveries")
P50 = Metric("p50_us", "p50", "ms", 1e-3, 2, more_is_better=False)
P99 = Metric("p99_us", "p99", "ms", 1e-3, 2, more_is_better=False)
LOAD = ("fanout", "--connections", "2000", "--messages", "200", "--size", "200")
TARGETS = {"picows": 6.0, "Node ws": 8.0, "Node Socket.IO": 10.0, "mosquitto": 10.0, "NATS": 1.0}

BENCH = Bench(
    "fan-out",
    "fan-out to 2,000, eight at a time",
    "200 messages of 200 bytes to 2,000 subscribers; eight are published when the last eight have arrived everywhere",
    ("heartline", "picows", "Node ws", "Node Socket.IO", "mosquitto", "NATS"),
    (*LOAD, "--burst", "8", "--warm", "16"),
    (RATE, P50, P99),
    PER_CPU,
    quick=("--messages", "48"),
    targets=TARGETS,
    quick_rounds=1,
)
