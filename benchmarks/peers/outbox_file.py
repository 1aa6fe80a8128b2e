"""A client whose outbox is a file."""

from benchmarks.harness.measure import python
from benchmarks.harness.model import ALONE, Peer

PEER = Peer(
    "outbox in a file",
    "what send returned for is on the disk",
    python("benchmarks.alone.outbox", "--outbox", "file"),
    ALONE,
    ("heartline", "uvloop"),
)
