"""Other processes of this same command, and their end.

Invariants:
- all of them are ended whatever happens here: an error, a signal, a time-out (test_prove_leaves_no_process);
- what a child says on stderr is heard line by line, so that none of them ever waits for us.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Self

from .exits import Stop

START = 20.0  # seconds until a child must have said its first line
END = 5.0  # seconds for an orderly end
LINE = 1 << 20
KEPT = 10

Heard = Callable[[str, dict[str, Any] | str], None]
"""Called with (name, what a child said on stderr or stdout): an object where the line is JSON, text otherwise."""


class Child:
    """One process."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.process = process
        self.said: deque[str] = deque(maxlen=KEPT)
        self.tasks: list[asyncio.Task[None]] = []
        self.spoke: asyncio.Event = asyncio.Event()
        """it said something on stderr, or never will"""

    async def first_line(self) -> str:
        """The first line on stdout. Raises Stop when there is none."""
        assert self.process.stdout is not None
        try:
            line = await asyncio.wait_for(self.process.stdout.readline(), START)
        except TimeoutError:
            raise Stop(f"the {self.name} did not start within {START:.0f} s", 1) from None
        if not line:
            await self.gone()
            raise Stop(f"the {self.name} did not start: {self.last_words()}", 1)
        return line.decode().strip()

    async def first_word(self) -> None:
        """Wait until it has said something on stderr, or has ended. Raises Stop when neither comes."""
        try:
            await asyncio.wait_for(self.spoke.wait(), START)
        except TimeoutError:
            raise Stop(f"the {self.name} did not start within {START:.0f} s", 1) from None

    async def gone(self) -> int:
        """Wait for its end and for everything it said; its exit status, negative for a signal."""
        status = await self.process.wait()
        if self.tasks:
            await asyncio.wait(self.tasks)
        return status

    def last_words(self) -> str:
        """What it said last on stderr."""
        return self.said[-1] if self.said else "it said nothing"

    def kill(self) -> None:
        """SIGKILL."""
        if self.process.returncode is None:
            self.process.kill()


class Children:
    """Starts children; ends them all when the block is left."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._all: list[Child] = []

    async def start(self, name: str, words: Sequence[str], *, stdin: BinaryIO | None = None) -> Child:
        """Run `heartline WORDS`. Its stderr is heard; stdout is for the caller to read, or for `hear_stdout`."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "heartline", *words,
            stdin=stdin if stdin is not None else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(),
            limit=LINE,
            start_new_session=True,  # Ctrl-C is ours: it ends them in order
            preexec_fn=_ending_with_parent(),
        )  # fmt: skip
        child = Child(name, process)
        self._all.append(child)
        assert process.stderr is not None
        child.tasks.append(asyncio.ensure_future(self._hear(child, process.stderr)))
        return child

    def hear_stdout(self, child: Child) -> None:
        """Hear its stdout as well."""
        assert child.process.stdout is not None
        child.tasks.append(asyncio.ensure_future(self._hear(child, child.process.stdout)))

    async def end(self, child: Child) -> None:
        """Ask one to end, and insist after a while."""
        if child.process.returncode is None:
            child.process.send_signal(signal.SIGINT)
            try:
                await asyncio.wait_for(child.process.wait(), END)
            except TimeoutError:
                child.kill()
        await child.gone()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for child in self._all:
            child.kill()
        for child in self._all:
            await child.process.wait()
            for task in child.tasks:
                task.cancel()
        if tasks := [task for child in self._all for task in child.tasks]:
            await asyncio.wait(tasks)

    async def _hear(self, child: Child, stream: asyncio.StreamReader) -> None:
        try:
            await self._hear_lines(child, stream)
        finally:
            child.spoke.set()

    async def _hear_lines(self, child: Child, stream: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await stream.readline()
            except ValueError:  # longer than anything a child has to say
                continue
            if not line:
                return
            text = line.decode(errors="replace").rstrip()
            if text.startswith("{"):
                with contextlib.suppress(ValueError):  # a kill may cut it off
                    self._heard(child.name, json.loads(text))
                    child.spoke.set()
            elif text:
                child.said.append(text)
                self._heard(child.name, text)


def _environment() -> dict[str, str]:
    """Ours, and this very package first on the path."""
    here = str(Path(__file__).resolve().parents[2])
    rest = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{rest}" if rest else here, "PYTHONUNBUFFERED": "1"}


def _ending_with_parent() -> Callable[[], None] | None:
    """Linux: what ends a child when its parent is killed and can end nobody."""
    if sys.platform != "linux":
        return None
    import ctypes

    prctl = ctypes.CDLL(None).prctl  # looked up here: a forked child does as little as possible
    return lambda: prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
