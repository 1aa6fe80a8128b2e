"""A browser's process and the folder it keeps its things in.

- neither outlives the tests.
"""

import asyncio
import shutil
import signal
import tempfile
from contextlib import suppress
from os import killpg
from pathlib import Path

from tests.browser.tab import PATIENCE


class Process:
    """One process group with an empty folder of its own."""

    def __init__(self, inner: asyncio.subprocess.Process, folder: Path) -> None:
        self.inner = inner
        self.folder = folder
        self._drain: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, folder: Path, *command: str) -> "Process":
        """Start it; its stderr is to be read."""
        inner = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            limit=1 << 20,
            start_new_session=True,
        )
        return cls(inner, folder)

    def ignore_the_rest(self) -> None:
        """Nobody reads stderr any more: throw it away, so that the process never waits."""
        self._drain = asyncio.create_task(self._throw_away())

    async def stop(self) -> None:
        """End it with all its children."""
        with suppress(ProcessLookupError):
            killpg(self.inner.pid, signal.SIGKILL)
        async with asyncio.timeout(PATIENCE):
            await self.inner.wait()
            if self._drain is not None:
                await self._drain
        shutil.rmtree(self.folder, ignore_errors=True)

    async def _throw_away(self) -> None:
        assert self.inner.stderr is not None
        while await self.inner.stderr.read(1 << 16):
            pass


def empty_folder() -> Path:
    """A new one."""
    return Path(tempfile.mkdtemp(prefix="heartline-browser-"))
