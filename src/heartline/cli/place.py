"""Where a listener goes on: a place in the channel, and how long its output was there, kept in a file.

Both are one mark of an outbox file, so they never disagree. What is in the output behind that length was written by a
process that was killed before it could say so; it is taken back, and comes again.

Invariants:
- each entry is in the output once, however often the listener is killed (test_a_killed_listener_writes_each_line_once);
- nothing of an output that somebody else changed is taken back (test_a_changed_output_is_left_alone);
- to a pipe at most `AHEAD` lines come again, with the same places (test_a_killed_listener_repeats_a_window_at_most).
"""

import argparse
import asyncio
import contextlib
import json
import os
import stat
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from .exits import Stop
from .terminal import say

if TYPE_CHECKING:
    from heartline.client import Connection, Cursor

AHEAD = 256  # lines that may be written beyond the place kept
KEEP_EVERY = 0.1  # seconds
TAIL = 1024  # bytes at the end of the output by which it is known again


def open_output(path: str) -> int:
    """Open a file to append to, for this process alone. Raises Stop."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as error:
        raise Stop(f"--output {path}: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Stop(f"--output {path}: expected a regular file; print to anything else by redirecting stdout")
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # Windows
        pass
    except OSError:
        os.close(descriptor)
        raise Stop(f"--output {path}: another listener writes to it") from None
    return descriptor


class Place:
    """The place of one channel in one file. Raises Stop when file and output do not belong together.

    `cursor` is where to go on, None in a file that has no place of this channel yet.
    """

    def __init__(self, connection: "Connection", args: argparse.Namespace, output: int | None) -> None:
        from heartline.client import Cursor

        self._connection = connection
        self._args = args
        self._output = output
        self._name = f"heartline listen {args.channel}"
        self._path = os.path.realpath(args.output) if output is not None else None
        self._length = 0 if output is None else os.fstat(output).st_size
        self._unkept = 0
        self._saving = asyncio.Lock()
        self._timer: asyncio.Task[None] | None = None
        self.cursor: Cursor | None = None
        kept = json.loads(connection.marks.get(self._name, "null"))
        if kept is not None:
            if output is not None:
                self._take_back(kept, output)
            self.cursor = Cursor(kept["epoch"], kept["offset"])

    def _take_back(self, kept: dict[str, Any], output: int) -> None:
        """Cut what was written after the place was kept."""
        args, length = self._args, kept["length"]
        if kept["output"] != self._path:
            other = kept["output"] or "stdout"
            raise Stop(f"--cursor: {args.cursor} goes with {other}, not with {args.output}: use another file")
        beyond = self._length - length
        if beyond < 0 or _tail(output, length) != kept["tail"]:
            raise Stop(
                f"--output: {args.output} was changed since {args.cursor} was written: use another file for --cursor, "
                "and --since to say where to begin"
            )
        if beyond:
            os.ftruncate(output, length)
            self._length = length
            if not args.quiet:
                say(f"{beyond:,} bytes at the end of {args.output} were not kept in {args.cursor}: they come again")

    async def begin(self, cursor: "Cursor") -> None:
        """The channel is followed from `cursor` on: keep that before anything is written."""
        self.cursor = cursor
        await self._save()
        self._timer = asyncio.create_task(self._keep_on())

    async def wrote(self, cursor: "Cursor", size: int) -> None:
        """An entry of so many bytes, a gap of none, was written up to `cursor`."""
        self.cursor = cursor
        self._length += size
        self._unkept += 1
        if self._unkept >= AHEAD:
            await self._save()

    async def close(self) -> None:
        """Keep the last place."""
        from heartline.core.errors import OutboxError

        if self._timer is None:
            return
        self._timer.cancel()
        await asyncio.wait({self._timer})
        if self._unkept:
            saving = asyncio.ensure_future(self._save())
            await asyncio.wait({saving}, timeout=1.0)
            await self._connection.close()
            with contextlib.suppress(OutboxError, OSError):  # then the lines come again
                await saving

    async def _keep_on(self) -> None:
        while True:
            await asyncio.sleep(KEEP_EVERY)
            if self._unkept:
                await self._save()

    async def _save(self) -> None:
        async with self._saving:
            cursor, length, unkept = self.cursor, self._length, self._unkept
            assert cursor is not None
            place: dict[str, Any] = {"epoch": cursor.epoch, "offset": cursor.offset}
            if self._output is not None:
                tail = await asyncio.to_thread(_synced_tail, self._output, length)
                place |= {"output": self._path, "length": length, "tail": tail}
            else:
                place |= {"output": None, "length": 0, "tail": ""}
            await self._connection.mark({self._name: json.dumps(place)})
            self._unkept -= unkept


def _synced_tail(descriptor: int, length: int) -> str:
    os.fsync(descriptor)
    return _tail(descriptor, length)


def _tail(descriptor: int, length: int) -> str:
    """A digest of the last bytes before `length`."""
    begin = max(0, length - TAIL)
    if hasattr(os, "pread"):
        last = os.pread(descriptor, length - begin, begin)
    else:  # Windows
        os.lseek(descriptor, begin, os.SEEK_SET)  # appending does not mind
        last = os.read(descriptor, length - begin)
    return blake2b(last, digest_size=16).hexdigest()
