"""One followed channel inside the connection: what came and is not handled yet, how it stands, who waits.

The `Feed` belongs to the connection; the `Subscription` that the application holds refers to it and may be dropped.

Invariants:
- an item counts as handled when the next one is asked for or the callback ended (test_handled_is_asking_for_the_next);
- what came before a refusal is handed over before the refusal (test_entries_before_a_refusal_come_first).
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from msgspec import json

from heartline.core.effects import Entry, Lost, Subscribed, Unsubscribed
from heartline.core.errors import HeartlineError, SubscriptionRefused
from heartline.transports.clock import now

from .items import Cursor, Gap
from .items import Entry as Item
from .lane import Lane
from .reading import Decode, convert
from .receipt import Wake, wake

if TYPE_CHECKING:
    from .shell import Shell

_OVERHEAD: Final = 64  # of an entry's frame beside its data: what counts against the credit
_Entry: Final = Entry
_now: Final = now


class Feed:
    """One channel. `decode` makes of JSON what its entries are to be."""

    __slots__ = (
        "_epoch",
        "_offset",
        "_shell",
        "_state",
        "args",
        "channel",
        "closed",
        "decode",
        "granted",
        "held",
        "iterated",
        "lane",
        "queue",
        "refused",
        "waiting",
    )

    def __init__(
        self,
        channel: str,
        cursor: Cursor | None,
        shell: "Shell",
        decode: Decode,
    ) -> None:
        self.channel: str = channel
        self.decode: Decode = decode
        self.args: object = None
        self.queue: deque[Entry | Lost] = deque()
        self.held: Entry | Lost | None = None
        self.waiting: list[Wake] = []
        self.granted: bool = False
        self.closed: bool = False
        self.refused: Unsubscribed | None = None
        self.lane: Lane[Entry | Lost] | None = None
        self._shell = shell
        self._state: bytes | None = None
        self._epoch: str | None = None
        self._offset: int = 0
        self.iterated: bool = False
        """somebody waits for the next item"""
        self.cursor = cursor

    @property
    def cursor(self) -> Cursor | None:
        """Up to where it was handled; None: not known."""
        return None if self._epoch is None else Cursor(self._epoch, self._offset)

    @cursor.setter
    def cursor(self, cursor: Cursor | None) -> None:
        if cursor is None:
            self._epoch = None
        else:
            self._epoch, self._offset = cursor.epoch, cursor.offset

    @property
    def state(self) -> object:
        """The channel's snapshot, plain values."""
        return None if self._state is None else json.decode(self._state)

    def subscribed(self, effect: Subscribed) -> None:
        """The server follows the channel for us."""
        self.granted = True
        self._state = effect.state
        if self._epoch is None:
            self.cursor = Cursor(effect.epoch, effect.offset)
        self.wake()

    def take(self) -> Item[Any] | Gap | None:
        """The next item for who iterates, None: not yet. The one before counts as handled.

        Raises UnexpectedData for one that does not fit, and RuntimeError.
        """
        if self.lane is not None:
            raise RuntimeError(f"{self.channel!r} has a callback, it cannot be iterated as well")
        if self.iterated:
            raise RuntimeError(f"two tasks iterate over {self.channel!r}: use one, and share what it gets")
        held = self.held
        if held is not None:
            self.held = None
            self.handled(held)
        if not self.queue:
            return None
        item = self.held = self.queue.popleft()
        return convert(item, self.decode)

    def handled(self, item: Entry | Lost) -> None:
        """The application is done with an item."""
        if isinstance(item, _Entry):
            offset, size = item.offset, len(item.data) + _OVERHEAD
        else:
            offset, size = item.to, _OVERHEAD
        epoch = self._epoch = item.epoch
        self._offset = offset
        shell = self._shell
        shell.machine.handled(self.channel, epoch, offset, size, _now())
        shell.run_soon()

    def arrived(self, item: Entry | Lost) -> None:
        """An item came, for who iterates."""
        self.queue.append(item)
        if self.waiting:
            waiting, self.waiting = self.waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    def wake(self, error: Callable[[], HeartlineError | None] | None = None) -> None:
        """Let everybody who waits look again, or raise."""
        if self.waiting:
            waiting, self.waiting = self.waiting, []
            wake(waiting, error or _no_error)

    def waiter(self) -> Wake:
        """What is done when something happened, with an error or None; to be given to `waited` then."""
        loop = self._shell.loop  # asking for the running one costs a system call
        future: Wake = (asyncio.get_running_loop() if loop is None else loop).create_future()
        self.waiting.append(future)
        return future

    def waited(self, future: Wake) -> None:
        """Nobody waits on this one any more."""
        if future in self.waiting:
            self.waiting.remove(future)

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


def _no_error() -> None:
    """Look again."""
