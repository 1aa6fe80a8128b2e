"""States: what is told, when waiting ends, refusals and giving up, and the ways back."""

import asyncio
from itertools import pairwise

import pytest

import heartline
from heartline import (
    Expired,
    GaveUp,
    LoginRefused,
    Outcome,
    OutcomeUnknown,
    State,
    StateChange,
    SubscriptionRefused,
)
from heartline.core.states import MOVES

from .conftest import Run
from .world import World, guarded, quick, until, until_state, world


def test_state_changes_are_told_in_order(run: Run) -> None:
    async def main() -> None:
        async with world() as w:
            changes: list[StateChange] = []
            watched: list[StateChange] = []
            conn = w.connect()
            conn.on_state(changes.append)
            watch = conn.watch()

            async def read() -> None:
                watched.extend([change async for change in watch])

            reading = asyncio.create_task(read())
            assert conn.state is State.IDLE
            async with conn:
                await conn.connected(5)
                w.proxy.cut_all()
                await until_state(conn, State.WAITING, State.DIALLING)
                await conn.connected(5)
            await reading
            assert watched == changes
            assert changes[0].old is State.IDLE
            assert changes[-1].new is State.CLOSED
            for before, after in pairwise(changes):
                assert before.new is after.old
            moves = [change for change in changes if change.old is not change.new]
            assert all(change.new in MOVES[change.old] for change in moves)
            lost = next(change for change in changes if change.new is State.WAITING)
            assert lost.code == 1006
            assert lost.retry_in is not None
            assert lost.reason == "the connection was lost"

    run(main())


def test_a_state_callback_may_end_and_may_fail(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with world() as w:
            seen: list[State] = []
            conn = w.connect()

            @conn.on_state
            def stop(change: StateChange) -> None:
                raise ZeroDivisionError

            quiet = conn.on_state(lambda change: seen.append(change.new))
            async with conn:
                await conn.connected(5)
                quiet()
                quiet()
            assert seen == [State.DIALLING, State.GREETING, State.OPEN]

    run(main())
    assert "a state callback raised" in caplog.text


def test_callbacks_see_a_machine_at_rest(run: Run) -> None:
    """A callback may use the connection: send, subscribe, close."""

    async def main() -> None:
        async with world() as w:
            conn = w.connect()
            closing: list[asyncio.Task[None]] = []

            def on_state(change: StateChange) -> None:
                if change.new is State.OPEN and not closing:
                    conn.send_nowait("note", "from a callback")
                    conn.subscribe("c/1")
                    conn.network_changed()
                if change.new is State.WAITING:
                    closing.append(asyncio.ensure_future(conn.close()))

            conn.on_state(on_state)
            await conn.start()
            await until(lambda: w.handled == ["from a callback"])
            w.proxy.cut_all()
            await until(lambda: closing)
            await closing[0]
            assert conn.state is State.CLOSED

    run(main())


def test_connected_waits_and_times_out(run: Run) -> None:
    async def main() -> None:
        async with world() as w:
            w.proxy.refuse()
            async with w.connect() as conn:
                with pytest.raises(TimeoutError):
                    await conn.connected(0.05)
                w.proxy.refuse(False)
                await conn.connected(5)
                await conn.connected()
                assert conn.state is State.OPEN

    run(main())


def test_connected_raises_at_a_dead_end(run: Run) -> None:
    async def main() -> None:
        async with world() as w:
            w.proxy.refuse()
            async with w.connect(policy=quick(max_attempts=2)) as conn:
                with pytest.raises(GaveUp, match="attempt 2 of 2"):
                    await conn.connected(5)
                with pytest.raises(GaveUp):
                    await conn.connected(5)
                waiting = asyncio.create_task(conn.connected())
            with pytest.raises((GaveUp, heartline.ConnectionClosed)):
                await waiting
            with pytest.raises(heartline.ConnectionClosed):
                await conn.connected()

    run(main())


def test_refused_for_now_comes_back(run: Run) -> None:
    async def main() -> None:
        tokens: dict[str, str] = {}
        async with world(declare=guarded(tokens, retry=0.1)) as w, w.connect(login="t") as conn:
            receipt = await conn.send("note", 1)
            watch = conn.watch()
            async for change in watch:
                if change.new is State.WAITING:
                    assert change.reason == "refused: bad_token: not known"
                    assert change.retry_in is not None
                    assert change.retry_in >= 0.1
                    break
            tokens["t"] = "ann"
            await receipt
            assert w.handled == [1]

    run(main())


async def refused(w: World, conn: heartline.Connection) -> None:
    """Everything that waits on a connection that is refused for good, while that happens."""
    never, call = await conn.send("note", 1), asyncio.create_task(conn.request("note", 2, timeout=None))
    subscription = conn.subscribe("c/1")
    ready = asyncio.create_task(subscription.ready())
    settled = asyncio.create_task(conn.settled())
    connected = asyncio.create_task(conn.connected())
    with pytest.raises(Expired, match="refused: bad_token"):
        await never
    assert never.outcome is Outcome.EXPIRED
    for task in (call, ready, connected):
        with pytest.raises(LoginRefused, match="bad_token: not known"):
            await task
    await asyncio.wait([settled])
    settled.exception()
    assert conn.state is State.REFUSED
    assert conn.pending == 0
    with pytest.raises(LoginRefused):
        await conn.request("note", 3)
    with pytest.raises(LoginRefused):
        await conn.send("note", 3)
    with pytest.raises(LoginRefused):
        await anext(subscription)
    await asyncio.sleep(0.1)
    assert w.proxy.stats.dials == 1


def test_refused_for_good_and_the_way_back(run: Run) -> None:
    async def main() -> None:
        tokens: dict[str, str] = {}
        async with world(declare=guarded(tokens)) as w, w.connect(login="t") as conn:
            await refused(w, conn)
            tokens["t"] = "ann"
            conn.retry_now()
            await conn.connected(5)
            await conn.request("note", "back")
            assert w.handled == ["back"]

    run(main())


def test_refused_later_what_was_written_is_not_lost(run: Run) -> None:
    """The token is withdrawn while messages are at the server: requests end as unknown, receipts come back later."""

    async def main() -> None:
        tokens = {"t": "ann"}
        async with world(declare=guarded(tokens)) as w, w.connect(login="t") as conn:
            receipt = await conn.send("slow", 1)
            call = asyncio.create_task(conn.request("slow", 2))
            await until(lambda: w.handled == [1, 2])
            waiting = asyncio.ensure_future(_wait(receipt))
            tokens.clear()
            w.proxy.cut_all()
            with pytest.raises(OutcomeUnknown, match="sent, but no reply can come: refused"):
                await call
            with pytest.raises(LoginRefused):
                await waiting
            with pytest.raises(LoginRefused):
                await receipt
            assert receipt.outcome is None
            tokens["t"] = "ann"
            w.hold.set()
            conn.retry_now()
            await receipt
            assert w.handled == [1, 2]

    run(main())


async def _wait(receipt: heartline.Receipt) -> None:
    await receipt


def test_giving_up_and_the_way_back(run: Run) -> None:
    async def main() -> None:
        async with world() as w:
            w.proxy.refuse()
            async with w.connect(policy=quick(max_attempts=2)) as conn:
                receipt = await conn.send("note", 1)
                call = asyncio.create_task(conn.request("note", 2))
                subscription = conn.subscribe("c/1")
                with pytest.raises(GaveUp):
                    await anext(subscription)
                with pytest.raises(GaveUp):
                    await receipt
                with pytest.raises(GaveUp):
                    await conn.settled()
                assert conn.state is State.GAVE_UP
                with pytest.raises(Expired, match="attempt 2 of 2"):
                    await conn.request("note", 3, timeout=0.05)
                later = await conn.send("note", 4)
                w.proxy.refuse(False)
                conn.retry_now()
                await receipt
                await call
                await later
                await subscription.ready()
                assert w.handled == [1, 2, 4]

    run(main())


def test_replaced_by_another_instance_is_final(run: Run) -> None:
    """Two processes with one session: the later one wins, and the first does not fight back."""

    async def main() -> None:
        async with world() as w, w.connect() as first:
            await first.connected(5)
            second = w.connect()
            await second.start()
            await second.connected(5)
            mine, thief = first._shell.machine._me, second._shell.machine._me
            thief.session, thief._key = mine.session, mine._key
            w.proxy.cut(w.proxy.links[1])
            await until_state(first, State.REFUSED)
            with pytest.raises(heartline.Replaced):
                await first.send("note", 1)
            await second.connected(5)
            dials = w.proxy.stats.dials
            await asyncio.sleep(0.1)
            assert w.proxy.stats.dials == dials
            await second.close()

    run(main())


def test_a_session_ended_by_the_server(run: Run) -> None:
    async def main() -> None:
        async with world() as w, w.connect() as conn:
            await conn.connected(5)
            call = asyncio.create_task(conn.request("slow", 1))
            await until(lambda: w.handled)
            w.app.sessions()[0].close("banned")
            with pytest.raises(OutcomeUnknown, match="banned"):
                await call
            with pytest.raises(heartline.ConnectionClosed, match="banned"):
                await conn.send("note", 1)
            conn.retry_now()
            await conn.connected(5)
            w.hold.set()

    run(main())


def test_hints_dial_at_once(run: Run) -> None:
    async def main() -> None:
        async with world() as w:
            w.proxy.refuse()
            slow = quick(back_off=heartline.BackOff(60.0, 60.0))
            async with w.connect(policy=slow) as conn:
                for hint in (conn.retry_now, conn.network_changed, conn.resumed_from_background):
                    dials = w.proxy.stats.dials
                    await until_state(conn, State.WAITING)
                    if hint == conn.resumed_from_background:
                        w.proxy.refuse(False)
                    hint()
                    await w.proxy.until(lambda stats, dials=dials: stats.dials > dials)
                await conn.connected(5)

    run(main())


def test_moving_keeps_everything(run: Run) -> None:
    """The server asks to move: a new link is made while the old one still works."""

    async def main() -> None:
        async with world() as w, w.connect() as conn:
            subscription = conn.subscribe("c/1", type=int)
            await subscription.ready()
            states: list[State] = []
            conn.on_state(lambda change: states.append(change.new))
            assert w.app._hub is not None
            w.app._hub.node.drain_links(0.0, 0.05)
            w.app._hub.turn()
            for i in range(100):
                await conn.publish("c/1", i)
                await asyncio.sleep(0.001)
            assert [(await anext(subscription)).data for _ in range(100)] == list(range(100))  # type: ignore[union-attr]
            await until(lambda: State.MOVING in states and conn.state is State.OPEN)
            assert State.WAITING not in states
            await conn.settled(5)

    run(main())


def test_refused_subscription_leaves_the_connection_alone(run: Run) -> None:
    async def main() -> None:
        async with world() as w, w.connect() as conn:
            with pytest.raises(SubscriptionRefused):
                await conn.subscribe("nothing/like/it").ready()
            assert await conn.request("echo", 1) == 1

    run(main())
