"""How messages end, as an application meets it: receipts, and the errors that outcomes are.

Invariants:
- awaiting a receipt gives the same outcome each time, to any number of tasks (test_a_receipt_can_be_awaited_twice);
- a receipt that nobody awaits warns nobody (test_an_abandoned_receipt_is_silent).
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator, Iterable
from typing import Any, TypeAlias

from msgspec import DecodeError, json

from heartline.core.effects import Settle
from heartline.core.enums import Outcome
from heartline.core.errors import Expired, HeartlineError, OutcomeUnknown, Rejected
from heartline.core.outbox import Kind, Message

Wake: TypeAlias = asyncio.Future[HeartlineError | None]
"""What somebody waits on. An error is a result here, so that none is left unretrieved when the waiter is cancelled."""


class Receipt:
    """What `send` and `publish` return: the message's number, and its outcome as soon as there is one.

    `await receipt` returns when the message was handled and raises `Rejected`, `Expired` or `OutcomeUnknown`
    otherwise. While no outcome can come (refused for good, given up) it raises `LoginRefused`, `GaveUp` or the like;
    the message stays in the outbox, and the receipt can be awaited again. A receipt that nobody awaits warns nobody.
    """

    __slots__ = ("_store", "_wait", "n", "settled")

    def __init__(
        self,
        n: int,
        wait: Callable[["Receipt"], Coroutine[Any, Any, None]],
        store: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self.n: int = n
        self.settled: Settle | None = None
        self._wait = wait
        self._store = store

    @property
    def outcome(self) -> Outcome | None:
        """How the message ended; None: it has not."""
        return None if self.settled is None else outcome_of(self.settled)

    async def stored(self) -> None:
        """Wait until the message is in the file of a durable outbox; returns at once where there is none.

        Raises OutboxError when the connection was closed before it could be written.
        """
        if self._store is not None and self.settled is None:
            await self._store()

    def __await__(self) -> Generator[Any, None, None]:
        if self.settled is None:
            yield from self._wait(self).__await__()
        assert self.settled is not None
        if self.settled.outcome is not Outcome.HANDLED:
            raise error_of(self.settled)

    def __repr__(self) -> str:
        return f"<Receipt n={self.n} {self.outcome.value if self.outcome else 'not settled'}>"


class Restored(Receipt):
    """The receipt of a message that an earlier process left in the file of a durable outbox.

    `channel` is that of a publication, None for what was sent or requested.
    """

    __slots__ = ("_message",)

    def __init__(self, message: Message, wait: Callable[[Receipt], Coroutine[Any, Any, None]]) -> None:
        super().__init__(message.n, wait)
        self._message = message

    @property
    def event(self) -> str:
        """The event's name."""
        return self._message.event

    @property
    def channel(self) -> str | None:
        """The channel of a publication."""
        return self._message.target if self._message.kind is Kind.PUB else None

    @property
    def data(self) -> Any:
        """What was sent, as plain JSON values."""
        return json.decode(self._message.data)

    @property
    def reply(self) -> Any:
        """The reply to a request, as plain JSON values; None as long as there is none."""
        settled = self.settled
        return None if settled is None or settled.outcome is not Outcome.HANDLED else json.decode(settled.body)


def outcome_of(settled: Settle) -> Outcome:
    """The outcome as the sender sees it: a server that says that it cannot know has not rejected (PROTOCOL 3.3)."""
    if settled.outcome is Outcome.REJECTED and _failure_of(settled).get("code") == "unknown":
        return Outcome.UNKNOWN
    return settled.outcome


def _failure_of(settled: Settle) -> dict[str, Any]:
    try:
        body = json.decode(settled.body)
    except DecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def error_of(settled: Settle) -> HeartlineError:
    """The error that an outcome other than handled is."""
    event, outcome = settled.message.event, outcome_of(settled)
    if outcome is Outcome.EXPIRED:
        return Expired(f"{event!r} was never sent: {settled.reason}")
    body = {} if outcome is Outcome.HANDLED else _failure_of(settled)
    if outcome is Outcome.UNKNOWN:
        reason = settled.reason if settled.outcome is outcome else body.get("message", "")
        return OutcomeUnknown(f"{event!r} was sent, and nobody knows whether it was handled: {reason}")
    code, message = body.pop("code", "failed"), body.pop("message", "")
    return Rejected(str(code), str(message), body)


def wake(futures: Iterable[Wake], error: Callable[[], HeartlineError | None] = lambda: None) -> None:
    """Tell waiters to look again, or what to raise: a new error each."""
    for future in futures:
        if not future.done():
            future.set_result(error())
