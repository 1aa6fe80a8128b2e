"""`heartline prove` as a process of its own, started from a page.

Invariants, tests in ``tests/demo/test_prover.py``:
- one run at a time, however many ask (test_one_run_at_a_time);
- every run ends with a verdict, also one that was stopped or failed (test_every_run_has_a_verdict);
- no process outlives the gallery (test_closing_ends_the_run).
"""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

Tell = Callable[[str, dict[str, Any]], Awaitable[object]]
"""Called with "started", "progress" or "verdict", and what belongs to it."""

EVERY = 0.5  # seconds between two reports
END = 5.0  # seconds for an orderly end
_LINE = 1 << 20


class Prover:
    """Runs it on request. `tell` is awaited for each report, in order."""

    def __init__(self, tell: Tell, options: tuple[str, ...] = ()) -> None:
        self._tell = tell
        self._options = options
        self._number = 0
        self._run: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._stopped = False

    @property
    def running(self) -> bool:
        """Whether one is under way."""
        return self._run is not None and not self._run.done()

    def start(self) -> int | None:
        """Begin a run; its number, or None while another one is under way."""
        if self.running:
            return None
        self._number += 1
        self._stopped = False
        self._run = asyncio.create_task(self._prove(self._number), name="heartline-demo-prove")
        return self._number

    def stop(self) -> bool:
        """Ask the run to end; False when there is none."""
        if not self.running:
            return False
        self._stopped = True
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGINT)
        return True

    async def close(self) -> None:
        """End the run, and wait for that."""
        if self._run is None:
            return
        self.stop()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({self._run}, timeout=END)
        self._run.cancel()
        await asyncio.wait({self._run})

    async def _prove(self, number: int) -> None:
        await self._tell("started", {"run": number})
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "heartline", "prove", "--json", "--quiet", "--stats-every", f"{EVERY:g}",
            *self._options,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LINE,
            start_new_session=True,  # Ctrl-C is the gallery's: it ends the run in order
        )  # fmt: skip
        self._process = process
        try:
            if self._stopped:
                process.send_signal(signal.SIGINT)
            assert process.stdout is not None
            out = asyncio.create_task(process.stdout.read(_LINE))
            last = await self._hear(process, number)
            verdict = _verdict(await out, last, await process.wait(), stopped=self._stopped)
            await self._tell("verdict", {"run": number, **verdict})
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def _hear(self, process: asyncio.subprocess.Process, number: int) -> str:
        """Pass its reports on; the last line that is none."""
        assert process.stderr is not None
        last = ""
        while line := await process.stderr.readline():
            text = line.decode(errors="replace").strip()
            try:
                counts = json.loads(text)
            except ValueError:
                last = text or last
            else:
                if isinstance(counts, dict):
                    await self._tell("progress", {"run": number, **counts})
        return last


def _verdict(out: bytes, last: str, status: int, *, stopped: bool) -> dict[str, Any]:
    """What a page shows at the end: the result, or why there is none."""
    try:
        result = json.loads(out)
    except ValueError:
        result = None
    if isinstance(result, dict):
        return result
    return {"ok": False, "stopped": stopped, "problems": [last or f"it ended with status {status}"]}
