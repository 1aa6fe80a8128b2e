"""The SQLite broker by itself with sync=normal."""

from benchmarks.harness.measure import python
from benchmarks.harness.model import ALONE, Peer

PEER = Peer(
    "SQLite broker, sync=normal",
    "survives the process, maybe not a power cut",
    python("benchmarks.alone.brokers", "--broker", "sqlite-normal"),
    ALONE,
    ("heartline", "uvloop"),
)
