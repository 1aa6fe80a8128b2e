"""A client whose outbox is in memory."""

from benchmarks.harness.measure import python
from benchmarks.harness.model import ALONE, Peer

PEER = Peer(
    "outbox in memory",
    "ends with its process",
    python("benchmarks.alone.outbox", "--outbox", "memory"),
    ALONE,
    ("heartline", "uvloop"),
)
