"""A client's outbox on disk: unsettled messages, used-up numbers, the session, places in channels, application marks.

A `Batch` gathers what is to be written; one batch is one transaction, in which the order of its parts does not matter.

Invariants:
- what `open` gives is what the last commit held, whatever killed the process (test_outbox_survives_sigkill);
- a number that was used is never given again (test_numbers_are_never_reused_after_a_crash);
- a mark is stored in the same transaction as the message it was given with (test_marks_come_with_their_message);
- one process at a time uses a file (test_a_second_process_is_refused).
"""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from heartline.core.effects import Persist
from heartline.core.errors import BrokerError, OutboxError
from heartline.core.outbox import Kind, Message
from heartline.core.saved import Saved
from heartline.storage.file import create_tables, lock
from heartline.storage.worker import Worker

APPLICATION: Final = 0x686C6F62  # "hlob": an outbox file
VERSION: Final = 1

_SCHEMA: Final = """
CREATE TABLE state (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE messages (
    n INTEGER PRIMARY KEY, kind TEXT NOT NULL, event TEXT NOT NULL, target TEXT NOT NULL, data BLOB NOT NULL,
    idempotent INTEGER NOT NULL
);
CREATE TABLE cursors (channel TEXT PRIMARY KEY, epoch TEXT NOT NULL, offset INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE marks (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""

Place = tuple[str, int]
"""Epoch and offset."""


@dataclass(frozen=True)
class Contents:
    """What a file held."""

    saved: Saved
    marks: dict[str, str]


@dataclass(slots=True)
class Batch:
    """What one transaction writes. None as a place or a mark removes it."""

    messages: dict[int, Message] = field(default_factory=dict)
    highest: int = 0
    """of the messages that came, also of those that are settled already"""
    reserved: int = 0
    settled: list[int] = field(default_factory=list)
    session: tuple[str | None, str | None] | None = None
    places: dict[str, Place | None] = field(default_factory=dict)
    marks: dict[str, str | None] = field(default_factory=dict)
    emptied: bool = False

    @property
    def urgent(self) -> bool:
        """Whether somebody waits for it; places alone may wait for more."""
        return bool(self.highest or self.settled or self.session or self.marks or self.emptied)

    def __bool__(self) -> bool:
        return self.urgent or bool(self.places)

    def persist(self, effect: Persist) -> None:
        """Store a message."""
        n = effect.message.n
        self.messages[n] = effect.message
        self.highest = n
        self.reserved = effect.reserved

    def settle(self, n: int) -> None:
        """Remove a message."""
        self.messages.pop(n, None)
        self.settled.append(n)

    def empty(self) -> None:
        """Remove everything but the numbers that were used."""
        self.settled += self.messages
        self.messages.clear()
        self.places.clear()
        self.marks.clear()
        self.session = (None, None)
        self.emptied = True

    def followed_by(self, later: "Batch") -> "Batch":
        """Both in one."""
        if later.emptied:
            self.empty()
        for n in later.settled:
            self.messages.pop(n, None)
        self.settled += later.settled
        self.messages.update(later.messages)
        self.highest = max(self.highest, later.highest)
        self.reserved = max(self.reserved, later.reserved)
        self.session = later.session or self.session
        self.places.update(later.places)
        self.marks.update(later.marks)
        return self


class OutboxTables:
    """The SQL of an outbox file."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._db = connection
        self._reserved = 0

    def prepare(self) -> None:
        """Create the tables, or check that they are ours."""
        create_tables(self._path, self._db, _SCHEMA, application=APPLICATION, version=VERSION)

    def before_commit(self) -> None:
        """Nothing is put off."""

    def committed(self) -> None:
        """Nothing is remembered that was not there before."""

    def rolled_back(self) -> None:
        """The file may not know which numbers are used up."""
        self._reserved = 0

    def load(self) -> Contents:
        """What was kept."""
        state = dict(self._db.execute("SELECT name, value FROM state").fetchall())
        messages = tuple(
            Message(n, Kind(kind), event, data, target=target, idempotent=bool(idempotent))
            for n, kind, event, target, data, idempotent in self._db.execute("SELECT * FROM messages ORDER BY n")
        )
        places = {channel: (epoch, offset) for channel, epoch, offset in self._db.execute("SELECT * FROM cursors")}
        saved = Saved(state.get("session"), state.get("key"), state.get("reserved", 1), messages, places)
        return Contents(saved, dict(self._db.execute("SELECT name, value FROM marks").fetchall()))

    def write(self, batch: Batch) -> None:
        """Write a batch; doing so twice does no harm."""
        run, run_many = self._db.execute, self._db.executemany
        if batch.emptied:
            for table in ("messages", "cursors", "marks"):
                run(f"DELETE FROM {table}")
        if batch.reserved > self._reserved:
            self._reserved = batch.reserved
            self._set("reserved", batch.reserved)
        if batch.messages:
            run_many("INSERT OR REPLACE INTO messages VALUES (?, ?, ?, ?, ?, ?)", map(_row, batch.messages.values()))
        if batch.settled:
            run_many("DELETE FROM messages WHERE n = ?", [(n,) for n in batch.settled])
        if batch.session is not None:
            for name, value in zip(("session", "key"), batch.session, strict=True):
                self._set(name, value)
        for channel, place in batch.places.items():
            if place is None:
                run("DELETE FROM cursors WHERE channel = ?", (channel,))
            else:
                run("INSERT OR REPLACE INTO cursors VALUES (?, ?, ?)", (channel, *place))
        for mark, text in batch.marks.items():
            if text is None:
                run("DELETE FROM marks WHERE name = ?", (mark,))
            else:
                run("INSERT OR REPLACE INTO marks VALUES (?, ?)", (mark, text))

    def _set(self, name: str, value: object) -> None:
        self._db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, value))


def _row(m: Message) -> tuple[object, ...]:
    return (m.n, m.kind.value, m.event, m.target, m.data, int(m.idempotent))


class OutboxFile:
    """One file, used by one connection of one process, from `open` to `leave`."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop, *, sync: str = "full") -> None:
        self.gone: asyncio.Future[None] = loop.create_future()
        """done when the file is closed and anybody may open it"""
        self._path = path
        self._loop = loop
        self._lock = -1
        self._worker = Worker("outbox", path, OutboxTables, loop, sync=sync, ended=self._ended)

    async def open(self) -> Contents:
        """Lock and read the file, making it if it is not there. Raises OutboxError saying why it cannot be used."""
        try:
            self._lock = self._take_lock()
            try:
                await self._worker.open()
                return await self._worker.do(OutboxTables.load)
            except BaseException:
                self.leave()
                raise
        except BrokerError as error:
            raise OutboxError(f"outbox: {error}") from None

    def write(self, batch: Batch, written: Callable[[Any, BrokerError | None], None]) -> None:
        """Write a batch; `written(None, error)` is called in the loop after the commit."""
        self._worker.ask(lambda tables: tables.write(batch), written)

    def leave(self) -> None:
        """Close the file after what was asked; `gone` tells when."""
        self._worker.leave()

    def _take_lock(self) -> int:
        try:
            return lock(self._path)
        except BrokerError:
            self.gone.set_result(None)
            raise

    def _ended(self) -> None:
        os.close(self._lock)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(_done, self.gone)


def _done(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
