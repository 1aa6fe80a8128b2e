"""The connection as an application holds it.

Invariants:
- closing is immediate and final in every state, and leaves no task, timer or socket (test_close_in_every_state);
- one that is dropped without being closed warns with ResourceWarning (test_a_dropped_connection_warns);
- any of its awaits may be cancelled at any moment (test_cancel_anything_at_any_time).
"""

import asyncio
import logging
import warnings
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from msgspec import DecodeError

from heartline.core.enums import State
from heartline.core.errors import HeartlineError
from heartline.core.outbox import CALL, PUB, SEND
from heartline.transports.clock import now

from .items import Gap, Since
from .lane import Lane
from .options import Options
from .outgoing import KEPT, Marks, Speller, check_seconds, checked_marks
from .reading import convert, decoder_of, plain, unexpected
from .receipt import Receipt, Restored, error_of
from .shell import Shell
from .states import StateChange, StateWatch
from .subscription import Subscription

if TYPE_CHECKING:
    from heartline.dialects.spec import Delivery

    from .durable import Durable

_logger = logging.getLogger("heartline.client")

T = TypeVar("T")
HandlerT = TypeVar("HandlerT", bound=Callable[..., object])


class Connection:
    """One session with a server, over as many links as it takes. `connect` makes one.

    Use it with `async with`, or call `start` and later `close`. It dials in the background; nothing here waits for the
    network unless it says so. All methods belong to the loop in which it was started.

    While it is refused for good (`State.REFUSED`) whatever sends or waits raises the reason: `LoginRefused`,
    `Replaced`, `ConnectionClosed` or `BadFrame`. When it has given up (`State.GAVE_UP`, only with
    `ClientPolicy.max_attempts`) requests and sends wait on, requests until their time-out, and what has no time-out
    raises `GaveUp`. `retry_now()` is the way back from both.
    """

    def __init__(self, options: Options) -> None:
        self._shell = Shell(options)
        self._outcomes = self._shell.outcomes
        self._speller = Speller(options)
        self._starting = asyncio.Lock()

    # --- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to dial. Does not wait for the network. A second call does nothing; a closed connection stays closed.

        With a durable outbox its file is opened first: raises `OutboxError` when that cannot be used.
        """
        async with self._starting:
            if self.state is State.CLOSED:
                raise RuntimeError("this connection was closed: make a new one with heartline.connect()")
            if self._shell.loop is None:
                await self._shell.start(asyncio.get_running_loop())

    async def close(self) -> None:
        """Leave at once and for good. May be called again, anywhere.

        What is not settled ends as expired or unknown; a durable outbox keeps it, without an outcome. The session stays
        at the server for as long as that keeps it. Returns when sockets, tasks and the file are gone: at once, or after
        about a second when the server does not answer the goodbye.
        """
        self._shell.close()
        await self._shell.wait_gone()

    async def end(self, *, marks: Mapping[str, str] | None = None) -> None:
        """Tell the server to forget the session, then close. Offline nobody can be told: the server's own time ends it.

        A durable outbox is emptied: messages, session, places in channels and marks. `marks` are what it holds from
        then on, put there in the same transaction: so a program that is killed now still knows that it was done.
        """
        if marks is not None:
            self._check_started(marks)
        self._shell.close(end=True, marks=marks)
        await self._shell.wait_gone()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close; without an exception wait up to `linger` seconds first, until everything sent is settled."""
        try:
            if kind is None and self.pending:
                await self._linger()
        finally:
            await self.close()

    async def _linger(self) -> None:
        try:
            await self.settled(self._shell.options.linger)
        except (TimeoutError, HeartlineError) as error:
            if self.state is not State.CLOSED and self._shell.durable is None:
                _logger.warning("closed with %d messages not settled (%s)", self.pending, error)

    def __del__(self) -> None:
        shell = getattr(self, "_shell", None)
        if shell is None or shell.loop is None or shell.machine.state is State.CLOSED:
            return
        warnings.warn(f"{self!r} was dropped without being closed", ResourceWarning, source=self, stacklevel=2)
        if not shell.loop.is_closed():
            shell.loop.call_soon_threadsafe(shell.abandon)

    def __repr__(self) -> str:
        return f"<Connection {self.state.value}, {self.pending} pending>"

    # --- how it stands --------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where it stands."""
        return self._shell.machine.state

    @property
    def session_id(self) -> str | None:
        """The session's public name; None before the first welcome."""
        return self._shell.machine.session

    @property
    def kept(self) -> dict[str, Any]:
        """What the server of a dialect gave to keep for the next login, {} otherwise.

        A durable outbox keeps it; without one give it to the next process, `connect(keep=…)`.
        """
        foreign = self._shell.foreign
        return {} if foreign is None else dict(foreign.translator.kept)

    @property
    def pending(self) -> int:
        """Messages that have no outcome yet."""
        return len(self._shell.machine.outbox)

    @property
    def trouble(self) -> str:
        """Why a durable outbox cannot be written at the moment; "" when it can. It is tried again and again."""
        durable = self._shell.durable
        return "" if durable is None else durable.trouble

    @property
    def restored(self) -> list[Restored]:
        """Receipts of the messages that an earlier process left in the file, oldest first; empty before `start`."""
        return list(self._outcomes.restored)

    async def connected(self, timeout: float | None = None) -> None:
        """Wait until messages flow. Raises TimeoutError, `GaveUp`, and what refused the connection."""
        async with asyncio.timeout(timeout):
            await self._shell.states.connected()

    async def settled(self, timeout: float | None = None) -> None:
        """Wait until every message has its outcome. Raises TimeoutError, `GaveUp`, and what refused the connection."""
        async with asyncio.timeout(timeout):
            await self._outcomes.all_settled()

    def watch(self) -> StateWatch:
        """Iterate over state changes from now on. It ends when the connection is closed; the last 64 are kept."""
        return self._shell.states.watch()

    def on_state(self, callback: Callable[[StateChange], object]) -> Callable[[], None]:
        """Call a function with every `StateChange`. Returns a function that ends this."""
        return self._shell.states.listen(callback)

    def retry_now(self) -> None:
        """The person wants it now: dial at once if waiting, given up or refused; probe the link if open."""
        self._shell.machine.retry_now(now())
        self._shell.run()

    def network_changed(self) -> None:
        """The system said that the network changed: dial at once if waiting, probe the link if open."""
        self._shell.machine.hint(now(), "the network changed")
        self._shell.run()

    def resumed_from_background(self) -> None:
        """The application is in the foreground again: dial at once if waiting, probe the link if open."""
        self._shell.machine.hint(now(), "back in the foreground")
        self._shell.run()

    # --- up -------------------------------------------------------------------------------------

    @overload
    async def request(
        self,
        event: str,
        data: object = None,
        *,
        type: type[T],
        timeout: float | None = 30.0,
        delivery: "Delivery | None" = None,
        channel: str | None = None,
    ) -> T: ...

    @overload
    async def request(
        self,
        event: str,
        data: object = None,
        *,
        type: Any = None,
        timeout: float | None = 30.0,
        delivery: "Delivery | None" = None,
        channel: str | None = None,
    ) -> Any: ...

    async def request(
        self,
        event: str,
        data: object = None,
        *,
        type: Any = None,  # noqa: A002  # the word that says it
        timeout: float | None = 30.0,
        delivery: "Delivery | None" = None,
        channel: str | None = None,
    ) -> Any:
        """Have an event handled and return its reply, as `type` or as plain JSON values.

        `timeout`: seconds, None waits for ever. `delivery`: with "at_least_once" handling it twice does no harm, so
        where nobody knows whether it was handled it is sent again instead of ending as unknown; None is
        "at_most_once", or what the dialect says. `channel`: only for dialects whose requests name one. Cancelling it
        takes the message back if it was never written.

        Raises `Rejected` (the server's `code`, `message`, `details`), `Expired` (it never left: not sent in time,
        dropped, closed before), `RequestTimeout` (sent, may still be handled), `OutcomeUnknown`, `OutboxFull`,
        `UnexpectedData` (handled, but the reply does not fit `type`), and what closed or refused the connection.
        """
        if self._shell.loop is None:
            self._check_started()
        if timeout is not None:
            check_seconds("timeout", timeout)
        outcomes = self._outcomes
        out = self._speller.message(CALL, event, data, channel, delivery)
        decoder = plain if type is None else decoder_of(type)
        n, future = outcomes.request(out, timeout) or await outcomes.request_later(out, timeout)
        try:
            reply = await future
        except asyncio.CancelledError:
            outcomes.take_back(n)
            raise
        if isinstance(reply, bytes):
            try:
                return decoder(reply)
            except (DecodeError, RecursionError) as error:
                raise unexpected(f"the reply to {event!r}", error) from None
        raise reply if isinstance(reply, HeartlineError) else error_of(reply)

    async def send(
        self,
        event: str,
        data: object = None,
        *,
        expires: float | None = None,
        delivery: "Delivery | None" = None,
        channel: str | None = None,
        marks: Marks = None,
    ) -> Receipt:
        """Queue a message to be handled once, in order. Waits for room only, and only if the outbox's policy is WAIT.

        With a durable outbox it returns when the message is stored; cancelled before, the message is taken back.

        `expires`: seconds after which it is not worth sending any more; a message that an earlier process left never
        expires. `delivery`, `channel`: as for `request`. `marks`: see `mark`. Await the `Receipt` for the outcome, or drop it. Raises `OutboxFull`,
        `OutboxError` when it was closed before the message could be stored, and what closed or refused the connection.
        """
        self._check_started(marks)
        out = self._speller.message(SEND, event, data, channel, delivery, expires, marks)
        outcomes = self._outcomes
        return await outcomes.send(out) if outcomes.waits else outcomes.send_nowait(out)

    def send_nowait(
        self,
        event: str,
        data: object = None,
        *,
        expires: float | None = None,
        delivery: "Delivery | None" = None,
        channel: str | None = None,
        marks: Marks = None,
    ) -> Receipt:
        """As `send`, from code that cannot wait: raises `OutboxFull` when there is no room.

        `await receipt.stored()` waits until a durable outbox has it.
        """
        self._check_started(marks)
        out = self._speller.message(SEND, event, data, channel, delivery, expires, marks)
        return self._outcomes.send_nowait(out)

    async def publish(
        self,
        channel: str,
        data: object = None,
        event: str = "message",
        *,
        expires: float | None = None,
        delivery: "Delivery | None" = None,
        marks: Marks = None,
    ) -> Receipt:
        """Add an entry to a channel, if the server lets us. Otherwise as `send`."""
        self._check_started(marks)
        out = self._speller.message(PUB, event, data, channel, delivery, expires, marks)
        outcomes = self._outcomes
        return await outcomes.send(out) if outcomes.waits else outcomes.send_nowait(out)

    def publish_nowait(
        self,
        channel: str,
        data: object = None,
        event: str = "message",
        *,
        expires: float | None = None,
        delivery: "Delivery | None" = None,
        marks: Marks = None,
    ) -> Receipt:
        """As `publish`, from code that cannot wait, like `send_nowait`."""
        self._check_started(marks)
        out = self._speller.message(PUB, event, data, channel, delivery, expires, marks)
        return self._outcomes.send_nowait(out)

    @property
    def marks(self) -> dict[str, str]:
        """The marks in the file of a durable outbox, by name; empty before `start`."""
        durable = self._shell.durable
        return {} if durable is None else {name: mark for name, mark in durable.marks.items() if name != KEPT}

    async def mark(self, marks: Mapping[str, str | None]) -> None:
        """Store small texts of your own beside a durable outbox; None removes one. Returns when they are stored.

        Given to `send` or `publish` instead, they are stored in one transaction with the message: so a program knows
        after a crash which of its input it has sent. Raises `OutboxError` when it was closed before.
        """
        durable = self._check_started(marks)
        if not marks or durable is None:
            return
        durable.mark(marks)
        await durable.stored(durable.serial)

    def _check_started(self, marks: Marks = None) -> "Durable | None":
        shell = self._shell
        if shell.loop is None and self.state is not State.CLOSED:
            raise RuntimeError("this connection was not started: use `async with`, or `await conn.start()`")
        if marks is not None:
            checked_marks(marks)
            if shell.durable is None:
                raise ValueError("marks: only a durable outbox keeps them, connect(…, outbox=FILE)")
        return shell.durable

    # --- down -----------------------------------------------------------------------------------

    @overload
    def subscribe(
        self,
        channel: str,
        *,
        since: Since = None,
        args: object = None,
        type: type[T],
        callback: Callable[..., object] | None = None,
    ) -> Subscription[T]: ...

    @overload
    def subscribe(
        self,
        channel: str,
        *,
        since: Since = None,
        args: object = None,
        type: Any = None,
        callback: Callable[..., object] | None = None,
    ) -> Subscription[Any]: ...

    def subscribe(
        self,
        channel: str,
        *,
        since: Since = None,
        args: object = None,
        type: Any = None,  # noqa: A002  # the word that says it
        callback: Callable[..., object] | None = None,
    ) -> Subscription[Any]:
        """Follow a channel: iterate over what this returns, or give a `callback`, which gets each item.

        `since`: None or "now" from now on, but with a durable outbox None goes on where this client, or a process
        before it, had got; "beginning" from the oldest entry kept; a `Cursor` (or an offset, in
        whatever epoch there is) behind that place. `args`: what a dialect's subscription says (docs/dialects.md). `type`: what each entry's data has to fit. A callback is a
        function or coroutine function; what it raises is logged, and the entry counts as handled.

        A channel is followed once on a connection: a second subscription of it raises ValueError, for each handles at
        its own pace and the server keeps one place. "@who/" before the name of a channel with presence follows who
        is there: its `state` is the list, its entries are "join" and "leave".
        """
        self._speller.subscription(channel, args, since)
        decoder = decoder_of(type)
        shell = self._shell
        if callback is not None and not callable(callback):
            raise TypeError(f"callback: expected a function, got {callback.__class__.__name__}")
        error = shell.states.refusal() if self.state is State.CLOSED else None
        if error is not None:
            raise error
        feed = shell.follow(channel, since, decoder, args)
        if callback is not None:
            feed.lane = Lane(
                lambda _item: f"the callback of {channel!r}",
                lambda item: _awaitable(callback(convert(item, decoder))),
                feed.handled,
                shell.tasks,
            )
        subscription = Subscription[Any](feed, self, shell.states.dead_end, shell.unfollow, shell.dropped)
        shell.run()
        return subscription

    @overload
    def on(self, event: str, handler: HandlerT, *, type: Any = None) -> HandlerT: ...

    @overload
    def on(self, event: str, handler: None = None, *, type: Any = None) -> Callable[[HandlerT], HandlerT]: ...

    def on(
        self,
        event: str,
        handler: Any = None,
        *,
        type: Any = None,  # noqa: A002  # the word that says it
    ) -> Any:
        """Call `handler(data)` for each such event sent to this session, or volatile on a channel followed.

        Functions and coroutine functions; one at a time, in order. One with two parameters gets `(data, item)`, the
        item being an `Entry` or a `Volatile`. Data fits `type`, or else the first parameter's annotation. What a
        handler raises is logged, and the event counts as handled. Also a decorator: `@conn.on("event")`.
        """
        return self._register(event, handler, type, once=False)

    @overload
    def once(self, event: str, handler: HandlerT, *, type: Any = None) -> HandlerT: ...

    @overload
    def once(self, event: str, handler: None = None, *, type: Any = None) -> Callable[[HandlerT], HandlerT]: ...

    def once(
        self,
        event: str,
        handler: Any = None,
        *,
        type: Any = None,  # noqa: A002  # the word that says it
    ) -> Any:
        """As `on`, for the next such event only."""
        return self._register(event, handler, type, once=True)

    def off(self, event: str, handler: Callable[..., object] | None = None) -> None:
        """Remove a handler, or all of an event. One that is not there is no error."""
        self._shell.bus.off(event, handler)

    def on_gap(self, handler: Callable[[Gap], object]) -> Callable[[Gap], object]:
        """Call a function with a `Gap` when events sent to this session may be lost. Without one that is logged."""
        self._shell.bus.on_gap(handler)
        return handler

    def _register(self, event: str, handler: Any, wanted: Any, *, once: bool) -> Any:
        if handler is None:
            return lambda decorated: self._register(event, decorated, wanted, once=once)
        self._shell.bus.on(event, handler, wanted, once=once)
        return handler


def _awaitable(result: object) -> Any:
    return result if hasattr(result, "__await__") else None
