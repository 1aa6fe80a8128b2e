"""The SQLite broker by itself."""

from benchmarks.harness.measure import python
from benchmarks.harness.model import ALONE, Peer

PEER = Peer(
    "SQLite broker",
    "each append committed and on the disk, many in one commit",
    python("benchmarks.alone.brokers", "--broker", "sqlite"),
    ALONE,
    ("heartline", "uvloop"),
)
