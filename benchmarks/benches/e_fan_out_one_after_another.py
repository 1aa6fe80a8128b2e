"""One message at a time to two thousand subscribers, without a pause: readers tell what they have handled meanwhile."""

from benchmarks.harness.model import Bench

from .c_fan_out import P50, P99, PER_CPU
from .e_fan_out_one import WORDS

BENCH = Bench(
    "fan-out-in-turn",
    "one after another to 2,000",
    "the next message of 200 bytes is published when all 2,000 subscribers have the last one: latency",
    ("heartline", "picows"),
    (*WORDS, "--messages", "100"),
    (P99, P50),
    PER_CPU,
    targets={"picows": 1.0},
    more_targets={"p50_us": {"picows": 1.0}},
    quick=("--messages", "40"),
    quick_rounds=2,
)
