"""The same, published all at once."""

from benchmarks.harness.model import Bench

from .c_fan_out import LOAD, P50, P99, PER_CPU, RATE, TARGETS

BENCH = Bench(
    "fan-out-burst",
    "fan-out to 2,000, all at once",
    "200 messages of 200 bytes to 2,000 subscribers; a client with its window wide open publishes them in one go",
    ("heartline", "picows", "Node ws", "Node Socket.IO", "mosquitto", "NATS"),
    (*LOAD, "--burst", "200", "--warm", "20"),
    (RATE, P50, P99),
    PER_CPU,
    quick=("--messages", "96", "--burst", "96"),
    targets=TARGETS,
    quick_rounds=1,
)
