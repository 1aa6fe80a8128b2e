"""How much may start in one turn of the event loop.

What is put off is read and taken all the same, and waits in memory: it costs twice as much, so the limits are wide.
A callback in every turn would cost as much as half a message: only after a few starts is the turn's end asked for.

Invariants:
- a turn starts at most `starts` messages, and none that is asked for when `seconds` are over, so that a flood delays
  timers and other links only a little (test_starts_have_a_budget, test_a_turn_ends_in_time);
- what is owed goes on in the next turn (test_what_is_owed_goes_on);
- closed, it lets nothing start (test_closed_nothing_starts).
"""

import asyncio
from collections.abc import Callable
from typing import Final

STARTS: Final = 8192
SECONDS: Final = 0.02
FREE: Final = 16  # starts before anybody looks whether they are of one turn


class Allowance:
    """Ask `takes` before each start, and count it with `spend`; `owe` has `resume` called in the next turn."""

    __slots__ = ("_call_soon", "_closed", "_counting", "_owed", "_resume", "_started", "_until", "seconds", "starts")

    def __init__(self, loop: asyncio.AbstractEventLoop, resume: Callable[[], None]) -> None:
        self.starts: int = STARTS
        self.seconds: float = SECONDS
        self._call_soon: Callable[..., object] = loop.call_soon
        self._resume: Callable[[], None] = resume
        self._started: int = 0
        self._until: float = 0.0
        self._counting: bool = False
        self._owed: bool = False
        self._closed: bool = False

    def takes(self, at: float) -> bool:
        """Whether a message may start at this time."""
        if not self._counting:
            if self._started < FREE and self._started < self.starts:
                return not self._closed
            self._counting = True
            self._until = at + self.seconds
            self._call_soon(self._turn_is_over)
        return self._started < self.starts and at < self._until and not self._closed

    def spend(self) -> None:
        """A message starts."""
        self._started += 1

    def owe(self) -> None:
        """Something waits that may start when the next turn begins."""
        self._owed = True

    def close(self) -> None:
        """Nothing more starts."""
        self._closed = True

    def _turn_is_over(self) -> None:
        self._counting = False
        self._started = 0
        if self._owed:
            self._owed = False
            if not self._closed:
                self._resume()
