"""Waiting for what a handler or a broker answers, and telling who asked.

These coroutines return nothing and raise nothing, so that whoever steps one has no exception to catch: see eager.py.

Invariant: exactly one of the two is called (test_every_started_message_ends, test_every_question_is_answered_once).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from heartline.core.server.session import Pending

    from .calls import Calls
    from .handler import Handler

_T = TypeVar("_T")


async def settle(calls: "Calls", pending: "Pending", handler: "Handler | None", answer: Awaitable[Any]) -> None:
    """End a message with what its handler returns or raises."""
    try:
        value = await answer
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the application's, told as a failure
        calls.end_badly(pending, error)
    else:
        calls.end_well(pending, handler, value)


async def tell(
    answer: Awaitable[_T],
    answered: Callable[[_T], None],
    failed: Callable[[BaseException], None],
    done: Callable[[], None],
) -> None:
    """Hand on the answer to a question or why there is none, and say when that is done."""
    try:
        value = await answer
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - handed to `failed`
        failed(error)
    else:
        answered(value)
    done()
