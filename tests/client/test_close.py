"""Closing: at once, for good, from anywhere, in every state, with nothing left behind."""

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import heartline
from heartline import Identity, Refuse, State
from heartline.transports.clock import now

from .conftest import Run
from .world import World, open_files, quick, until, until_state, world


@asynccontextmanager
async def nothing_left(w: World) -> AsyncIterator[None]:
    """Fails when the block leaves a task, a socket or a timer of the client."""
    await until(lambda: not w.proxy.links)
    gc.collect()  # what tests before this one left open must not be closed inside it
    files = open_files()
    yield
    names = [repr(task.get_coro()) for task in asyncio.all_tasks()]
    assert not [name for name in names if "Dialler" in name or "Lane" in name or "Shell" in name], names
    for timer in getattr(asyncio.get_running_loop(), "_scheduled", ()):  # uvloop keeps its timers to itself
        assert timer.cancelled() or "heartline.client" not in repr(timer), timer
    await until(lambda: open_files() == files)


def judged(app: heartline.Server) -> None:
    @app.login
    async def login(token: Any) -> Identity:
        if token == "hang":
            await asyncio.Event().wait()
        if token == "bad":
            raise Refuse("bad_token")
        return Identity("ann")


async def reach(w: World, conn: heartline.Connection, state: State) -> None:
    """Bring a connection into a state."""
    if state is State.IDLE:
        return
    if state is State.DIALLING:
        w.proxy.hang_dials()
    elif state in {State.WAITING, State.GAVE_UP}:
        w.proxy.refuse()
    await conn.start()
    await until_state(conn, State.OPEN if state is State.MOVING else state)
    if state is State.MOVING:
        w.proxy.hang_dials()
        assert w.app._hub is not None
        w.app._hub.node.drain_links(0.0, 0.0)
        w.app._hub.turn()
        await until_state(conn, State.MOVING)


def options_for(state: State) -> dict[str, Any]:
    if state is State.GREETING:
        return {"login": "hang"}
    if state is State.REFUSED:
        return {"login": "bad"}
    if state is State.GAVE_UP:
        return {"policy": quick(max_attempts=1)}
    return {"policy": quick(back_off=heartline.BackOff(60.0, 60.0))}


@pytest.mark.parametrize("how", ["close", "end", "with"])
@pytest.mark.parametrize("state", [state for state in State if state is not State.CLOSED])
def test_close_in_every_state(run: Run, state: State, how: str) -> None:
    async def main() -> None:
        async with world(declare=judged) as w, nothing_left(w):
            conn = w.connect(**options_for(state))
            await reach(w, conn, state)
            assert conn.state is state
            if how == "with":
                await conn.__aexit__(None, None, None)
            else:
                await getattr(conn, how)()
            assert conn.state is State.CLOSED
            await conn.close()
            await conn.end()
            dials = w.proxy.stats.dials
            conn.retry_now()
            conn.network_changed()
            with pytest.raises(RuntimeError, match="was closed"):
                await conn.start()
            with pytest.raises(heartline.ConnectionClosed):
                await conn.connected()
            await asyncio.sleep(0.02)
            assert w.proxy.stats.dials == dials
            assert conn.state is State.CLOSED

    run(main())


def test_closing_leaves_nothing(run: Run) -> None:
    async def main() -> None:
        async with world() as w:
            for _ in range(3):
                async with nothing_left(w), w.connect() as conn:
                    subscription = conn.subscribe("c/1", callback=lambda item: asyncio.sleep(10))
                    conn.on("told", lambda data: asyncio.sleep(10))
                    await subscription.ready()
                    await conn.publish("c/1", 1)
                    await conn.request("tell", 1)
                    waiting = [
                        asyncio.create_task(conn.request("slow", 1)),
                        asyncio.create_task(conn.settled()),
                    ]
                    await until(lambda conn=conn: len(conn._shell.tasks) == 2)
                    await conn.close()
                    await asyncio.wait(waiting, timeout=1)
                    assert all(task.done() for task in waiting)
                    waiting[0].exception()
                    waiting[1].exception()
            w.hold.set()

    run(main())


def test_closing_a_frozen_link_takes_a_second(run: Run) -> None:
    async def main() -> None:
        async with world() as w, nothing_left(w):
            async with w.connect() as conn:
                await conn.connected(5)
                w.proxy.freeze()
                began = asyncio.get_running_loop().time()
                await conn.close()
                assert asyncio.get_running_loop().time() - began < 2
            w.proxy.cut_all()

    run(main())


def test_two_closers(run: Run) -> None:
    async def main() -> None:
        async with world() as w, nothing_left(w):
            conn = w.connect()
            await conn.start()
            await conn.connected(5)
            await asyncio.gather(conn.close(), conn.close(), conn.end())
            assert conn.state is State.CLOSED

    run(main())


def test_a_cancelled_close_still_closes(run: Run) -> None:
    async def main() -> None:
        async with world() as w, nothing_left(w):
            conn = w.connect()
            await conn.start()
            await conn.connected(5)
            w.proxy.freeze()
            closing = asyncio.create_task(conn.close())
            await asyncio.sleep(0.01)
            closing.cancel()
            await asyncio.wait([closing])
            await until(lambda: not conn._shell.links)
            w.proxy.thaw()

    run(main())


def test_ending_makes_the_server_forget(run: Run) -> None:
    async def main() -> None:
        async with world() as w:
            for end in (False, True):
                conn = w.connect()
                await conn.start()
                await conn.connected(5)
                await (conn.end() if end else conn.close())
                await until(lambda end=end: w.app.stats().detached == 1)
                assert w.app.stats().sessions == 1  # the closed one is kept, the ended one is not

    run(main())


def test_closing_in_the_login(run: Run) -> None:
    async def main() -> None:
        async with world() as w, nothing_left(w):

            async def login() -> str:
                await conn.close()
                return "t"

            conn = w.connect(login=login)
            await conn.start()
            await until_state(conn, State.CLOSED)
            await until(lambda: not conn._shell.tasks)
            assert w.proxy.stats.dials == 0

    run(main())


def test_a_handler_that_will_not_stop_is_told(
    run: Run, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from heartline.client import lane

    monkeypatch.setattr(lane, "TASKS_END", 0.05)

    async def main() -> None:
        async with world() as w:
            stop = asyncio.Event()
            async with w.connect() as conn:

                @conn.on("told")
                async def stubborn(data: Any) -> None:
                    while not stop.is_set():
                        try:
                            await stop.wait()
                        except asyncio.CancelledError:
                            continue

                await conn.request("tell", 1)
                await until(lambda: conn._shell.tasks)
            stop.set()
            await until(lambda: not conn._shell.tasks)

    run(main())
    assert "it does not stop when it is cancelled" in caplog.text


def test_a_dropped_connection_warns(run: Run) -> None:
    async def main() -> None:
        async with world() as w, nothing_left(w):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                conn = w.connect()
                await conn.start()
                await conn.connected(5)
                shell = conn._shell
                del conn
                gc.collect()
                assert [str(w.message) for w in caught if w.category is ResourceWarning] == [
                    "<Connection open, 0 pending> was dropped without being closed"
                ]
            await until(lambda: shell.machine.state is State.CLOSED and not shell.links)

    run(main())


def test_one_never_started_or_closed_does_not_warn(run: Run) -> None:
    async def main() -> None:
        async with world() as w:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                w.connect()
                async with w.connect():
                    pass
                gc.collect()

    run(main())


def test_the_timer_is_left_alone(run: Run) -> None:
    """Traffic moves the deadlines further away; the timer that is set stays."""

    async def main() -> None:
        async with world() as w, w.connect(policy=quick(heartbeat=heartline.Heartbeat(5.0, 5.0))) as conn:
            await conn.connected(5)
            await conn.request("echo", 0)
            await asyncio.sleep(0)
            shell = conn._shell
            armed = 0
            loop = asyncio.get_running_loop()
            call_later = loop.call_later

            def counting(delay: float, callback: Any, *args: Any) -> Any:
                nonlocal armed
                armed += callback == shell._tick
                return call_later(delay, callback, *args)

            parts = {
                "call_later": staticmethod(counting),
                "call_soon": loop.call_soon,
                "create_future": loop.create_future,
            }
            shell.loop = type("Loop", (), parts)()  # type: ignore[assignment]
            for i in range(200):
                await conn.request("echo", i)
            shell.loop = loop
            assert armed <= 2

    run(main())


def test_a_link_that_was_left_is_mute() -> None:
    """What is still said on it changes nothing: the machine knows it no longer, and nothing is written to it."""

    async def main() -> None:
        async with world() as w, w.connect() as conn:
            await conn.connected(5)
            shell = conn._shell
            (link,) = shell.links.values()
            w.proxy.freeze(link=w.proxy.links[0])
            link.leave(4007, "tried out")
            shell.machine.lost(link.attempt, 1006, "tried out", now())
            shell.run()
            session = conn.session_id
            link.on_message(b'["ack",7]')
            link.on_message(b"rubbish")
            link.on_activity()
            link.send(b'["ping",1]')
            await conn.connected(5)
            assert conn.session_id == session
            assert w.proxy.stats.dials == 2

    asyncio.run(main())
