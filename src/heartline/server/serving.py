"""Beginning and ending to serve: hooks, draining, the event loop.

Invariants:
- no new links while clients are asked to move, whatever the dialect (test_stopping_drains,
  test_draining_closes_foreign_links);
- every shutdown hook runs, whatever others raise (test_hooks_that_fail).
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from heartline.core.codes import Code
from heartline.transports.api import Listener

from .hub import Hub

logger: logging.Logger = logging.getLogger("heartline.server")


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run on uvloop where it exists."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)


async def leave(hubs: Sequence[Hub], listener: Listener, drain: float) -> None:
    """Accept nothing more, ask clients to move, close what is left."""
    listener.close()
    try:
        if drain > 0:
            await asyncio.gather(*(hub.drain(drain) for hub in hubs))
        for hub in hubs:
            hub.close_links(Code.MOVED if drain > 0 else Code.GOING_AWAY, "the server stops")
        await listener.wait_closed()
    except asyncio.CancelledError:
        for hub in hubs:
            hub.abort()
        await listener.wait_closed()
        raise


async def run_all(hooks: list[Callable[[], Any]]) -> None:
    """Run every hook, whatever others raise; raise the first error at the end."""
    errors: list[Exception] = []
    for hook in hooks:
        try:
            await maybe(hook())
        except Exception as error:
            logger.exception("a shutdown hook failed")
            errors.append(error)
    if errors:
        raise errors[0]


async def maybe(value: Any) -> None:
    """Wait for what a hook returned, if it must be."""
    if hasattr(value, "__await__"):
        await value
