"""When to dial again (PROTOCOL 7): full jitter under a cap, reset by progress and never by an open socket.

Invariants:
- a server that accepts and drops is retried ever more slowly (test_accept_then_drop_grows);
- no delay is above the cap, however many attempts there were (test_delay_never_exceeds_the_cap);
- a link that made progress is no failed attempt (test_a_good_link_is_no_failure);
- a server that asks every link to move is followed ever more slowly (test_moves_without_progress_slow_down).
"""

from typing import TYPE_CHECKING

from .policy import BackOff

if TYPE_CHECKING:
    from .ports import Chance


class Retry:
    """The state of one outage: `step` is the exponent, `failures` counts attempts and links without progress."""

    __slots__ = ("_policy", "_random", "failures", "proven", "step", "trusting")

    def __init__(self, policy: BackOff, random: "Chance") -> None:
        self._policy = policy
        self._random = random
        self.step: int = 0
        self.failures: int = 0
        self.proven: bool = False
        self.trusting: bool = True
        """whether the other end said what is being taken in"""

    def failed(self) -> float:
        """Count one attempt or link that ended; return the seconds to wait."""
        delay = self._draw(self.step)
        if not self.proven:
            self.step += 1
        self.left()
        return delay

    def left(self) -> None:
        """Count one attempt or link that ended, unless it was a link that had proved good."""
        if not self.proven:
            self.failures += 1
        self.proven = False

    def before_moving(self) -> float:
        """Seconds to wait in addition when the server asks to move: none unless the links before it were no good."""
        return self._draw(self.failures) if self.failures else 0.0

    def progressed(self) -> None:
        """A message was settled or a new entry came: this link is good."""
        if not self.trusting:
            return
        self.step = min(self.step, 1)
        self.failures = 0
        self.proven = True

    def stable(self) -> None:
        """The link lived long enough."""
        self.step = 0
        self.failures = 0
        self.proven = True

    def _draw(self, step: int) -> float:
        policy = self._policy
        most = min(policy.cap, policy.base * 2.0 ** min(step, 60))
        return self._random.uniform(policy.least * most, most)
