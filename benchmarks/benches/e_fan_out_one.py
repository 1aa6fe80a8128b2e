"""One message at a time to two thousand subscribers: nothing can be joined here."""

from benchmarks.harness.model import Bench

from .c_fan_out import LOAD, P50, P99, PER_CPU

BENCH = Bench(
    "fan-out-one",
    "one message to 2,000",
    "the next message of 200 bytes is published when all 2,000 subscribers have the last one: latency",
    ("heartline", "picows"),
    (*LOAD, "--burst", "1", "--warm", "10", "--messages", "100"),
    (P99, P50),
    PER_CPU,
    targets={"picows": 1.0},
    more_targets={"p50_us": {"picows": 1.0}},
    quick=("--messages", "40"),
    quick_rounds=2,
)
