"""Callbacks in order, one after another, without a task for each item.

Functions that return at once are called in the loop turn in which the item came. The first one that returns an
awaitable starts one task, which then serves this lane until it is closed.

Invariants:
- the next item is handed over only after the handler of the one before has ended (test_handlers_keep_the_order);
- an item counts as handled when its handler ended, well or not (test_a_failed_handler_stops_nothing).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

_logger = logging.getLogger("heartline.client")

_T = TypeVar("_T")

TASKS_END = 5.0  # seconds that cancelled handlers get to end


async def wait_ended(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Wait for tasks that were cancelled, but not for the one that asks, and not for ever."""
    mine = current_task()
    others = [task for task in tasks if task is not mine]
    if others:
        _, late = await asyncio.wait(others, timeout=TASKS_END)
        for task in late:
            _logger.warning("closed, but %r goes on: it does not stop when it is cancelled", task)


class Lane(Generic[_T]):
    """One queue. `handle(item)` calls the user's code; `done(item)` is told when it ended; `name_of(item)` is for logs.

    `tasks` is where the lane's task is kept for whoever closes the connection.
    """

    __slots__ = ("_busy", "_closed", "_done", "_handle", "_idle", "_name_of", "_tasks", "queue", "task")

    def __init__(
        self,
        name_of: Callable[[_T], str],
        handle: Callable[[_T], Awaitable[object] | None],
        done: Callable[[_T], None],
        tasks: set[asyncio.Task[None]],
    ) -> None:
        self._name_of = name_of
        self.queue: deque[_T] = deque()
        self.task: asyncio.Task[None] | None = None
        self._handle = handle
        self._done = done
        self._tasks = tasks
        self._idle: asyncio.Future[None] | None = None
        self._busy = False
        self._closed = False

    def deliver(self) -> None:
        """Hand over what is queued, or wake the task that does."""
        if self.task is not None:
            idle = self._idle
            if idle is not None and not idle.done():
                idle.set_result(None)
            return
        if self._busy:  # a handler made an input of its own
            return
        self._busy = True
        try:
            while self.queue and not self._closed:
                item = self.queue.popleft()
                awaitable = self._call(item)
                if awaitable is None:
                    self._done(item)
                    continue
                self.task = asyncio.get_running_loop().create_task(self._serve(item, awaitable))
                self._tasks.add(self.task)
                self.task.add_done_callback(self._tasks.discard)
                return
        finally:
            self._busy = False

    def close(self) -> None:
        """Hand over nothing more and end the task, unless it is the one that closes."""
        self._closed = True
        self.queue.clear()
        if self.task is not None:
            cancel(self.task)

    def _call(self, item: _T) -> Awaitable[object] | None:
        try:
            return self._handle(item)
        except Exception:
            _logger.exception("%s raised", self._name_of(item))
            return None

    async def _serve(self, item: _T, awaitable: Awaitable[object]) -> None:
        await self._finish(item, awaitable)
        while not self._closed:
            while self.queue:
                item = self.queue.popleft()
                found = self._call(item)
                if found is None:
                    self._done(item)
                else:
                    await self._finish(item, found)
                if self._closed:
                    return
            self._idle = asyncio.get_running_loop().create_future()
            try:
                await self._idle
            finally:
                self._idle = None

    async def _finish(self, item: _T, awaitable: Awaitable[object]) -> None:
        try:
            await awaitable
        except asyncio.CancelledError:
            task = current_task()
            if task is None or task.cancelling():
                raise
            _logger.error("%s was cancelled by something it awaited", self._name_of(item))
        except Exception:
            _logger.exception("%s raised", self._name_of(item))
        self._done(item)


def cancel(task: asyncio.Task[None]) -> None:
    """Cancel another task after its first step: a handler's coroutine that never began would warn of that."""
    if task is not current_task():
        task.get_loop().call_soon(task.cancel)


def current_task() -> asyncio.Task[object] | None:
    """The task that runs, None in a callback or outside a loop."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
