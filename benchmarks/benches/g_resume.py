"""Five thousand sessions come back at once."""

from benchmarks.harness.model import Bench, Metric

CPU = Metric("server_cpu_s", "server CPU", "s", 1, 2, more_is_better=False)

BENCH = Bench(
    "resume",
    "5,000 resumes at once",
    "all links are lost, 100 messages of 200 bytes are published, all sessions come back: until the last has the last "
    "message it missed. picows and python-socketio are merely reconnected to: nothing resumed, one echo each",
    ("heartline", "picows", "Node Socket.IO, recovery", "python-socketio"),
    ("resume", "--connections", "5000", "--dialling", "4000", "--messages", "100", "--size", "200", "--settle", "1"),
    (Metric("seconds", "time", "s", 1, 2, more_is_better=False), CPU),
    CPU,
    targets={"Node Socket.IO, recovery": 2.5, "python-socketio": 3.0},
    quick=("--connections", "2000", "--dialling", "2000"),
    quick_rounds=1,
)
