"""A thread for an SQLite file, with group commit.

It takes whatever was asked since its last commit, runs it in one transaction, and answers after the commit: what was
answered is on disk. The broker has two, a writer and a reader; a client's outbox has one.

Invariants:
- nothing is answered before its commit (test_answered_means_committed);
- one job that fails does not take its group with it, a commit that fails fails the whole group and leaves nothing of
  it (test_one_failing_job_fails_alone, test_a_failing_commit_leaves_nothing);
- jobs take effect in the order in which they were asked, and are answered in it (test_jobs_keep_their_order);
- what was asked before `stop` is done when it returns (test_stop_finishes);
- whoever waits for a file or for a job hears what became of it, whatever went wrong (test_nobody_waits_for_ever).
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar

from heartline.core.errors import BrokerError

from .file import connect, explain

GROUP: Final = 2000
"""Jobs that share one commit at most, so that the first does not wait for ever."""


class Tables(Protocol):
    """The SQL over one connection."""

    def prepare(self) -> None:
        """Create the tables, or check that they are ours. Raises BrokerError."""

    def before_commit(self) -> None:
        """Write what was put off until the end of the group."""

    def committed(self) -> None:
        """The group is on disk; nothing of it has been answered yet. Must not fail."""

    def rolled_back(self) -> None:
        """What was remembered of the file, or put off, is void."""


_S = TypeVar("_S", bound=Tables)
_T = TypeVar("_T")
Answered = Callable[[Any, BrokerError | None], None]
_Job = tuple[Callable[[Any], Any], Answered]
_Answer = tuple[Answered, Any, BrokerError | None]


class Worker(Generic[_S]):
    """A thread with a connection of its own. `ask` from the loop; answers come back in the loop.

    `sync`: "full" or "normal" (PRAGMA synchronous). `trouble` says why the last commit failed, "" when it did not.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        tables: Callable[[Path, sqlite3.Connection], _S],
        loop: asyncio.AbstractEventLoop,
        *,
        sync: str,
        writes: bool = True,
        ended: Callable[[], None] | None = None,
    ) -> None:
        """`ended` is called in the thread when the file is closed, also one that could not be opened."""
        self.trouble: str = ""
        self._path = path
        self._tables = tables
        self._loop = loop
        self._sync = sync
        self._begin = "BEGIN IMMEDIATE" if writes else "BEGIN"
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._ended = ended
        self._told: Callable[[BaseException | None], None] = _ignore
        self._thread = threading.Thread(target=self._main, name=f"heartline-{name}", daemon=True)

    def start(self) -> None:
        """Open the file in the thread and wait for that here. Raises BrokerError."""
        started: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._told = started.put
        self._thread.start()
        error = started.get()
        if error is not None:
            raise error

    async def open(self) -> None:
        """As `start`, and the loop runs on meanwhile. Whoever is cancelled here calls `leave`. Raises BrokerError."""
        opened: asyncio.Future[BaseException | None] = self._loop.create_future()
        self._told = lambda error: self._in_loop(_settle, opened, error)
        self._thread.start()
        error = await opened
        if error is not None:
            raise error

    def ask(self, job: Callable[[_S], Any], answered: Answered) -> None:
        """Have a job done with the next group; `answered(value, error)` is called in the loop after the commit.

        A job may run twice: a group in which another one failed is rolled back, and each of its jobs runs alone.
        """
        self._jobs.put((job, answered))

    async def do(self, job: Callable[[_S], _T]) -> _T:
        """As `ask`, for a coroutine. Raises BrokerError."""
        done: asyncio.Future[tuple[Any, BrokerError | None]] = self._loop.create_future()
        self.ask(job, lambda value, error: _settle(done, (value, error)))
        value, error = await done
        if error is not None:
            raise error
        return value  # type: ignore[no-any-return]

    def call(self, job: Callable[[_S], _T]) -> _T:
        """Have a job done and wait for it here: for start-up, when nothing else goes on. Raises BrokerError."""
        here = _Here()
        self._jobs.put((job, here))
        value, error = here.box.get()
        if error is not None:
            raise error
        return value  # type: ignore[no-any-return]

    def stop(self) -> None:
        """Finish what was asked, close the file, end the thread. The answers come when the loop runs on."""
        if self._thread.is_alive():
            self.leave()
            self._thread.join()

    def leave(self) -> None:
        """As `stop`, but wait for nothing: `ended` tells the end."""
        self._jobs.put(None)

    # in the thread

    def _main(self) -> None:
        try:
            connection = connect(self._path, sync=self._sync)
            try:
                tables = self._tables(self._path, connection)
                tables.prepare()
                self._told(None)
                while self._turn(tables, connection):
                    pass
            finally:
                connection.close()
        except sqlite3.Error as error:
            self._told(explain(self._path, error))
        except BaseException as error:  # noqa: BLE001 - raised where somebody waits for the file
            self._told(error)
        finally:
            if self._ended is not None:
                self._ended()

    def _in_loop(self, callback: Callable[..., object], *args: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(callback, *args)

    def _turn(self, tables: _S, connection: sqlite3.Connection) -> bool:
        """Run one group; False when it was the last."""
        jobs = self._jobs
        group: list[_Job] = []
        job = jobs.get()
        while job is not None:
            group.append(job)
            if len(group) >= GROUP:
                break
            try:
                job = jobs.get_nowait()
            except queue.Empty:
                break
        if group:
            answers = self._run(tables, connection, group)
            _answer_all([answer for answer in answers if isinstance(answer[0], _Here)])
            self._in_loop(_answer_all, [answer for answer in answers if not isinstance(answer[0], _Here)])
        return job is not None

    def _run(self, tables: _S, connection: sqlite3.Connection, group: list[_Job]) -> list[_Answer]:
        """Run a group in one transaction; if one of its jobs fails, each in a transaction of its own."""
        answers: list[_Answer] = []
        failing: Exception | None = None
        try:
            connection.execute(self._begin)
            for job, answered in group:
                try:
                    answers.append((answered, job(tables), None))
                except Exception as error:
                    failing = error
                    raise
            tables.before_commit()
            connection.execute("COMMIT")
            tables.committed()
        except Exception as error:  # noqa: BLE001 - told to everybody of the group
            self._roll_back(tables, connection)
            if failing is not None and len(group) > 1:
                return [answer for job in group for answer in self._run(tables, connection, [job])]
            failure = error if isinstance(error, BrokerError) else explain(self._path, error)
            if not isinstance(error, BrokerError):
                self.trouble = str(failure)
            return [(answered, None, failure) for _, answered in group]
        self.trouble = ""
        return answers

    def _roll_back(self, tables: _S, connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):  # a full disk has rolled back already
                connection.execute("ROLLBACK")
        tables.rolled_back()


def _answer_all(answers: list[_Answer]) -> None:
    for answered, value, error in answers:
        answered(value, error)


class _Here:
    """Somebody who blocks until the answer is there."""

    def __init__(self) -> None:
        self.box: queue.SimpleQueue[tuple[Any, BrokerError | None]] = queue.SimpleQueue()

    def __call__(self, value: Any, error: BrokerError | None) -> None:
        self.box.put((value, error))


def _settle(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _ignore(_error: object) -> None:
    """Nobody waits yet."""
