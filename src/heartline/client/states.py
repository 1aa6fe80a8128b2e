"""The connection's state as an application sees it: changes, callbacks, and waiting for "connected".

Invariants:
- every move of the machine is one `StateChange`, told in order (test_state_changes_are_told_in_order);
- who waits for the connection is told when waiting makes no sense any more (test_connected_raises_at_a_dead_end).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Self
from weakref import WeakSet

from msgspec import Struct

from heartline.core.codes import Code
from heartline.core.effects import Changed
from heartline.core.enums import State
from heartline.core.errors import BadFrame, ConnectionClosed, GaveUp, HeartlineError, LoginRefused, Replaced

_logger = logging.getLogger("heartline.client")

KEPT_CHANGES = 64
_UP = frozenset({State.OPEN, State.MOVING})
_LOGIN = frozenset({Code.LOGIN_REFUSED, Code.NOT_YOUR_SESSION, Code.TOO_MANY_SESSIONS, Code.POLICY})


class StateChange(Struct, frozen=True):
    """The connection went from `old` to `new`; where both are equal, only the news is `reason`.

    `attempt` numbers the dials. `code` is the close code where there was one; `retry_in` the seconds until the next
    dial when `new` is WAITING.
    """

    old: State
    new: State
    reason: str
    attempt: int
    code: int | None = None
    retry_in: float | None = None


class States:
    """Where the connection stands, and who wants to know."""

    def __init__(self, want_delivery: Callable[["States"], None]) -> None:
        self.last: StateChange = StateChange(State.IDLE, State.IDLE, "", 0)
        self.denied: bool = False
        """the last dial was refused by HTTP 401 or 403"""
        self._want_delivery = want_delivery
        self._listeners: list[Callable[[StateChange], object]] = []
        self._watchers: WeakSet[StateWatch] = WeakSet()
        self._waiting: list[asyncio.Future[None]] = []
        self._news: deque[StateChange] = deque()

    def changed(self, effect: Changed) -> StateChange:
        """Take an effect of the machine. Callbacks are called later, by `deliver`."""
        change = StateChange(
            State(effect.old), State(effect.new), effect.reason, effect.attempt, effect.code, effect.retry_in
        )
        self.last = change
        for watch in self._watchers:
            watch.queue.append(change)
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)
        if self._listeners:
            self._news.append(change)
            self._want_delivery(self)
        return change

    def deliver(self) -> None:
        """Call the callbacks."""
        while self._news:
            change = self._news.popleft()
            for listener in list(self._listeners):
                try:
                    listener(change)
                except Exception:
                    _logger.exception("a state callback raised")

    def listen(self, listener: Callable[[StateChange], object]) -> Callable[[], None]:
        """Call `listener` from now on; returns what ends it."""
        if not callable(listener):
            raise TypeError(f"callback: expected a function, got {type(listener).__name__}")
        self._listeners.append(listener)

        def stop() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop

    def watch(self) -> "StateWatch":
        """Changes from now on until the connection is closed."""
        watch = StateWatch(self)
        self._watchers.add(watch)
        return watch

    async def next(self) -> None:
        """Wait for any change."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await future
        finally:
            if future in self._waiting:
                self._waiting.remove(future)

    async def connected(self) -> None:
        """Wait until messages flow; raise at a dead end."""
        while self.last.new not in _UP:
            error = self.dead_end()
            if error is not None:
                raise error
            await self.next()

    def refusal(self) -> HeartlineError | None:
        """Why nothing can be sent: closed or refused for good. A new error each time."""
        last = self.last
        if last.new is State.CLOSED:
            return ConnectionClosed("this connection was closed: nothing more can be sent on it")
        if last.new is not State.REFUSED:
            return None
        if last.code in _LOGIN or (last.code is None and self.denied):
            return LoginRefused(last.reason)
        if last.code == Code.REPLACED:
            return Replaced(last.reason or "another instance took this session over")
        if last.code == Code.BAD_FRAME:
            return BadFrame(last.reason)
        return ConnectionClosed(last.reason or f"closed by the server with {last.code}")

    def dead_end(self) -> HeartlineError | None:
        """Why waiting makes no sense: as `refusal`, or nobody dials any more."""
        if self.last.new is State.GAVE_UP:
            return GaveUp(self.last.reason)
        return self.refusal()


class StateWatch:
    """An asynchronous iterator of changes; it ends when the connection is closed. Keeps the last 64 not yet read."""

    __slots__ = ("__weakref__", "_states", "queue")

    def __init__(self, states: States) -> None:
        self.queue: deque[StateChange] = deque(maxlen=KEPT_CHANGES)
        self._states = states

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StateChange:
        while not self.queue:
            if self._states.last.new is State.CLOSED:
                raise StopAsyncIteration
            await self._states.next()
        return self.queue.popleft()
