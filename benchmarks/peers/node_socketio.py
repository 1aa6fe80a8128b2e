"""Socket.IO on Node with acknowledgements (peers/node/socketio.mjs)."""

from benchmarks.harness.install import peer_node
from benchmarks.harness.model import Peer

PACKAGES = ("node", "npm:socket.io", "npm:bufferutil")
PEER = Peer(
    "Node Socket.IO",
    "events with acknowledgements, rooms; WebSocket only, no compression, with bufferutil; nothing is recovered",
    peer_node("socketio.mjs"),
    "socket.io",
    PACKAGES,
)
