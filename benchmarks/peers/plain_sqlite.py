"""The sqlite3 module by itself."""

from benchmarks.harness.measure import python
from benchmarks.harness.model import ALONE, Peer

PEER = Peer(
    "plain sqlite3",
    "one insert a commit, or SELECTs",
    python("benchmarks.alone.brokers", "--broker", "plain"),
    ALONE,
    ("heartline", "uvloop"),
)
