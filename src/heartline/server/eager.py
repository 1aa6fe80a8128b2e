"""Stepping a coroutine at once: one that does not suspend costs no scheduled task.

Python 3.12 has eager tasks. On 3.11 the first step runs in the name of a parked, real task, so that
`asyncio.current_task()`, time-outs, task groups and context variables see what they expect; the task is woken only if
the coroutine suspends. `asyncio.all_tasks()` therefore shows some parked tasks while a server serves.

Invariants:
- current_task, timeout, TaskGroup, cancellation and context variables behave as in an ordinary task
  (test_handlers_see_an_ordinary_task);
- nothing of a handler's context leaks into the caller or the next handler (test_contexts_do_not_leak);
- a parked task that somebody kept a reference to is never used again (test_a_kept_task_is_retired);
- coroutines take their first step in the order in which they were given, also when no parked task is left
  (test_first_steps_keep_their_order);
- after `close` no task is left (test_closing_leaves_no_task).
"""

import asyncio
import sys
import types
from collections.abc import Coroutine, Generator
from contextvars import Context, copy_context
from typing import Any, Final

POOL: Final = 16
EAGER_TASKS: Final = sys.version_info >= (3, 12)
_ENDED: Final = object()
# Finals, because compiled code looks every other global up by its name, each time.
_references: Final = sys.getrefcount
_next: Final = next
# What asyncio.current_task() looks into; asking it takes three times as long, and so does having asyncio write there.
_current_tasks: Final[dict[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = getattr(asyncio.tasks, "_current_tasks", {})


class Runner:
    """Runs coroutines, the first step at once. Use in one loop, and `close` it.

    Each coroutine gets a copy of the context in which the runner was made. Runners may share their parked tasks
    (`beside`); the one that made them is to be closed last.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, beside: "Runner | None" = None) -> None:
        self._loop = loop
        self._context = copy_context()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._owns_pool = beside is None
        self._pool: _ParkedPool | None = None
        if beside is not None:
            self._pool = beside._pool
        elif not EAGER_TASKS:
            self._pool = _ParkedPool(loop, self._context)

    @property
    def running(self) -> int:
        """How many coroutines have suspended and not ended."""
        return len(self._tasks)

    def start(self, coroutine: Coroutine[Any, Any, object]) -> "asyncio.Task[Any] | None":
        """Step once: None when that was all, else the task that goes on. Raises what the first step raised.

        A value is given up: a coroutine that has one puts it where it belongs.
        """
        if self._pool is not None:
            return self._pool.start(coroutine, self._tasks)
        task = asyncio.Task(
            coroutine,
            loop=self._loop,
            context=self._context.copy(),
            eager_start=True,  # type: ignore[call-arg,unused-ignore]
        )
        if task.done():
            task.result()
            return None
        return _kept(task, self._tasks)

    async def wait(self, timeout: float) -> None:
        """Wait until nothing runs any more, `timeout` seconds at most."""
        deadline = self._loop.time() + timeout
        while self._tasks and (left := deadline - self._loop.time()) > 0:
            await asyncio.wait(self._tasks, timeout=left)

    async def cancel(self) -> None:
        """Cancel what still runs and wait for its end, and for the end of what it started meanwhile."""
        while self._tasks:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0)  # where all were done, gather waits for nothing (3.12), nor for their callbacks

    async def close(self) -> None:
        """Cancel what still runs, and let the parked tasks end."""
        await self.cancel()
        if self._pool is not None and self._owns_pool:
            await self._pool.close()


def _kept(task: "asyncio.Task[Any]", tasks: set[asyncio.Task[Any]]) -> "asyncio.Task[Any]":
    """The task, which the set holds until it ends."""
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return task


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
        self.task: asyncio.Task[Any] = asyncio.Task(_parked(self), loop=loop)


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
    coroutine, context, awaited = slot.coroutine, slot.context, slot.awaited
    slot.coroutine = slot.context = slot.awaited = None
    if coroutine is None or context is None:
        if thrown is not None:
            raise thrown
        return None
    if _blocks(awaited) is not None:
        # What Task.cancel() does: what is awaited is cancelled, and its end tells the coroutine.
        if thrown is not None and awaited.cancel(*thrown.args):
            thrown = None
        # `start` took the mark off, as a task does at once: another may have awaited the same future meanwhile.
        awaited._asyncio_future_blocking = thrown is None
    while True:
        if thrown is not None:
            cause, thrown = thrown, None
            try:
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


def _blocks(awaited: object) -> bool | None:
    """The mark by which a task knows a future that is awaited; None for what is no future."""
    mark: bool | None = getattr(awaited, "_asyncio_future_blocking", None)
    return mark


class _ParkedPool:
    """Idle parked tasks. A slot whose task's reference count grew was kept by somebody and is retired."""

    def __init__(self, loop: asyncio.AbstractEventLoop, context: Context) -> None:
        self._loop = loop
        self._context = context
        self._warm: list[_Slot] = []
        self._warming: list[_Slot] = []
        self._unstarted = 0
        self._idle_references: int = 0  # not known yet
        self._closed = False
        self.retired = 0
        self._refill()

    def start(
        self, coroutine: Coroutine[Any, Any, object], tasks: set[asyncio.Task[Any]]
    ) -> "asyncio.Task[Any] | None":
        """As `Runner.start`; a task that goes on is put into `tasks`."""
        warm = self._warm
        if self._unstarted or not warm:
            return _kept(self._start_ordinary(coroutine), tasks)
        slot = warm.pop()
        if slot.park.done():  # cancelled by way of `asyncio.all_tasks()`: no good any more
            return self.start(coroutine, tasks)
        task, loop = slot.task, self._loop
        outer = _current_tasks.get(loop)
        _current_tasks[loop] = task
        context = self._context.copy()
        try:
            # `next` and not `send`: one that returns nothing ends without an exception, whose making costs more.
            awaited: Any = context.run(_next, coroutine.__await__(), _ENDED)
        except BaseException:
            self._give_back(slot)
            raise
        finally:
            if outer is None:
                del _current_tasks[loop]
            else:
                _current_tasks[loop] = outer
        if awaited is _ENDED:
            if _references(task) == self._idle_references:
                warm.append(slot)
            else:
                self._give_back(slot)
            return None
        if _blocks(awaited):
            awaited._asyncio_future_blocking = False
        slot.coroutine, slot.context, slot.awaited = coroutine, context, awaited
        if not slot.park.done():
            slot.park.set_result(None)
        if len(self._warm) < POOL // 2 and not self._warming:
            self._refill()
        return _kept(task, tasks)

    async def close(self) -> None:
        self._closed = True
        slots = [*self._warm, *self._warming]
        self._warm.clear()
        self._warming.clear()
        for slot in slots:
            if not slot.park.done():
                slot.park.set_result(None)
        await asyncio.gather(*(slot.task for slot in slots), return_exceptions=True)

    def _start_ordinary(self, coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Without a warm slot: a task that takes its first step soon, and before it no later coroutine may."""
        if not self._warming:
            self._refill()
        task = asyncio.Task(coroutine, loop=self._loop, context=self._context.copy())
        self._unstarted += 1
        self._loop.call_soon(self._started)
        return task

    def _started(self) -> None:
        self._unstarted -= 1

    def _give_back(self, slot: _Slot) -> None:
        references = sys.getrefcount(slot.task)
        if not self._idle_references:
            self._idle_references = references  # of the trial run, which keeps nothing
        if references > self._idle_references or slot.park.done():
            self.retired += 1
            if not slot.park.done():
                slot.park.set_result(None)
            if len(self._warm) < POOL // 2 and not self._warming:
                self._refill()
        else:
            self._warm.append(slot)

    def _refill(self) -> None:
        """Make slots; they are warm once their tasks have taken the first step and wait in their parking places."""
        if self._closed:
            return
        self._warming = [_Slot(self._loop) for _ in range(POOL)]
        self._loop.call_soon(self._warmed)

    def _warmed(self) -> None:
        self._warm.extend(self._warming)
        self._warming = []
        if not self._idle_references and self._warm:
            self.start(_trial(), set())


async def _trial() -> None:
    """Keeps no reference to its task: what is counted after it is what a task has that can be used again."""
