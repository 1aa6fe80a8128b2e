"""One followed channel inside the connection: what came and is not handled yet, how it stands, who waits.

The `Feed` belongs to the connection; the `Subscription` that the application holds refers to it and may be dropped.

Invariants:
- an item counts as handled when the next one is asked for or the callback ended (test_handled_is_asking_for_the_next);
- what came before a refusal is handed over before the refusal (test_entries_before_a_refusal_come_first).
"""

import asyncio
from collections import deque
from collections.abc import Callable

from msgspec import json

from heartline.core.client import ClientMachine
from heartline.core.effects import Entry, Lost, Subscribed, Unsubscribed
from heartline.core.errors import HeartlineError, SubscriptionRefused
from heartline.transports.clock import now

from .items import Cursor
from .lane import Lane
from .receipt import Wake, wake

_OVERHEAD = 64  # of an entry's frame beside its data: what counts against the credit


class Feed:
    """One channel. `run_soon` has what the machine wants carried out."""

    __slots__ = (
        "_machine",
        "_run_soon",
        "_state",
        "args",
        "channel",
        "closed",
        "cursor",
        "granted",
        "held",
        "lane",
        "queue",
        "refused",
        "waiting",
    )

    def __init__(
        self, channel: str, cursor: Cursor | None, machine: ClientMachine, run_soon: Callable[[], None]
    ) -> None:
        self.channel: str = channel
        self.cursor = cursor
        self.args: object = None
        self.queue: deque[Entry | Lost] = deque()
        self.held: Entry | Lost | None = None
        self.waiting: list[Wake] = []
        self.granted: bool = False
        self.closed: bool = False
        self.refused: Unsubscribed | None = None
        self.lane: Lane[Entry | Lost] | None = None
        self._machine = machine
        self._run_soon = run_soon
        self._state: bytes | None = None

    @property
    def state(self) -> object:
        """The channel's snapshot, plain values."""
        return None if self._state is None else json.decode(self._state)

    def subscribed(self, effect: Subscribed) -> None:
        """The server follows the channel for us."""
        self.granted = True
        self._state = effect.state
        if self.cursor is None:
            self.cursor = Cursor(effect.epoch, effect.offset)
        self.wake()

    def handled(self, item: Entry | Lost) -> None:
        """The application is done with an item."""
        if isinstance(item, Entry):
            self.cursor = Cursor(item.epoch, item.offset)
            self._machine.handled(self.channel, item.epoch, item.offset, len(item.data) + _OVERHEAD, now())
        else:
            self.cursor = Cursor(item.epoch, item.to)
            self._machine.handled(self.channel, item.epoch, item.to, _OVERHEAD, now())
        self._run_soon()

    def wake(self, error: Callable[[], HeartlineError | None] = lambda: None) -> None:
        """Let everybody who waits look again, or raise."""
        if self.waiting:
            waiting, self.waiting = self.waiting, []
            wake(waiting, error)

    async def wait(self) -> None:
        """Wait until something happened; raise what it was."""
        future: Wake = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        try:
            error = await future
        finally:
            if future in self.waiting:
                self.waiting.remove(future)
        if error is not None:
            raise error

    def refuse(self, effect: Unsubscribed) -> None:
        """The server refused the channel or took it away."""
        self.refused = effect
        self.wake()

    def refusal(self) -> HeartlineError | None:
        """Why nothing more comes: refused, or withdrawn."""
        refused = self.refused
        return None if refused is None else SubscriptionRefused(self.channel, refused.code, refused.message)

    def close(self) -> None:
        """Hand over nothing more; iteration ends."""
        self.closed = True
        self._leave()
        self.wake()

    def close_with(self, error: Callable[[], HeartlineError | None]) -> None:
        """The connection was closed: hand over nothing more; iteration raises."""
        self._leave()
        self.wake(error)

    def _leave(self) -> None:
        self.queue.clear()
        self.held = None
        if self.lane is not None:
            self.lane.close()
