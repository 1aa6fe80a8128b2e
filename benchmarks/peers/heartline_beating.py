"""The same application with heartbeats every 4 s: 16,000 sessions make as many as 100,000 every 25 s."""

from benchmarks.harness.measure import python
from benchmarks.harness.model import Peer

from .heartline_app import PACKAGES

PEER = Peer(
    "heartline, every 4 s",
    "full sessions that are pinged every 4 s",
    python("benchmarks.peers.heartline_app", "--heartbeat", "4"),
    "heartline.1",
    PACKAGES,
)
