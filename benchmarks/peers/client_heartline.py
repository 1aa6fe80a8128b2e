"""A client in Python: heartline's."""

from benchmarks.harness.measure import python
from benchmarks.harness.model import ALONE, Peer

PEER = Peer(
    "heartline client",
    "full sessions: entries decoded and their cursor kept, requests numbered and settled",
    python("benchmarks.alone.client", "--client", "heartline"),
    ALONE,
    ("heartline", "picows", "uvloop"),
)
