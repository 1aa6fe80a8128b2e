"""The runner: coroutines stepped at once, and what they may notice of it (nothing).

Everything that a handler can see is compared with an ordinary task: the same coroutine is run both ways, under
asyncio's loop and under uvloop.
"""

import asyncio
import contextvars
import gc
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

from heartline.server.eager import EAGER_TASKS, POOL, Runner

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


async def end(started: tuple[bool, Any, Any]) -> Any:
    """The value of what was started, whenever it comes."""
    done, value, task = started
    return value if done else await task


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
            for start in (lambda c: end(runner.start(c)), asyncio.create_task):
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
            runner.start(handler())
            assert asyncio.current_task() is mine
        with pytest.raises(LookupError):
            runner.start(raises_at_once())
        assert asyncio.current_task() is mine
        assert mine not in seen

    run(test)


def test_what_does_not_suspend_ends_at_once(run: Any) -> None:
    async def test(runner: Runner) -> None:
        async def handler(n: int) -> int:
            return n

        for n in range(10 * POOL):
            assert runner.start(handler(n)) == (True, n, None)
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
        assert await once(lambda c: runner.start(c)[2]) == await once(asyncio.create_task)

    # An ordinary task that is cancelled before its first step never begins; one of ours has taken it.
    if steps:
        run(test)
    else:

        async def begun(runner: Runner) -> None:
            log = await once(lambda c: runner.start(c)[2])
            assert "handler cancelled" in log
            assert log[-3:] == [True, what == "future", what == "task"]

        run(begun)


def test_many_may_await_one_future(run: Any) -> None:
    """Single flight: several handlers of one turn wait for the same future."""

    async def test(runner: Runner) -> None:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def handler() -> str:
            return await future

        tasks = [runner.start(handler())[2] for _ in range(POOL // 2)]
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

        task = runner.start(handler())[2]
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
            assert await end(runner.start(case())) == await case()

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
            assert await end(runner.start(handler(suspend))) == "outside"
            assert variable.get() == "outside"

    run(test)


def test_the_callers_context_does_not_leak_into_handlers(run: Any) -> None:
    """Whoever's call happens to start a handler: it sees the context of the server, not of the caller."""

    async def test(runner: Runner) -> None:
        async def handler() -> str:
            return variable.get()

        variable.set("the caller's")
        assert runner.start(handler())[1] == "outside"
        flood = [runner.start(context_is_kept())[2] for _ in range(3 * POOL)]
        assert await asyncio.gather(*flood) == [("outside", "inside", "inside")] * (3 * POOL)

    run(test)


# --- the pool ---------------------------------------------------------------------------------------


def test_a_kept_task_is_retired(run: Any) -> None:
    async def test(runner: Runner) -> None:
        kept: list[asyncio.Task[Any] | None] = []
        timeouts = []

        async def keeps_its_task() -> None:
            kept.append(asyncio.current_task())

        async def keeps_a_timeout() -> None:
            async with asyncio.timeout(5) as timeout:
                timeouts.append(timeout)
                await keeps_nothing()

        async def keeps_nothing() -> asyncio.Task[Any] | None:
            assert asyncio.current_task() is not None
            return None

        pool = runner._pool
        assert (pool is None) is EAGER_TASKS  # Python 3.12 has nothing to retire, the rest holds all the same
        for _ in range(3 * POOL):
            runner.start(keeps_nothing())
        assert pool is None or pool.retired == 0, "a task nobody keeps is used again"
        for keeps in (keeps_its_task, keeps_a_timeout) * POOL:
            runner.start(keeps())
            await asyncio.sleep(0)
        assert len(set(map(id, kept))) == len(kept) == POOL
        assert pool is None or pool.retired == 2 * POOL
        kept.clear()
        timeouts.clear()

    run(test)


def test_retired_tasks_end(run: Any) -> None:
    async def test(runner: Runner) -> None:
        kept: list[Any] = []

        async def keeps_its_task() -> None:
            kept.append(asyncio.current_task())

        for _ in range(4):
            runner.start(keeps_its_task())
        async with asyncio.timeout(5):
            await asyncio.gather(*kept)
        assert all(task.done() for task in kept)

    run(test)


def test_first_steps_keep_their_order(run: Any) -> None:
    """More suspended ones at once than there are parked tasks, over several turns, nested starts among them."""

    async def test(runner: Runner) -> None:
        begun: list[int] = []
        gate = asyncio.Event()
        tasks: list[Any] = []
        numbers: Iterator[int] = iter(range(10_000))

        async def handler(n: int) -> None:
            begun.append(n)
            await gate.wait()

        for size in (3, 2 * POOL, 5, 1, 3 * POOL, 2):
            tasks += [runner.start(handler(next(numbers)))[2] for _ in range(size)]
            await asyncio.sleep(0)
            tasks += [runner.start(handler(next(numbers)))[2] for _ in range(size)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert begun == list(range(len(tasks)))
        assert runner.running == len(tasks)
        gate.set()
        await asyncio.gather(*tasks)
        await asyncio.sleep(0)
        assert runner.running == 0

    run(test)


def test_deep_nesting_of_eager_starts(run: Any) -> None:
    async def test(runner: Runner) -> None:
        tasks: list[Any] = []
        seen: list[tuple[int, bool]] = []

        async def handler(depth: int) -> int:
            mine = asyncio.current_task()
            below = 0
            if depth:
                done, value, task = runner.start(handler(depth - 1))
                assert asyncio.current_task() is mine
                if done:
                    below = value or 0
                else:
                    tasks.append(task)
            if depth % 3 == 0:
                await asyncio.sleep(0)
            seen.append((depth, asyncio.current_task() is mine))
            return below + 1

        for depth in (3, 2 * POOL, 3 * POOL):
            await end(runner.start(handler(depth)))
        while tasks:
            await tasks.pop()
        assert len(seen) == 5 * POOL + 6
        assert all(same for _, same in seen)

    run(test)


def test_many_suspended_at_once(run: Any) -> None:
    async def test(runner: Runner) -> None:
        async def handler(n: int) -> int:
            await asyncio.sleep(0.001 * (n % 7))
            async with asyncio.timeout(5):
                await asyncio.sleep(0)
            return n

        started = [runner.start(handler(n)) for n in range(500)]
        assert await asyncio.gather(*map(end, started)) == list(range(500))

    run(test)


# --- the end ----------------------------------------------------------------------------------------


def test_closing_leaves_no_task(run: Any) -> None:
    async def test(_: Runner) -> None:
        before = asyncio.all_tasks()
        runner = Runner(asyncio.get_running_loop())
        log: list[str] = []

        async def last() -> None:
            await asyncio.sleep(5)

        async def handler(n: int) -> None:
            try:
                await asyncio.sleep(5)
            finally:
                log.append(f"end {n}")
                runner.start(last())

        for n in range(2 * POOL):
            runner.start(handler(n))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await runner.close()
        assert sorted(log) == sorted(f"end {n}" for n in range(2 * POOL))
        assert asyncio.all_tasks() == before
        assert runner.running == 0

    run(test)


def test_closing_at_once_leaves_no_task(run: Any) -> None:
    async def test(_: Runner) -> None:
        before = asyncio.all_tasks()
        await Runner(asyncio.get_running_loop()).close()
        assert asyncio.all_tasks() == before

    run(test)


def test_waiting_for_what_runs(run: Any) -> None:
    async def test(runner: Runner) -> None:
        loop = asyncio.get_running_loop()

        async def handler(seconds: float) -> None:
            await asyncio.sleep(seconds)

        await runner.wait(5)
        runner.start(handler(0.01))
        await runner.wait(5)
        assert runner.running == 0
        runner.start(handler(5))
        began = loop.time()
        await runner.wait(0.02)
        assert loop.time() - began < 2
        assert runner.running == 1

    run(test)


def test_nothing_is_kept_of_what_ended(run: Any) -> None:
    async def test(runner: Runner) -> None:
        class Thing:
            alive = 0

            def __init__(self) -> None:
                Thing.alive += 1

            def __del__(self) -> None:
                Thing.alive -= 1

        async def handler(suspend: bool) -> None:
            thing = Thing()
            if suspend:
                await asyncio.sleep(0)
            del thing
            _ = Thing()

        for suspend in (False, True) * POOL * 2:
            await end(runner.start(handler(suspend)))
        await asyncio.sleep(0)
        gc.collect()
        assert Thing.alive == 0

    run(test)
