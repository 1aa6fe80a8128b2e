"""One-way messages, sixty-four under way on each connection."""

from benchmarks.harness.model import Bench

from .a_request_window_8 import P50, P99, PER_CPU, RATE

BENCH = Bench(
    "send-64",
    "one-way sends handled, window 64",
    "100 connections, 64 sends of 64 bytes under way on each, a typed async handler; a bare peer says each again",
    ("heartline", "heartline, pure", "picows"),
    ("send", "--connections", "100", "--window", "64", "--seconds", "3"),
    (RATE, P50, P99),
    PER_CPU,
    quick=("--seconds", "1"),
    targets={"picows": 2.0},
    rounds=7,
    quick_rounds=2,
)
