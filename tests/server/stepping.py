"""Starting a coroutine and getting its value, whether it ends in its first step or later."""

from collections.abc import Coroutine
from typing import Any

from heartline.server.eager import Runner


def begin(runner: Runner, coroutine: Coroutine[Any, Any, Any]) -> tuple[bool, Any, Any]:
    """Whether it ended in its first step, its value then, and its task if not."""
    values = []

    async def kept() -> Any:
        values.append(await coroutine)
        return values[0]

    task = runner.start(kept())
    return task is None, values[0] if task is None else None, task


async def end(started: tuple[bool, Any, Any]) -> Any:
    """The value of what was started, whenever it comes."""
    done, value, task = started
    return value if done else await task
