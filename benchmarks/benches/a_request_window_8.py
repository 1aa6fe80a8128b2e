"""Request and reply, eight under way on each connection."""

from benchmarks.harness.model import Bench, Metric

RATE = Metric("per_second", "messages", "msg/s")
PER_CPU = Metric("per_server_cpu_s", "of a core-second", "msg")
P50 = Metric("p50_us", "p50", "ms", 1e-3, 2, more_is_better=False)
P99 = Metric("p99_us", "p99", "ms", 1e-3, 2, more_is_better=False)

BENCH = Bench(
    "request-8",
    "request and reply, window 8",
    "100 connections, eight requests of 64 bytes under way on each",
    ("heartline", "heartline, pure", "picows", "Node ws", "Node Socket.IO", "websockets", "FastAPI", "python-socketio"),
    ("echo", "--connections", "100", "--window", "8", "--seconds", "3"),
    (RATE, P50, P99),
    PER_CPU,
    quick=("--seconds", "1"),
    targets={
        "picows": 1.6,
        "Node ws": 2.0,
        "Node Socket.IO": 3.5,
        "websockets": 4.0,
        "FastAPI": 4.0,
        "python-socketio": 15.0,
    },
    rounds=7,
    quick_rounds=2,
)
