"""A client in Python: picows alone."""

from benchmarks.harness.measure import python
from benchmarks.harness.model import ALONE, Peer

PEER = Peer(
    "picows client",
    "bare: counts frames, or sends the next message when one comes",
    python("benchmarks.alone.client", "--client", "picows"),
    ALONE,
    ("heartline", "picows", "uvloop"),
)
