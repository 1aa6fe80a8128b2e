"""The thread that writes an SQLite file in groups."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from heartline.core.errors import BrokerError
from heartline.storage.file import connect, create_tables
from heartline.storage.worker import Worker

PATIENCE = 20.0


class Rows:
    """A table of numbers. `prepare` raises `refusal`, if there is one."""

    refusal: BaseException | None = None

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.db = connection

    def prepare(self) -> None:
        if self.refusal is not None:
            raise self.refusal
        create_tables(self.path, self.db, "CREATE TABLE rows (n INTEGER PRIMARY KEY);", application=7, version=1)

    def before_commit(self) -> None:
        pass

    def committed(self) -> None:
        pass

    def rolled_back(self) -> None:
        pass

    def add(self, n: int) -> int:
        self.db.execute("INSERT INTO rows VALUES (?)", (n,))
        return n


def stored(path: Path) -> list[int]:
    """What another connection sees."""
    with connect(path, sync="normal") as db:
        rows = [n for (n,) in db.execute("SELECT n FROM rows ORDER BY n")]
    db.close()
    return rows


def working(path: Path, main: Callable[[Worker[Rows]], Coroutine[Any, Any, None]]) -> None:
    """Run `main` with a worker."""

    async def go() -> None:
        worker = Worker("test", path, Rows, asyncio.get_running_loop(), sync="full")
        worker.start()
        try:
            await main(worker)
        finally:
            worker.stop()

    asyncio.run(asyncio.wait_for(go(), PATIENCE))


def held(worker: Worker[Rows]) -> threading.Event:
    """Keep the thread busy until the event is set, so that what is asked meanwhile is one group."""
    event, busy = threading.Event(), threading.Event()

    def hold(_tables: Rows) -> None:
        busy.set()
        event.wait(PATIENCE)

    worker.ask(hold, lambda _value, _error: None)
    assert busy.wait(PATIENCE)
    return event


def test_answered_means_committed(tmp_path: Path) -> None:
    async def main(worker: Worker[Rows]) -> None:
        for n in range(20):
            assert await worker.do(lambda tables, n=n: tables.add(n)) == n  # type: ignore[misc]
            assert stored(path) == list(range(n + 1))

    path = tmp_path / "a.db"
    working(path, main)


def test_one_failing_job_fails_alone(tmp_path: Path) -> None:
    async def main(worker: Worker[Rows]) -> None:
        event = held(worker)
        jobs = [asyncio.ensure_future(worker.do(lambda tables, n=n: tables.add(n))) for n in (1, 2, 1, 3)]  # type: ignore[misc]
        await asyncio.sleep(0)
        event.set()
        done = await asyncio.gather(*jobs, return_exceptions=True)
        assert [type(one) for one in done] == [int, int, BrokerError, int]
        assert stored(path) == [1, 2, 3]

    path = tmp_path / "a.db"
    working(path, main)


class Checked(Rows):
    """A constraint that only COMMIT looks at."""

    def prepare(self) -> None:
        super().prepare()
        self.db.execute("PRAGMA foreign_keys = ON")
        self.db.execute("CREATE TABLE marks (n INTEGER REFERENCES rows (n) DEFERRABLE INITIALLY DEFERRED)")


def test_a_failing_commit_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.db"

    async def main() -> None:
        worker = Worker("test", path, Checked, asyncio.get_running_loop(), sync="full")
        worker.start()
        try:
            await worker.do(lambda tables: tables.add(1))
            event = held(worker)
            jobs = [
                asyncio.ensure_future(worker.do(lambda tables: tables.add(2))),
                asyncio.ensure_future(worker.do(lambda tables: tables.db.execute("INSERT INTO marks VALUES (99)"))),
            ]
            await asyncio.sleep(0)
            event.set()
            done = await asyncio.gather(*jobs, return_exceptions=True)
            assert all(isinstance(one, BrokerError) for one in done)
            assert "constraint" in worker.trouble
            assert stored(path) == [1]
            await worker.do(lambda tables: tables.add(3))
            assert stored(path) == [1, 3]
        finally:
            worker.stop()

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_jobs_keep_their_order(tmp_path: Path) -> None:
    async def main(worker: Worker[Rows]) -> None:
        ran: list[int] = []
        answered: list[int] = []
        for n in range(5000):
            worker.ask(lambda _tables, n=n: ran.append(n), lambda _v, _e, n=n: answered.append(n))  # type: ignore[misc]
        await worker.do(lambda _tables: None)
        assert ran == answered == list(range(5000))

    working(tmp_path / "a.db", main)


def test_stop_finishes(tmp_path: Path) -> None:
    path = tmp_path / "a.db"

    async def main() -> None:
        worker = Worker("test", path, Rows, asyncio.get_running_loop(), sync="full", ended=lambda: ended.append(True))
        await worker.open()
        for n in range(3000):
            worker.ask(lambda tables, n=n: tables.add(n), lambda value, _error: answered.append(value))  # type: ignore[misc]
        worker.stop()
        assert ended == [True]
        assert stored(path) == list(range(3000))
        await asyncio.sleep(0)
        worker.stop()

    ended: list[bool] = []
    answered: list[int] = []
    asyncio.run(asyncio.wait_for(main(), PATIENCE))
    assert answered == list(range(3000))


@pytest.mark.parametrize("refusal", [BrokerError("no"), RuntimeError("no"), sqlite3.OperationalError("no")])
def test_nobody_waits_for_ever(tmp_path: Path, refusal: BaseException) -> None:
    """Neither for a file that cannot be used, nor for a job that cannot begin or that raises anything."""

    class Refusing(Rows):
        pass

    Refusing.refusal = refusal
    path = tmp_path / "a.db"

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ended = threading.Event()
        wanted = RuntimeError if type(refusal) is RuntimeError else BrokerError
        with pytest.raises(wanted, match="no"):
            Worker("test", path, Refusing, loop, sync="full").start()
        with pytest.raises(wanted, match="no"):
            await Worker("test", path, Refusing, loop, sync="full", ended=ended.set).open()
        assert ended.wait(PATIENCE)
        worker = Worker("test", path, Rows, loop, sync="full")
        worker.start()
        with pytest.raises(BrokerError, match="sorry"):
            worker.call(_raise)
        with pytest.raises(BrokerError, match="sorry"):
            await worker.do(_raise)
        assert worker.call(lambda tables: tables.add(1)) == 1
        worker.stop()

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def _raise(_tables: Rows) -> None:
    raise RuntimeError("sorry")


def test_a_locked_file_is_told_and_works_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heartline.storage.file.BUSY", 0.05)
    path = tmp_path / "a.db"

    async def main(worker: Worker[Rows]) -> None:
        await worker.do(lambda tables: tables.add(1))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BrokerError, match="is locked by another program"):
            await worker.do(lambda tables: tables.add(2))
        with pytest.raises(BrokerError, match="is locked by another program"):
            worker.call(lambda tables: tables.add(2))
        assert "locked" in worker.trouble
        other.execute("ROLLBACK")
        other.close()
        await worker.do(lambda tables: tables.add(3))
        assert worker.trouble == ""
        assert stored(path) == [1, 3]

    working(path, main)


def test_a_loop_that_is_closed_is_no_trouble(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    loop = asyncio.new_event_loop()
    worker = Worker("test", path, Rows, loop, sync="full")
    worker.start()
    loop.close()
    worker.ask(lambda tables: tables.add(1), lambda _value, _error: None)
    worker.stop()
    assert stored(path) == [1]
