"""One process over all its lives: killed again and again, started again at once.

Invariants:
- killed means SIGKILL, after times drawn from the seed and counted from the moment the process stands
  (test_kills_are_drawn_from_the_seed);
- a process that ends by itself is not started again, and its status counts, whoever else wanted to kill it then
  (test_a_process_that_ends_by_itself_is_not_started_again).
"""

import asyncio
import enum
import math
import random
import signal
from collections.abc import Awaitable, Callable, Iterator

from .children import Child
from .exits import Stop

SPREAD = 0.5  # a life is shorter or longer than its average by up to this share


class Standing(enum.Enum):
    """Where a process stands."""

    STARTING = enum.auto()
    UP = enum.auto()
    KILLED = enum.auto()
    ENDED = enum.auto()


_LEGAL = {
    Standing.STARTING: {Standing.UP, Standing.ENDED},
    Standing.UP: {Standing.KILLED, Standing.ENDED},
    Standing.KILLED: {Standing.STARTING},
    Standing.ENDED: frozenset(),
}

Begin = Callable[[], Awaitable[Child]]
"""Starts a process and returns when it stands."""


def lifetimes(name: str, every: float, seed: int) -> Iterator[float]:
    """Seconds from standing to SIGKILL, one life after the other."""
    dice = random.Random(f"{name} {seed}")
    while True:
        yield every * dice.uniform(1.0 - SPREAD, 1.0 + SPREAD)


class Lives:
    """The lives of one process. `every`: the average seconds of a life, inf for one without end by force.

    `tell(killed)` is called at the end of each life. `kills` counts.
    """

    def __init__(self, name: str, begin: Begin, every: float, seed: int, tell: Callable[[bool], None]) -> None:
        self.kills: int = 0
        self.standing: Standing = Standing.STARTING
        self._name = name
        self._begin = begin
        self._lifetimes = lifetimes(name, every, seed)
        self._tell = tell

    async def run(self, first: Child | None = None) -> None:
        """Live until it ends by itself. Raises Stop when it fails. `first` is one that stands already."""
        child = first
        while True:
            if child is None:
                child = await self._begin()
            self._go(Standing.UP)
            killed = await self._live(child, next(self._lifetimes))
            self._tell(killed)
            if not killed:
                break
            self.kills += 1
            self._go(Standing.KILLED)
            self._go(Standing.STARTING)
            child = None
        self._go(Standing.ENDED)
        if status := child.process.returncode:
            raise Stop(f"the {self._name} ended with status {status}: {child.last_words()}")

    async def _live(self, child: Child, seconds: float) -> bool:
        """Whether it had to be killed."""
        going = asyncio.ensure_future(child.gone())
        try:
            await asyncio.wait({going}, timeout=None if math.isinf(seconds) else seconds)
            if going.done():
                return False
            child.kill()
            return await going == -signal.SIGKILL
        finally:
            going.cancel()

    def _go(self, new: Standing) -> None:
        if new not in _LEGAL[self.standing]:
            raise RuntimeError(f"the {self._name} cannot go from {self.standing.name} to {new.name}")
        self.standing = new
