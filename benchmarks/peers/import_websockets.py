"""Importing websockets, and a first connection."""

from benchmarks.harness.measure import python
from benchmarks.harness.model import ALONE, Peer

PEER = Peer(
    "import websockets",
    "pip install websockets; until the WebSocket is open",
    python("benchmarks.alone.first_connection", "--client", "websockets"),
    ALONE,
    ("websockets",),
)
