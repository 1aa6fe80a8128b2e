"""The end of an event loop turn, shared by all links of a listener.

Invariant: one callback per turn, however many links send, and none in a turn in which nothing is sent.
"""

import asyncio
from typing import Protocol

__all__ = ["Turn"]


class _Flushable(Protocol):
    def flush(self) -> None: ...


class Turn:
    """Counts the turns in which something was sent, and flushes at the end of each what links have joined.

    A link compares `number` with the one it saw last, so a turn's first write needs no callback of its own.
    """

    __slots__ = ("_call_soon", "dirty", "due", "loop", "number")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self.number: int = 0
        self.due: bool = False  # the end of this turn is scheduled
        self.dirty: list[_Flushable] = []
        self._call_soon = loop.call_soon

    def arm(self) -> None:
        """Schedule the end of this turn; call when `due` is False."""
        self.due = True
        self._call_soon(self._end)

    def _end(self) -> None:
        self.number += 1
        self.due = False
        dirty = self.dirty
        if dirty:
            self.dirty = []
            for link in dirty:
                link.flush()
