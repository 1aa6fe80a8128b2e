"""The same application without anything compiled: what the pure wheel does."""

from benchmarks.harness.measure import pure
from benchmarks.harness.model import Peer

from .heartline_app import PACKAGES

PEER = Peer(
    "heartline, pure",
    "the same from its source, as the pure wheel has it",
    pure("benchmarks.peers.heartline_app"),
    "heartline.1",
    PACKAGES,
)
