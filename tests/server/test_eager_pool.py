"""The runner: parked tasks, their order, and the end of everything."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import uvloop

from heartline.server.eager import EAGER_TASKS, POOL, Runner

from .stepping import begin, end


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
            tasks += [runner.start(handler(next(numbers))) for _ in range(size)]
            await asyncio.sleep(0)
            tasks += [runner.start(handler(next(numbers))) for _ in range(size)]
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
                done, value, task = begin(runner, handler(depth - 1))
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
            await end(begin(runner, handler(depth)))
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

        started = [begin(runner, handler(n)) for n in range(500)]
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
            await end(begin(runner, handler(suspend)))
        await asyncio.sleep(0)
        gc.collect()
        assert Thing.alive == 0

    run(test)
