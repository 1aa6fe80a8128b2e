"""An event loop for a command, and signals that end it.

Invariants:
- the first SIGINT or SIGTERM cancels the command, which tells what it did and cleans up; the exit status is then
  128 + the signal's number (test_interrupting_send_tells_how_far_it_came);
- a second one ends the process at once.
"""

import asyncio
import os
import signal
from collections.abc import Coroutine
from typing import Any


def run(job: Coroutine[Any, Any, int]) -> int:
    """Run a command's coroutine, on uvloop where it exists; its exit status."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(_guarded(job))
    return uvloop.run(_guarded(job))


async def first_of(*futures: "asyncio.Future[Any]") -> None:
    """Wait until one of them is done, whatever became of it."""
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


async def _guarded(job: Coroutine[Any, Any, int]) -> int:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    caught: list[int] = []

    def on_signal(number: int) -> None:
        if caught:
            os._exit(128 + number)
        caught.append(number)
        task.cancel()

    for each in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(each, on_signal, int(each))
        except NotImplementedError:  # Windows: Ctrl-C raises KeyboardInterrupt there
            break
    try:
        return await job
    except asyncio.CancelledError:
        if not caught:
            raise
        return 128 + caught[0]
