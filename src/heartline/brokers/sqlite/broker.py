"""The SQLite file as a `Broker` (heartline.core.ports).

Invariants: those of the port, checked by `heartline.testing.contracts`; one process at a time uses a file
(test_a_second_process_is_refused); a lasting trouble with the file is told in words, and ends by itself
(test_a_full_disk_is_told_and_got_over).
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from heartline.core.errors import BrokerError
from heartline.core.ports import History, Key, LogEntry, OnEntry, OnRelease, SessionRecord, Slice
from heartline.storage.file import lock
from heartline.storage.worker import Answered, Worker

from .store import Store

HELD_AT_ONCE: Final = 2000


class SqliteBroker:
    """Channels and sessions in the file at `path`, made if it is not there; a server starts and stops it.

    `sync`: "full" survives a power cut, "normal" the death of the process but maybe not of the machine, and is faster
    where the disk is slow. `session_ttl`: a session that no server holds is deleted after so many seconds in which one
    ran, or up to twice as many. What is too old is looked for each `sweep_every` seconds. `clock` gives seconds since
    1970, `monotonic` seconds that never jump. Raises ValueError; `start` raises BrokerError for a file that cannot be
    used.
    """

    durable = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        sync: str = "full",
        session_ttl: float = 86_400.0,
        sweep_every: float = 5.0,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if sync not in {"full", "normal"}:
            raise ValueError(f"sync must be 'full' or 'normal', not {sync!r}")
        for name, seconds in (("session_ttl", session_ttl), ("sweep_every", sweep_every)):
            if not seconds > 0:
                raise ValueError(f"{name} must be seconds above 0, not {seconds!r}")
        self._path = Path(path).expanduser().resolve()
        self._sync = sync
        self._session_ttl = session_ttl
        self._sweep_every = sweep_every
        self._clock = clock
        self._monotonic = monotonic
        self._started = 0.0
        self._node = ""
        self._on_entry: OnEntry | None = None
        self._followed: set[str] = set()
        self._writing: Counter[str] = Counter()
        """Writes under way by channel or session: what is asked of these meanwhile is asked of the writer, in order."""
        self._held: dict[str, None] = {}
        self._to_hold: list[str] = []
        self._hold_again = 0.0
        self._lock: int | None = None
        self._writer: Worker[Store] | None = None
        self._reader: Worker[Store] | None = None
        self._sweeping: asyncio.TimerHandle | None = None

    @property
    def trouble(self) -> str:
        """Why the last write failed, "" when it did not."""
        return self._writer.trouble if self._writer is not None else ""

    async def start(self, node: str, on_entry: OnEntry, on_release: OnRelease) -> None:
        """Open the file. Raises BrokerError when another process uses it, or it cannot be used."""
        del on_release  # one process owns the file: nobody else can ask
        self._node = node
        self._on_entry = on_entry
        self._followed.clear()
        self._loop = asyncio.get_running_loop()
        self._lock = lock(self._path)
        try:
            for name, mark in (("writer", self._lock), ("reader", None)):
                worker = Worker(
                    name, self._path, partial(Store, mark=mark), self._loop, sync=self._sync, writes=mark is not None
                )
                await self._loop.run_in_executor(None, worker.start)
                if mark is not None:
                    self._writer = worker
                else:
                    self._reader = worker
        except BaseException:
            await self.stop()
            raise
        self._started = self._monotonic()
        self._hold_again = self._session_ttl / 4
        self._sweeping = self._loop.call_later(self._sweep_every, self._sweep)

    async def stop(self) -> None:
        """Write what was asked, close the file."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for worker in (self._reader, self._writer):
            if worker is not None:
                await self._loop.run_in_executor(None, worker.stop)
        self._reader = self._writer = None
        self._held.clear()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # channels

    def append(
        self, channel: str, event: str, data: bytes, history: History, *, key: Key | None = None
    ) -> "asyncio.Future[tuple[str, LogEntry]]":
        """Add an entry; the answer comes after the commit, and the announcement before the answer."""
        future: asyncio.Future[tuple[str, LogEntry]] = self._loop.create_future()
        now = self._clock()

        def answered(answer: Any, error: BrokerError | None) -> None:
            self._written(channel)
            if error is None:
                entry, is_new = answer
                if is_new and channel in self._followed and self._on_entry is not None:
                    self._on_entry(channel, entry)
                answer = (entry.epoch, entry)
            _resolve(future, answer, error)

        self._ask_writer(channel, lambda store: store.append(channel, event, data, history, key, now), answered)
        return future

    def follow(self, channel: str) -> None:
        """Announce entries of the channel."""
        self._followed.add(channel)

    def unfollow(self, channel: str) -> None:
        """Announce them no longer."""
        self._followed.discard(channel)

    def head(self, channel: str) -> "asyncio.Future[tuple[str, int]]":
        """Epoch and last offset."""
        return self._read(channel, lambda store: store.head(channel))

    def read(self, channel: str, after: int, limit: int, max_bytes: int) -> "asyncio.Future[Slice]":
        """A piece of the log behind `after`."""
        now = self._clock()
        return self._read(channel, lambda store: store.read(channel, after, limit, max_bytes, now))

    def drop(self, channel: str) -> "asyncio.Future[None]":
        """Forget a channel."""
        return self._write(channel, lambda store: store.drop(channel))

    # sessions

    def load(self, session: str) -> "asyncio.Future[SessionRecord | None]":
        """A session's record."""
        return self._read(session, lambda store: store.load(session))

    def swap(self, record: SessionRecord, expected: int | None) -> "asyncio.Future[bool]":
        """Compare-and-set. A session whose record was written here counts as held until it is forgotten."""
        up = self._monotonic() - self._started
        self._held[record.session] = None
        return self._write(record.session, lambda store: store.swap(record, expected, up))

    def forget(self, session: str, generation: int | None = None) -> "asyncio.Future[bool]":
        """Delete a record."""
        self._held.pop(session, None)
        return self._write(session, lambda store: store.forget(session, generation))

    def release(self, session: str, owner: str) -> bool:
        """Whoever else owned this file's sessions is gone: the file has one process at a time."""
        del session
        return owner != self._node

    # asking the threads

    def _read(self, about: str, job: Callable[[Store], Any]) -> "asyncio.Future[Any]":
        """Ask the reader, or the writer if that has something about the same channel or session to do first."""
        if about in self._writing:
            return self._write(about, job)
        future: asyncio.Future[Any] = self._loop.create_future()
        if self._reader is None:
            raise BrokerError(f"{self._path} is not open")
        self._reader.ask(job, partial(_resolve, future))
        return future

    def _write(self, about: str, job: Callable[[Store], Any]) -> "asyncio.Future[Any]":
        future: asyncio.Future[Any] = self._loop.create_future()

        def answered(answer: Any, error: BrokerError | None) -> None:
            self._written(about)
            _resolve(future, answer, error)

        self._ask_writer(about, job, answered)
        return future

    def _ask_writer(self, about: str, job: Callable[[Store], Any], answered: Answered) -> None:
        if self._writer is None:
            raise BrokerError(f"{self._path} is not open")
        self._writing[about] += 1
        self._writer.ask(job, answered)

    def _written(self, about: str) -> None:
        left = self._writing[about] - 1
        if left:
            self._writing[about] = left
        else:
            del self._writing[about]

    def _sweep(self) -> None:
        """Delete what is too old, and say from time to time which sessions are held: a few at once."""
        now, up = self._clock(), self._monotonic() - self._started
        ttl = self._session_ttl
        if not self._to_hold and up >= self._hold_again:
            self._to_hold = list(self._held)
            self._hold_again = up + ttl / 4
        held, self._to_hold = self._to_hold[:HELD_AT_ONCE], self._to_hold[HELD_AT_ONCE:]

        def sweep(store: Store) -> None:
            if held:
                store.hold(held, up)
            store.sweep(now, up, ttl * 1.5)  # what is held was said to be a quarter of it and a bit ago

        self._ask_writer("", sweep, lambda _value, _error: self._written(""))
        self._sweeping = self._loop.call_later(self._sweep_every, self._sweep)


def _resolve(future: "asyncio.Future[Any]", answer: Any, error: BrokerError | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(answer)
