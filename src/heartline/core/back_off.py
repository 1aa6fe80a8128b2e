"""When to dial again (PROTOCOL 7): full jitter under a cap, reset by progress and never by an open socket.

Invariants:
- a server that accepts and drops is retried ever more slowly (test_accept_then_drop_grows);
- no delay is above the cap, however many attempts there were (test_delay_never_exceeds_the_cap).
"""

from random import Random

from .policy import BackOff


class Retry:
    """The state of one outage: `step` is the exponent, `failures` counts attempts without progress."""

    __slots__ = ("_policy", "_random", "failures", "step")

    def __init__(self, policy: BackOff, random: Random) -> None:
        self._policy = policy
        self._random = random
        self.step = 0
        self.failures = 0

    def failed(self) -> float:
        """Count one attempt or link that ended without progress; return the seconds to wait."""
        self.failures += 1
        return self._draw()

    def progressed(self) -> None:
        """A message was settled or a cursor moved."""
        self.step = min(self.step, 1)
        self.failures = 0

    def stable(self) -> None:
        """The link lived long enough."""
        self.step = 0
        self.failures = 0

    def _draw(self) -> float:
        policy = self._policy
        ceiling = min(policy.cap, policy.base * 2.0 ** min(self.step, 60))
        self.step += 1
        return self._random.uniform(0.0, ceiling)
