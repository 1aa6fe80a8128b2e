"""The ws package of Node: a bare echo, and a fan-out that is a loop over the clients (peers/node/ws.mjs)."""

from benchmarks.harness.install import peer_node
from benchmarks.harness.model import Peer

PEER = Peer(
    "Node ws",
    "bare: no sessions; no compression, with bufferutil; fan-out is a loop over the clients",
    peer_node("ws.mjs"),
    "echo",
    ("node", "npm:ws", "npm:bufferutil"),
)
