"""How a durable broker writes: a step at a time, several calls in one transaction, and what a crash leaves of it.

A call is asked, applied to a transaction that is open, committed with it, announced, answered. Only the commit writes.

Invariants: a transaction is written whole or not at all, in the order of the calls (test_a_transaction_is_whole); a
call whose broker died is answered at most once, with an error (test_calls_fail_once_when_the_broker_dies).
"""

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from .clock import World

Act = Callable[[], Any]
Told = Callable[[Any], None]


class Call:
    """One call of a node, from asking to the answer."""

    __slots__ = ("about", "act", "answered", "failed", "over", "writes")

    def __init__(self, about: str, act: Act, answered: Told, failed: Callable[[], None], *, writes: bool) -> None:
        self.about = about
        self.act = act
        self.answered = answered
        self.failed = failed
        self.writes = writes
        self.over: bool = False
        """Answered, failed, or of a process that died."""


class Lane:
    """Calls of one node about one channel or session, in order."""

    __slots__ = ("busy_until", "telling", "told_until", "waiting")

    def __init__(self) -> None:
        self.busy_until = 0.0
        self.told_until = 0.0
        self.waiting: deque[Call] = deque()
        self.telling: deque[Call] = deque()
        """Applied, maybe committed, and not answered."""


class Transactions:
    """The one writer of a store. `seconds` is the longest a transaction stays open; 0 commits each call at once."""

    def __init__(self, world: World, seconds: float, rng: Random, count: Callable[[str], None]) -> None:
        self._world = world
        self._seconds = seconds
        self._rng = rng
        self._count = count
        self._open: list[tuple[Call, Told]] = []
        self._run = 0

    def apply(self, call: Call, committed: Told) -> None:
        """Apply a call to the open transaction; `committed` gets what it returns once that is written.

        A call that only looks waits with it where an earlier one about the same thing does.
        """
        if not self._seconds or not (call.writes or any(other.about == call.about for other, _ in self._open)):
            committed(call.act())
            return
        self._open.append((call, committed))
        if len(self._open) == 1:
            run = self._run
            self._world.after(self._rng.uniform(0.0, self._seconds), lambda: self._commit(run))

    def _commit(self, run: int) -> None:
        if run != self._run:
            return
        group, self._open = self._open, []
        self._run += 1
        if len(group) > 1:
            self._count("group commits")
        for call, committed in group:
            committed(call.act())

    def crash(self) -> None:
        """The process dies: what was not committed never was."""
        if self._open:
            self._count("crashes before a commit")
        self._open = []
        self._run += 1
