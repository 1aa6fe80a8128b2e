"""A server that starts on a nearly empty file."""

from benchmarks.harness.measure import python
from benchmarks.harness.model import ALONE, Peer

PEER = Peer(
    "empty file", "but for one session", python("benchmarks.alone.startup", "empty"), ALONE, ("heartline", "uvloop")
)
