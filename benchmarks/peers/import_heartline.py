"""Importing heartline, and a first connection."""

from benchmarks.harness.measure import python
from benchmarks.harness.model import ALONE, Peer

PEER = Peer(
    "import heartline",
    "pip install heartline (compiled); until a session is welcomed",
    python("benchmarks.alone.first_connection", "--client", "heartline"),
    ALONE,
    ("heartline",),
)
