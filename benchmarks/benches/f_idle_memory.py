"""What a session costs that does nothing."""

from benchmarks.harness.model import Bench, Metric

BENCH = Bench(
    "idle-memory",
    "memory of an idle session",
    "growth of the server's resident memory over 10,000 connections, divided by them; session state included",
    ("heartline", "picows", "Node Socket.IO", "python-socketio"),
    ("idle", "--connections", "8000", "--warm", "2000", "--settle", "1"),
    (
        Metric("bytes_each", "memory", "kB", 1e-3, 1, more_is_better=False),
        Metric("per_second", "connected", "a second"),
    ),
    limit=15_000,
    quick=("--connections", "3000", "--warm", "1000"),
    rounds=3,
    quick_rounds=1,
)
