"""Brokers over files of their own, and what a crash leaves of one."""

import asyncio
import itertools
import shutil
import threading
from pathlib import Path
from typing import Any

from heartline.brokers.sqlite import SqliteBroker
from heartline.brokers.sqlite.store import Store
from heartline.core.ports import History, LogEntry, SessionRecord

DAY = 86_400.0


class Hand:
    """A clock moved by hand, for both of a broker's clocks."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now

    async def advance(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0.05)  # longer than a broker of these tests waits between two sweeps


class Files:
    """Makes brokers in one folder. A crash is a copy of the files between two steps of the writing thread."""

    def __init__(self, folder: Path, clock: Hand | None = None, **options: Any) -> None:
        self.folder = folder
        self.clock = clock or Hand()
        self.options = options
        self.crashed: list[SqliteBroker] = []
        self._names = (folder / f"{i}.db" for i in itertools.count())

    def new(self) -> SqliteBroker:
        return self.over(next(self._names))

    def over(self, path: Path) -> SqliteBroker:
        return SqliteBroker(path, clock=self.clock, monotonic=self.clock, **self.options)

    async def crash(self, broker: Any) -> SqliteBroker:
        """Copy what a broker has on disk at this moment, and hear no more of it."""
        writer = broker._writer
        if writer is None:
            return self.over(broker._path)
        held, go_on = threading.Event(), threading.Event()
        writer.ask(lambda _store: (held.set(), go_on.wait()), lambda _value, _error: None)
        await asyncio.to_thread(held.wait)
        target = next(self._names)
        for suffix in ("", "-wal", "-lock"):
            shutil.copy(f"{broker._path}{suffix}", f"{target}{suffix}")
        broker._on_entry = None
        go_on.set()
        self.crashed.append(broker)
        return self.over(target)

    async def clean_up(self) -> None:
        for broker in self.crashed:
            await broker.stop()


async def started(broker: SqliteBroker, announced: list[tuple[str, LogEntry]] | None = None) -> SqliteBroker:
    await broker.start("node", lambda *news: None if announced is None else announced.append(news), lambda _id: True)
    return broker


async def on_writer(broker: SqliteBroker, job: Any) -> Any:
    """What `job(store)` returns, run by the writing thread."""
    return await broker._write("test", job)


async def rows(broker: SqliteBroker, sql: str) -> list[Any]:
    """What the file says."""

    def ask(store: Store) -> list[Any]:
        return store._db.execute(sql).fetchall()

    found: list[Any] = await on_writer(broker, ask)
    return found


async def fill(broker: SqliteBroker, channel: str, count: int, history: History | None = None, size: int = 1) -> None:
    data = b'"%b"' % (b"x" * size)
    await asyncio.gather(*[broker.append(channel, "e", data, history or History()) for _ in range(count)])


async def offsets(broker: SqliteBroker, channel: str, after: int = 0) -> list[int]:
    return [entry.offset for entry in (await broker.read(channel, after, 100_000, 1 << 30)).entries]


def record(session: str, generation: int = 1, **more: Any) -> SessionRecord:
    known: dict[str, Any] = {
        "key": "k", "identity": "", "instance": "i", "owner": "node", "floor": 1, "received": 0, "done": 0,
        "results": {}, "started": [],
    }  # fmt: skip
    return SessionRecord(session=session, generation=generation, **(known | more))
