"""Stepping a handler at once: a coroutine that does not suspend costs no scheduled task.

Python 3.12 has eager tasks. On 3.11 the first step runs in the name of a parked, real task, so that
`asyncio.current_task()`, time-outs, task groups and context variables see what they expect; the task is woken only if
the coroutine suspends.

Invariants:
- current_task, timeout, TaskGroup, cancellation and context variables behave as in an ordinary task
  (test_handlers_see_an_ordinary_task);
- nothing of a handler's context leaks into the caller or the next handler (test_contexts_do_not_leak);
- a parked task that somebody kept a reference to is never used again (test_a_kept_task_is_retired).
"""

import asyncio
import sys
import types
from asyncio.tasks import _enter_task, _leave_task, current_task
from collections import deque
from collections.abc import Coroutine, Generator
from contextvars import Context, copy_context
from typing import Any, Final, TypeVar

_T = TypeVar("_T")
POOL: Final = 16
EAGER_TASKS: Final = sys.version_info >= (3, 12)


class Runner:
    """Runs coroutines, the first step at once. Use in one loop; `close` lets the parked tasks end."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tasks: set[asyncio.Task[Any]] = set()
        self._pool = _ParkedPool(loop) if not EAGER_TASKS else None

    def start(self, coroutine: Coroutine[Any, Any, _T]) -> "tuple[bool, _T | None, asyncio.Task[_T] | None]":
        """Step once: (True, value, None) when that was all, else (False, None, the task that goes on).

        Raises what the coroutine raised in its first step.
        """
        if self._pool is not None:
            done, value, task = self._pool.start(coroutine)
        else:
            task = asyncio.Task(coroutine, loop=self._loop, eager_start=True)  # type: ignore[call-arg,unused-ignore]
            done = task.done()
            if done:
                return True, task.result(), None
            value = None
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return done, value, task

    def spawn(self, coroutine: Coroutine[Any, Any, _T]) -> "asyncio.Task[_T]":
        """An ordinary task that `close` knows of."""
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Cancel what still runs and wait for its end."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._pool is not None:
            await self._pool.close()


class _Slot:
    """One parked task, and the coroutine it is to go on with."""

    __slots__ = ("awaited", "context", "coroutine", "park", "task")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.coroutine: Coroutine[Any, Any, Any] | None = None
        self.context: Context | None = None
        self.awaited: Any = None
        self.park: asyncio.Future[None] = loop.create_future()
        # The parked task yields this future by hand: mark it as asyncio's own `await` would.
        self.park._asyncio_future_blocking = True
        self.task: asyncio.Task[Any] = loop.create_task(_parked(self))


async def _parked(slot: _Slot) -> Any:
    return await _drive(slot)


@types.coroutine
def _drive(slot: _Slot) -> Generator[Any, Any, Any]:
    """Wait in the parking place, then be the coroutine whose first step another ran in our name."""
    thrown: BaseException | None = None
    try:
        yield slot.park
    except asyncio.CancelledError as error:
        thrown = error
    coroutine, context = slot.coroutine, slot.context
    if coroutine is None or context is None:
        if thrown is not None:
            raise thrown
        return None
    awaited = slot.awaited
    slot.coroutine = slot.context = slot.awaited = None
    if thrown is not None and awaited is not None:
        awaited._asyncio_future_blocking = False
    while True:
        try:
            if thrown is not None:
                cause, thrown = thrown, None
                awaited = context.run(coroutine.throw, cause)
        except StopIteration as stop:
            return stop.value
        try:
            value = yield awaited
        except BaseException as error:  # noqa: BLE001 - it is thrown into the coroutine
            thrown = error
        else:
            try:
                awaited = context.run(coroutine.send, value)
            except StopIteration as stop:
                return stop.value


class _ParkedPool:
    """Idle parked tasks. A slot whose task's reference count grew was kept by somebody and is retired."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._warm: deque[_Slot] = deque()
        self._warming: list[_Slot] = []
        self._idle_references: int | None = None
        self.retired = 0
        self._refill()

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> "tuple[bool, Any, asyncio.Task[Any] | None]":
        if not self._warm:
            if not self._warming:
                self._refill()
            return False, None, self._loop.create_task(coroutine)
        slot = self._warm.popleft()
        task, loop = slot.task, self._loop
        outer = current_task(loop)
        if outer is not None:
            _leave_task(loop, outer)
        _enter_task(loop, task)
        context = copy_context()
        try:
            awaited = context.run(coroutine.send, None)
        except StopIteration as stop:
            self._give_back(slot)
            return True, stop.value, None
        except BaseException:
            self._give_back(slot)
            raise
        finally:
            _leave_task(loop, task)
            if outer is not None:
                _enter_task(loop, outer)
        slot.coroutine, slot.context, slot.awaited = coroutine, context, awaited
        if not slot.park.done():
            slot.park.set_result(None)
        if len(self._warm) < POOL // 2 and not self._warming:
            self._refill()
        return False, None, task

    async def close(self) -> None:
        slots = [*self._warm, *self._warming]
        self._warm.clear()
        self._warming.clear()
        for slot in slots:
            if not slot.park.done():
                slot.park.set_result(None)
        await asyncio.gather(*(slot.task for slot in slots), return_exceptions=True)

    def _give_back(self, slot: _Slot) -> None:
        kept = sys.getrefcount(slot.task) > (self._idle_references or 0)
        if kept or slot.task.cancelling() or slot.park.done():
            self.retired += 1
            if not slot.park.done():
                slot.park.set_result(None)
            if not self._warming:
                self._refill()
        else:
            self._warm.appendleft(slot)

    def _refill(self) -> None:
        """Make slots; they are warm once their tasks have taken the first step and wait in their parking places."""
        self._warming = [_Slot(self._loop) for _ in range(POOL)]
        self._loop.call_soon(self._warmed)

    def _warmed(self) -> None:
        if self._idle_references is None and self._warming:
            self._idle_references = _references(self._warming[-1])
        self._warm.extend(self._warming)
        self._warming = []


def _references(slot: _Slot) -> int:
    """How many references an idle task has, counted in the same way as `_give_back` counts."""
    return sys.getrefcount(slot.task)
