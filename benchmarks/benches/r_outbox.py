"""A thousand sends at once from a client."""

from benchmarks.harness.model import Bench, Metric

RATE = Metric("per_second", "sends", "sends/s")
PER_CPU = Metric("per_server_cpu_s", "of the client's core-second", "sends")

BENCH = Bench(
    "outbox",
    "client: 1,000 sends at once",
    "a Python client gathers 1,000 sends of 100 bytes and waits until the last of them was handled, again and again",
    ("outbox in a file", "outbox in memory"),
    ("many", "--seconds", "3"),
    (RATE,),
    PER_CPU,
    quick=("--seconds", "0.5"),
    quick_rounds=1,
    group="durable",
)
