"""The memory broker by itself."""

from benchmarks.harness.measure import python
from benchmarks.harness.model import ALONE, Peer

PEER = Peer(
    "memory broker",
    "survives nothing",
    python("benchmarks.alone.brokers", "--broker", "memory"),
    ALONE,
    ("heartline", "uvloop"),
)
