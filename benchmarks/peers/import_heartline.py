"""Importing heartline, and a first connection."""

from benchmarks.harness.measure import python
from benchmarks.harness.model import ALONE, Peer

PEER = Peer(
    "import heartline",
    "until a session is welcomed, asyncio's own loop",
    python("benchmarks.alone.first_connection", "--client", "heartline"),
    ALONE,
    ("heartline",),
)
