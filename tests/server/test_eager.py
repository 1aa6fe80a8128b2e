"""The runner: coroutines stepped at once, and what they may notice of it (nothing).

Everything that a handler can see is compared with an ordinary task: the same coroutine is run both ways, under
asyncio's loop and under uvloop.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
import uvloop

from heartline.server.eager import POOL, Runner

from .stepping import begin, end

Start = Callable[[Coroutine[Any, Any, Any]], Any]
Case = Callable[[], Coroutine[Any, Any, Any]]

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="outside")


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[Runner], Awaitable[Any]]], Any]:
    """Runs a test with a warm runner and closes it."""

    def go(test: Callable[[Runner], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            runner = Runner(asyncio.get_running_loop())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            try:
                return await asyncio.wait_for(test(runner), 10)
            finally:
                await runner.close()

        return request.param(main())

    return go


# --- as in an ordinary task ------------------------------------------------------------------------


async def timeout_in_time() -> str:
    async with asyncio.timeout(5):
        await asyncio.sleep(0)
    return "in time"


async def timeout_runs_out() -> str:
    try:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(5)
    except TimeoutError:
        task = asyncio.current_task()
        assert task is not None
        return f"time-out, cancelling {task.cancelling()}"
    return "no time-out"


async def timeout_of_nothing() -> str:
    """The time-out fires between the first step and the moment the task wakes."""
    try:
        async with asyncio.timeout(0):
            await asyncio.sleep(5)
    except TimeoutError:
        return "time-out"
    return "no time-out"


async def wait_for_runs_out() -> str:
    try:
        await asyncio.wait_for(asyncio.sleep(5), 0.01)
    except TimeoutError:
        return "time-out"
    return "no time-out"


async def task_group() -> list[int]:
    found: list[int] = []

    async def child(n: int) -> None:
        await asyncio.sleep(0)
        found.append(n)

    async with asyncio.TaskGroup() as group:
        for n in range(5):
            group.create_task(child(n))
    return found


async def task_group_fails() -> str:
    async def bad() -> None:
        raise ValueError("child")

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(bad())
            await asyncio.sleep(5)
    except ExceptionGroup as found:
        return f"{len(found.exceptions)} failed"
    return "none failed"


async def one_task_all_along() -> bool:
    before = asyncio.current_task()
    await asyncio.sleep(0)
    between = asyncio.current_task()
    await asyncio.sleep(0.001)
    return before is not None and before is between is asyncio.current_task()


async def locks_and_queues() -> list[int]:
    lock, queue, found = asyncio.Lock(), asyncio.Queue[int](), []

    async def work(n: int) -> None:
        async with lock:
            await asyncio.sleep(0)
            queue.put_nowait(n)

    await asyncio.gather(*(work(n) for n in range(4)))
    while not queue.empty():
        found.append(queue.get_nowait())
    return found


async def cancels_itself() -> str:
    task = asyncio.current_task()
    assert task is not None
    task.cancel("by myself")
    try:
        await asyncio.sleep(5)
    except asyncio.CancelledError as error:
        task.uncancel()
        return f"cancelled {error.args} {task.cancelling()}"
    return "not cancelled"


async def context_is_kept() -> tuple[str, str, str]:
    before = variable.get()
    variable.set("inside")
    await asyncio.sleep(0)
    between = variable.get()
    await asyncio.sleep(0)
    return before, between, variable.get()


async def raises_late() -> None:
    await asyncio.sleep(0)
    raise LookupError("late")


async def raises_at_once() -> None:
    raise LookupError("at once")


CASES: list[Case] = [
    timeout_in_time,
    timeout_runs_out,
    timeout_of_nothing,
    wait_for_runs_out,
    task_group,
    task_group_fails,
    one_task_all_along,
    locks_and_queues,
    cancels_itself,
    context_is_kept,
    raises_late,
    raises_at_once,
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_handlers_see_an_ordinary_task(case: Case, run: Any) -> None:
    async def both(runner: Runner) -> None:
        results = []
        for _ in range(3):
            for start in (lambda c: end(begin(runner, c)), asyncio.create_task):
                try:
                    results.append(await start(case()))
                except LookupError as error:
                    results.append(error.args)
        assert results == [results[0]] * 6

    run(both)


def test_current_task_is_the_callers_again(run: Any) -> None:
    async def test(runner: Runner) -> None:
        mine = asyncio.current_task()
        seen = []

        async def handler() -> None:
            seen.append(asyncio.current_task())

        for _ in range(3):
            begin(runner, handler())
            assert asyncio.current_task() is mine
        with pytest.raises(LookupError):
            begin(runner, raises_at_once())
        assert asyncio.current_task() is mine
        assert mine not in seen

    run(test)


def test_what_does_not_suspend_ends_at_once(run: Any) -> None:
    async def test(runner: Runner) -> None:
        async def handler(n: int) -> int:
            return n

        for n in range(10 * POOL):
            assert begin(runner, handler(n)) == (True, n, None)
        assert runner.running == 0

    run(test)


# --- cancelling -----------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("what", ["future", "task", "event", "shield"])
def test_cancelling_reaches_what_is_awaited(steps: int, what: str, run: Any) -> None:
    """Also between the first step and the waking of the parked task: what is awaited is cancelled as ever."""

    async def once(start: Start) -> list[object]:
        loop = asyncio.get_running_loop()
        log: list[object] = []
        future: asyncio.Future[None] = loop.create_future()
        event = asyncio.Event()

        async def inner() -> None:
            try:
                await asyncio.sleep(5)
            except asyncio.CancelledError:
                log.append("inner cancelled")
                raise

        async def handler() -> None:
            try:
                if what == "future":
                    await future
                elif what == "task":
                    await child
                elif what == "event":
                    await event.wait()
                else:
                    await asyncio.shield(future)
            except asyncio.CancelledError:
                log.append("handler cancelled")
                raise

        child = asyncio.create_task(inner())
        await asyncio.sleep(0)
        task = start(handler())
        for _ in range(steps):
            await asyncio.sleep(0)
        assert task.cancel("why")
        with pytest.raises(asyncio.CancelledError):
            await task
        verdict = [*log, task.cancelled(), future.cancelled(), child.cancelled()]
        child.cancel()
        await asyncio.gather(child, return_exceptions=True)
        return verdict

    async def test(runner: Runner) -> None:
        assert await once(runner.start) == await once(asyncio.create_task)

    # An ordinary task that is cancelled before its first step never begins; one of ours has taken it.
    if steps:
        run(test)
    else:

        async def begun(runner: Runner) -> None:
            log = await once(runner.start)
            assert "handler cancelled" in log
            assert log[-3:] == [True, what == "future", what == "task"]

        run(begun)


def test_many_may_await_one_future(run: Any) -> None:
    """Single flight: several handlers of one turn wait for the same future."""

    async def test(runner: Runner) -> None:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def handler() -> str:
            return await future

        tasks = [runner.start(handler()) for _ in range(POOL // 2)]
        other = asyncio.create_task(handler())
        await asyncio.sleep(0)
        future.set_result("shared")
        assert await asyncio.gather(*tasks, other) == ["shared"] * (POOL // 2 + 1)

    run(test)


def test_a_future_done_before_the_task_wakes(run: Any) -> None:
    async def test(runner: Runner) -> None:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def handler() -> str:
            return await future

        task = runner.start(handler())
        future.set_result("early")
        assert await task == "early"

    run(test)


def test_cancelled_parked_tasks_are_passed_over(run: Any) -> None:
    """Somebody goes through `asyncio.all_tasks()`."""

    async def test(runner: Runner) -> None:
        for task in asyncio.all_tasks():
            if getattr(task.get_coro(), "__name__", "") == "_parked":
                task.cancel()
        for case in CASES[:3] * 10:
            assert await end(begin(runner, case())) == await case()

    run(test)


# --- contexts ---------------------------------------------------------------------------------------


def test_contexts_do_not_leak(run: Any) -> None:
    async def test(runner: Runner) -> None:
        async def handler(suspend: bool) -> str:
            found = variable.get()
            variable.set("leaked")
            if suspend:
                await asyncio.sleep(0)
            return found

        for suspend in (False, True) * 5:
            assert await end(begin(runner, handler(suspend))) == "outside"
            assert variable.get() == "outside"

    run(test)


def test_the_callers_context_does_not_leak_into_handlers(run: Any) -> None:
    """Whoever's call happens to start a handler: it sees the context of the server, not of the caller."""

    async def test(runner: Runner) -> None:
        async def handler() -> str:
            return variable.get()

        variable.set("the caller's")
        assert begin(runner, handler())[1] == "outside"
        flood = [runner.start(context_is_kept()) for _ in range(3 * POOL)]
        assert await asyncio.gather(*flood) == [("outside", "inside", "inside")] * (3 * POOL)

    run(test)
