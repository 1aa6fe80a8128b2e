"""Socket.IO on Node with connection state recovery: what was missed comes after a reconnection."""

from benchmarks.harness.install import peer_node
from benchmarks.harness.model import Peer

from .node_socketio import PACKAGES

PEER = Peer(
    "Node Socket.IO, recovery",
    "the same with connection state recovery, in memory",
    peer_node("socketio.mjs", "--recovery"),
    "socket.io+recovery",
    PACKAGES,
)
