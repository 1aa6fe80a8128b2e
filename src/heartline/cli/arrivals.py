"""The file a listener appends to, looked at from outside while listeners are killed and begin again.

Behind the text one more line is sent, the mark: once it is there, everything that was ever to come has come, what is
missing too, and what came twice.

Invariants:
- a file that becomes shorter (a listener took back what it had not kept) is counted anew
  (test_arrivals_are_counted_over_take_backs);
- the mark is no part of what arrived (test_the_mark_is_taken_away).
"""

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path

LOOK_EVERY = 0.05  # seconds


class Arrivals:
    """What is in the file `path`. `tell(lines, bytes)` is called when there is more or less of it."""

    def __init__(self, path: Path, tell: Callable[[int, int], None]) -> None:
        self.path = path
        self.mark: bytes = f"end of the proof {secrets.token_hex(16)}\n".encode()
        self._tell = tell
        self._lines = 0
        self._size = 0
        self._last = b""

    async def complete(self) -> None:
        """Look on until the mark is there."""
        while True:
            if await asyncio.to_thread(self.look):
                return
            await asyncio.sleep(LOOK_EVERY)

    def look(self) -> bool:
        """Count what is new; whether the mark is there."""
        with self.path.open("rb") as file:
            size = file.seek(0, 2)
            if size == self._size:
                return self._last == self.mark
            if size < self._size:
                self._lines = self._size = 0
            file.seek(self._size)
            while piece := file.read(1 << 20):
                self._lines += piece.count(b"\n")
                self._size += len(piece)
            file.seek(max(0, self._size - len(self.mark)))
            self._last = file.read(len(self.mark))
        marked = self._last == self.mark
        self._tell(self._lines - marked, self._size - marked * len(self.mark))
        return marked

    def finish(self) -> None:
        """Nobody writes any more: count, and take the mark away."""
        if self.look():
            with self.path.open("r+b") as file:
                file.truncate(self._size - len(self.mark))
