"""The durable side of one connection: what its machine wants kept, written in batches; who waits for that.

One batch is under way at a time, and what comes meanwhile is the next one: that is the group commit, and it keeps the
order also when a batch fails and has to be written again.

Invariants:
- nothing is sent, and no sender told that it is stored, before its commit (test_stored_means_committed);
- a batch that cannot be written is written again, before anything newer, for as long as the connection lives, and the
  connection says so (test_a_full_disk_is_waited_for, test_a_locked_file_is_waited_for);
- what is closed while it cannot be written raises where somebody waits for it (test_closing_on_a_full_disk_is_told);
- a place in a channel stays until something else is asked for (test_a_closed_subscription_keeps_its_place).
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, Protocol

from heartline.core import effects
from heartline.core.client import ClientMachine
from heartline.core.errors import BrokerError, HeartlineError, OutboxError
from heartline.core.frames import INBOX
from heartline.core.saved import Saved
from heartline.transports.clock import now

from .items import Cursor
from .outbox_file import Batch, OutboxFile
from .receipt import Wake, wake

_logger = logging.getLogger("heartline.client")

PLACES_DELAY = 0.05  # seconds that a batch of places alone may wait for company
FIRST_RETRY = 0.1
LONGEST_RETRY = 5.0


class Life(IntEnum):
    """Where the use of a file stands; it only rises."""

    WORKING = 0
    CLOSING = 1
    LAST_TRY = 2
    LEFT = 3


class Owner(Protocol):
    """What it needs of the shell."""

    machine: ClientMachine

    def run(self) -> None:
        """Carry out what the machine wants."""

    def trace(self, what: str, details: dict[str, object]) -> None:
        """Report something that matters."""


class Durable:
    """One outbox file in use. All methods belong to the loop's thread."""

    unread: Final = Saved()
    """What the machine begins with, until the file is read."""

    def __init__(self, path: str, owner: Owner) -> None:
        self.path: Path = Path(path)
        self.trouble: str = ""
        self.marks: dict[str, str] = {}
        self._owner = owner
        self._places: dict[str, tuple[str, int]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._file: OutboxFile | None = None
        self._batch = Batch()
        self._serial = 1
        self._stored = 0
        self._writing: Batch | None = None
        self._waiting: dict[int, list[Wake]] = {}
        self._due: asyncio.Handle | None = None
        self._due_soon = False
        self._retry: asyncio.TimerHandle | None = None
        self._retry_in = FIRST_RETRY
        self._life = Life.WORKING

    # opening

    async def open(self, loop: asyncio.AbstractEventLoop) -> Saved:
        """Open the file and tell what it held. Raises OutboxError."""
        await self.wait_gone()  # an opening before this one that was cancelled
        self._file = OutboxFile(self.path, loop)
        contents = await self._file.open()
        self._loop = loop
        self.marks = contents.marks
        saved = contents.saved
        self._places = {channel: place for channel, place in saved.cursors.items() if channel != INBOX}
        inbox = {channel: place for channel, place in saved.cursors.items() if channel == INBOX}
        return Saved(saved.session, saved.key, saved.next_number, saved.messages, inbox)

    # what the machine wants kept

    def persist(self, effect: effects.Persist) -> None:
        """Store a message."""
        self._batch.persist(effect)
        self._soon()

    def forget(self, effect: effects.Forget) -> None:
        """Remove a message."""
        self._batch.settle(effect.n)
        self._soon()

    def remember(self, effect: effects.Remember) -> None:
        """Store the session."""
        self._batch.session = (effect.session, effect.key)
        self._soon()

    def move(self, effect: effects.MoveCursor) -> None:
        """Store how far a channel was handled."""
        self._put_place(effect.channel, (effect.epoch, effect.offset))

    # what the application wants kept

    def mark(self, marks: Mapping[str, str | None]) -> None:
        """Store marks, in one transaction with the messages that were queued in the same step of the loop."""
        for name, value in marks.items():
            if value is None:
                self.marks.pop(name, None)
            else:
                self.marks[name] = value
        self._batch.marks.update(marks)
        self._soon()

    def place_of(self, channel: str) -> Cursor | None:
        """How far a channel was handled, by this process or one before it."""
        place = self._places.get(channel)
        return None if place is None else Cursor(*place)

    def set_place(self, channel: str, cursor: Cursor | None) -> None:
        """Say how far a channel was handled; None: go on from nowhere."""
        if cursor is not None:
            self._put_place(channel, (cursor.epoch, cursor.offset))
        elif self._places.pop(channel, None) is not None:
            self._batch.places[channel] = None
            self._later()

    def _put_place(self, channel: str, place: tuple[str, int]) -> None:
        self._batch.places[channel] = place
        if channel != INBOX:
            self._places[channel] = place
        if self._due is None:
            self._later()

    # who waits

    @property
    def serial(self) -> int:
        """Of the batch in which everything is that was queued just now; see `stored`."""
        return self._serial

    def is_stored(self, serial: int) -> bool:
        """Whether a batch is on disk."""
        return serial <= self._stored

    async def stored(self, serial: int) -> None:
        """Wait until a batch is on disk. Raises OutboxError when the connection was closed before that could be."""
        if serial <= self._stored:
            return
        if self._life is Life.LEFT:
            raise self._not_stored()
        future: Wake = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(serial, []).append(future)
        error = await future
        if error is not None:
            raise error

    def _not_stored(self) -> OutboxError:
        return OutboxError(f"not stored: {self.trouble or f'{self.path} was closed'}")

    def _wake(self, up_to: int, error: Callable[[], HeartlineError | None] = lambda: None) -> None:
        for serial in [serial for serial in self._waiting if serial <= up_to]:
            wake(self._waiting.pop(serial), error)

    # writing

    def _soon(self) -> None:
        if not self._due_soon and self._loop is not None:
            if self._due is not None:
                self._due.cancel()
            self._due_soon = True
            self._due = self._loop.call_soon(self._flush)

    def _later(self) -> None:
        if self._due is None and self._loop is not None:
            self._due = self._loop.call_later(PLACES_DELAY, self._flush)

    def _flush(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
            self._due_soon = False
        if self._writing is None and self._retry is None and self._batch and self._life is not Life.LEFT:
            assert self._file is not None
            self._writing, self._batch = self._batch, Batch()
            self._serial += 1
            self._file.write(self._writing, self._written)

    def _written(self, _value: Any, error: BrokerError | None) -> None:
        batch, self._writing = self._writing, None
        assert batch is not None
        if error is not None:
            self._failed(batch, error)
            return
        if self.trouble:
            _logger.warning("the outbox is written again: %s", self.path)
            self._owner.trace("client.outbox_works", {})
            self.trouble, self._retry_in = "", FIRST_RETRY
        self._stored = self._serial - 1
        self._wake(self._stored)
        self._tell_machine(batch)
        if self._life is not Life.WORKING:
            self._flush_or_leave()
        elif self._batch.urgent:
            self._flush()
        elif self._batch:
            self._later()

    def _tell_machine(self, batch: Batch) -> None:
        machine, at = self._owner.machine, now()
        if batch.highest:
            machine.persisted(batch.highest, at)
        if batch.settled:
            machine.all_forgotten(batch.settled, at)
        if batch.session is not None:
            machine.remembered(batch.session[0], at)
        if batch.urgent:
            self._owner.run()

    def _failed(self, batch: Batch, error: BrokerError) -> None:
        if not self.trouble:
            _logger.warning("the outbox cannot be written, nothing new is sent: %s", error)
        self.trouble = str(error)
        self._owner.trace("client.outbox_fails", {"error": self.trouble})
        self._batch = batch.followed_by(self._batch)
        if self._life is Life.WORKING:
            assert self._loop is not None
            self._retry = self._loop.call_later(self._retry_in, self._try_again)
            self._retry_in = min(LONGEST_RETRY, 2 * self._retry_in)
        elif self._life is Life.CLOSING:
            self._life = Life.LAST_TRY
            self._flush()
        else:
            _logger.error("closed, and %d messages were not stored: %s", len(self._batch.messages), error)
            self._leave()

    def _try_again(self) -> None:
        self._retry = None
        self._flush()

    # closing

    def close(self, *, empty: bool, marks: Mapping[str, str] | None = None) -> None:
        """Write what is left, once more if it fails, and let go of the file.

        `empty` removes all but the numbers; `marks` are put into what was emptied.
        """
        if self._life is not Life.WORKING:
            return
        self._life = Life.CLOSING
        if empty:
            self._batch.empty()
            self._places.clear()
            self.marks.clear()
        if marks:
            self.mark(marks)
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
            self._life = Life.LAST_TRY
        self._flush_or_leave()

    async def wait_gone(self) -> None:
        """Wait until the file is closed."""
        if self._file is not None:
            await asyncio.shield(self._file.gone)

    def _flush_or_leave(self) -> None:
        self._flush()
        if self._writing is None:
            self._leave()

    def _leave(self) -> None:
        self._life = Life.LEFT
        if self._due is not None:
            self._due.cancel()
        if self._file is not None:
            self._file.leave()
        self._wake(self._serial, self._not_stored)
