"""Where a server listens, and how it is: what it tells of itself.

Invariant: counts only, no name, no identity, no address (test_health_tells_counts_only).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .hub import Hub


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens."""

    host: str
    port: int
    secure: bool
    path: str

    @property
    def url(self) -> str:
        """For clients."""
        return f"{'wss' if self.secure else 'ws'}://{self._netloc}{self.path}"

    @property
    def http_url(self) -> str:
        """For browsers and health checks."""
        return f"{'https' if self.secure else 'http'}://{self._netloc}/"

    @property
    def _netloc(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Stats:
    """A snapshot of a serving process."""

    links: int
    """open links, those in their handshake included"""
    sessions: int
    detached: int
    """those of `sessions` that have no link"""
    channels_followed: int
    messages_started: int
    """since it began to serve"""
    entries_published: int
    """since it began to serve, by `publish` and by clients"""

    @classmethod
    def of(cls, hub: "Hub") -> "Stats":
        """How a hub is now."""
        node = hub.node
        return cls(
            len(node.links),
            len(node.sessions),
            len(node.detached),
            len(node.tails),
            hub.calls.started,
            hub.entries.published,
        )
