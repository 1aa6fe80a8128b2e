"""Importing websockets, and a first connection."""

from benchmarks.harness.measure import python
from benchmarks.harness.model import ALONE, Peer

PEER = Peer(
    "import websockets",
    "until the WebSocket is open, asyncio's own loop",
    python("benchmarks.alone.first_connection", "--client", "websockets"),
    ALONE,
    ("websockets",),
)
