"""Keeps a hang-up during a TLS handshake out of the log.

aiofastnet 1.2 reports it to the loop's exception handler, and with the exception's class where the exception belongs,
so asyncio's default handler fails on it in turn: two tracebacks at ERROR for every port scanner, and nothing an
operator could do about it.

Invariants:
- Only that report is dropped; every other one goes where it went before.
- A loop's handler is wrapped once, however many listeners and dials there are.
"""

import asyncio
from typing import Any

__all__ = ["hush_hang_ups"]


class _Hush:
    """An exception handler around the one that was set before."""

    def __init__(self, before: Any) -> None:
        self._before = before

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if context.get("exception") is ConnectionResetError:  # the class itself: never a report of anybody else
            return
        if self._before is None:
            loop.default_exception_handler(context)
        else:
            self._before(loop, context)


def hush_hang_ups(loop: asyncio.AbstractEventLoop) -> None:
    """Call before TLS is spoken on the loop."""
    current = loop.get_exception_handler()
    if not isinstance(current, _Hush):
        loop.set_exception_handler(_Hush(current))
