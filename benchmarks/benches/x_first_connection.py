"""A fresh interpreter imports the package and connects."""

from benchmarks.harness.model import Bench, Metric

BENCH = Bench(
    "first-connection",
    "import and first connection",
    "from the import to the open connection, in fresh interpreters on asyncio's own loop; a server in C",
    ("import heartline", "import websockets"),
    ("--starts", "20"),
    (
        Metric("seconds", "time", "ms", 1e3, 1, more_is_better=False),
        Metric("import_s", "of this the import", "ms", 1e3, 1, more_is_better=False),
    ),
    quick=("--starts", "10"),
    quick_rounds=2,
    targets={"import websockets": 1.0},
)
