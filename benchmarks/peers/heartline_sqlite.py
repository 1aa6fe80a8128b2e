"""The same application with sessions and channels in a file: what is acknowledged has been committed."""

from benchmarks.harness.measure import python
from benchmarks.harness.model import Peer

from .heartline_app import PACKAGES

PEER = Peer(
    "heartline, SQLite",
    "durable sessions and channels: records and entries are in a file before anybody hears of them",
    python("benchmarks.peers.heartline_app", "--durable"),
    "heartline.1",
    PACKAGES,
)
