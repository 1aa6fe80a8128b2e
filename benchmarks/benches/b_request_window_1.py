"""Request and reply, one at a time on each connection."""

from benchmarks.harness.model import Bench

from .a_request_window_8 import P50, P99, PER_CPU, RATE

BENCH = Bench(
    "request-1",
    "request and reply, window 1",
    "100 connections, one request of 64 bytes under way on each",
    ("heartline", "heartline, pure", "picows"),
    ("echo", "--connections", "100", "--window", "1", "--seconds", "3"),
    (RATE, P50, P99),
    PER_CPU,
    quick=("--seconds", "1"),
    targets={"picows": 0.8},
    rounds=7,
    quick_rounds=2,
)
