"""One message to two thousand subscribers: nothing can be joined here."""

from benchmarks.harness.model import Bench

from .c_fan_out import LOAD, P50, P99

WORDS = (*LOAD, "--burst", "1", "--warm", "10")

BENCH = Bench(
    "fan-out-one",
    "one message to 2,000",
    "a message of 200 bytes to 2,000 subscribers who wait for it, 0.2 s after the last one: latency",
    ("heartline", "picows"),
    (*WORDS, "--messages", "60", "--pause", "0.2"),
    (P99, P50),
    targets={"picows": 1.0},
    more_targets={"p50_us": {"picows": 1.0}},
    quick=("--messages", "30"),
    quick_rounds=2,
)
