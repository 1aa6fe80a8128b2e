"""A server that starts on a large file."""

from benchmarks.harness.measure import python
from benchmarks.harness.model import ALONE, Peer

PEER = Peer(
    "large file",
    "a million entries of 1 KB, 50,000 sessions",
    python("benchmarks.alone.startup", "full"),
    ALONE,
    ("heartline", "uvloop"),
)
