"""Time as the owner tells it, made to run forward only.

Small steps back (a moment that was read before another) stand still. A jump back by more than a second (a wall clock
that was set) goes on from where time stood, so that nothing waits for the clock to catch up with itself.

Invariants: time never falls (test_time_never_falls); after a jump back it runs on (test_time_runs_on_after_a_jump_back).
"""

from math import inf

JUMP = 1.0


class Clock:
    """`now` is the machine's time; `outside` translates to the owner's."""

    __slots__ = ("_ahead", "now")

    def __init__(self) -> None:
        self.now: float = -inf
        self._ahead = 0.0

    def tell(self, outside: float) -> float:
        """Take the owner's time; return the machine's."""
        now = outside + self._ahead
        if now > self.now:
            self.now = now
        elif now < self.now - JUMP:
            self._ahead += self.now - now
        return self.now

    def outside(self, at: float) -> float:
        """A moment of the machine's as the owner's clock will show it."""
        return at - self._ahead
