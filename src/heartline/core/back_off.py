"""When to dial again (PROTOCOL 7): full jitter under a cap, reset by progress and never by an open socket.

Invariants:
- a server that accepts and drops is retried ever more slowly (test_accept_then_drop_grows);
- no delay is above the cap, however many attempts there were (test_delay_never_exceeds_the_cap);
- a link that made progress is no failed attempt (test_a_good_link_is_no_failure).
"""

from random import Random

from .policy import BackOff


class Retry:
    """The state of one outage: `step` is the exponent, `failures` counts attempts without progress."""

    __slots__ = ("_policy", "_proven", "_random", "failures", "step")

    def __init__(self, policy: BackOff, random: Random) -> None:
        self._policy = policy
        self._random = random
        self._proven = False
        self.step = 0
        self.failures = 0

    def failed(self) -> float:
        """Count one attempt or link that ended; return the seconds to wait."""
        delay = self.delay()
        self.left()
        return delay

    def left(self) -> None:
        """Count one attempt or link that ended, unless it was a link that had proved good."""
        if not self._proven:
            self.step += 1
            self.failures += 1
        self._proven = False

    def delay(self) -> float:
        """Draw the seconds to wait at this step."""
        policy = self._policy
        return self._random.uniform(0.0, min(policy.cap, policy.base * 2.0 ** min(self.step, 60)))

    def progressed(self) -> None:
        """A message was settled or a cursor moved."""
        self.step = min(self.step, 1)
        self.failures = 0
        self._proven = True

    def stable(self) -> None:
        """The link lived long enough."""
        self.step = 0
        self.failures = 0
        self._proven = True
