"""Lines of a file descriptor, a bounded piece at a time, without blocking the event loop.

Invariants:
- lines end at a line feed and at nothing else; what they hold is not changed (test_lines_are_kept_byte_for_byte);
- no more than a few pieces are read ahead, however long the input is (test_input_is_read_with_back_pressure);
- a line longer than the limit is skipped, not held, and told as None (test_a_line_without_end_is_not_held).
"""

import asyncio
import os
import threading
from collections import deque

PIECE = 1 << 16
AHEAD = 2


class Lines:
    """Asynchronous iterator of batches: lists of (number, line without its line feed; None: too long).

    Numbers begin with 1. A last line without a line feed counts. Ends with the input; raises OSError.
    """

    def __init__(self, descriptor: int, longest: int) -> None:
        self.read: int = 0
        """bytes so far"""
        self._descriptor = descriptor
        self._longest = longest
        self._loop = asyncio.get_running_loop()
        self._pieces: deque[bytes | OSError] = deque()
        self._slots = threading.Semaphore(AHEAD)
        self._news: asyncio.Future[None] | None = None
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._number = 0
        self._ended = False
        # A thread of its own, since epoll knows no files; a daemon, since nothing ends a read of a silent terminal.
        threading.Thread(target=self._read_on, daemon=True, name="heartline-input").start()

    def __aiter__(self) -> "Lines":
        return self

    async def __anext__(self) -> list[tuple[int, bytes | None]]:
        while not self._ended:
            while not self._pieces:
                self._news = self._loop.create_future()
                await self._news
            piece = self._pieces.popleft()
            self._slots.release()
            if isinstance(piece, OSError):
                raise piece
            self.read += len(piece)
            batch = self._cut(piece) if piece else self._finish()
            if batch:
                return batch
        raise StopAsyncIteration

    def _cut(self, piece: bytes) -> list[tuple[int, bytes | None]]:
        first, feed, rest = piece.partition(b"\n")
        self._hold(first)
        if not feed:
            return []
        batch = [self._take_held()]
        *whole, last = rest.split(b"\n")
        number = self._number
        batch += [(n, line if len(line) <= self._longest else None) for n, line in enumerate(whole, number + 1)]
        self._number = number + len(whole)
        self._hold(last)
        return batch

    def _finish(self) -> list[tuple[int, bytes | None]]:
        self._ended = True
        return [self._take_held()] if self._held_bytes else []

    def _hold(self, part: bytes) -> None:
        self._held_bytes += len(part)
        if self._held_bytes > self._longest:
            self._held.clear()
        elif part:
            self._held.append(part)

    def _take_held(self) -> tuple[int, bytes | None]:
        self._number += 1
        line = b"".join(self._held) if self._held_bytes <= self._longest else None
        self._held.clear()
        self._held_bytes = 0
        return self._number, line

    def _read_on(self) -> None:
        while True:
            self._slots.acquire()
            piece: bytes | OSError
            try:
                piece = os.read(self._descriptor, PIECE)
            except OSError as error:
                piece = error
            try:
                self._loop.call_soon_threadsafe(self._take, piece)
            except RuntimeError:  # the loop is closed
                return
            if not piece or isinstance(piece, OSError):
                return

    def _take(self, piece: bytes | OSError) -> None:
        self._pieces.append(piece)
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
