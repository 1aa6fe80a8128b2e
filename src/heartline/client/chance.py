"""Chance and ids out of the system's randomness, without what `random` and `secrets` load.

Those take a hundredth of the time from the start of a process to its first connection.

Invariant: every number of the range may come, and none outside of it (test_chance_stays_within_its_range).
"""

from base64 import urlsafe_b64encode
from os import urandom

__all__ = ["SystemChance", "token"]


class SystemChance:
    """A `heartline.core.ports.Chance`."""

    def uniform(self, low: float, high: float, /) -> float:
        """As `random.SystemRandom.uniform`."""
        return low + (high - low) * (int.from_bytes(urandom(8), "big") / 2**64)


def token(size: int) -> str:
    """An id out of so many random bytes, as `secrets.token_urlsafe`."""
    return urlsafe_b64encode(urandom(size)).decode().rstrip("=")
