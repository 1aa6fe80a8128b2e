"""One message at a time to two thousand subscribers: nothing can be joined here."""

from dataclasses import replace

from benchmarks.harness.model import Bench

from .c_fan_out import LOAD, P50, P99, PER_CPU

BENCH = Bench(
    "fan-out-one",
    "one message to 2,000",
    "the next message of 200 bytes is published when all 2,000 subscribers have the last one: latency",
    ("heartline", "picows"),
    (*LOAD, "--burst", "1", "--warm", "10", "--messages", "100"),
    (replace(P99, more_is_better=False), P50),
    PER_CPU,
    quick=("--messages", "40"),
)
