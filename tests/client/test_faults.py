"""A bad network on purpose: links that freeze, dials that hang, and a seeded mix with everything checked."""

import asyncio
import contextlib
import random
from typing import Any

import pytest

import heartline
from heartline import Entry, Heartbeat, HeartlineError, Outcome, State
from heartline.faults import Direction, FaultRules

from .conftest import Run
from .world import quick, until, until_state, world

LIVELY = quick(heartbeat=Heartbeat(0.2, 0.2))


@pytest.mark.parametrize("direction", [None, Direction.UP, Direction.DOWN])
def test_a_frozen_link_is_found_and_replaced(run: Run, direction: Direction | None) -> None:
    async def main() -> None:
        async with world() as w, w.connect(policy=LIVELY) as conn:
            await conn.connected(5)
            frozen = w.proxy.links[0]
            w.proxy.freeze(direction, link=frozen)
            began = asyncio.get_running_loop().time()
            receipt = await conn.send("note", 1)
            await receipt
            assert asyncio.get_running_loop().time() - began < 3
            assert w.proxy.stats.dials > 1
            assert w.handled == [1]

    run(main())


def test_an_idle_frozen_link_is_found_by_the_heartbeat(run: Run) -> None:
    async def main() -> None:
        async with world() as w, w.connect(policy=LIVELY) as conn:
            await conn.connected(5)
            codes = []
            conn.on_state(lambda change: codes.append(change.code))
            w.proxy.freeze(link=w.proxy.links[0])
            await w.proxy.until(lambda stats: stats.opened == 2)
            await conn.connected(5)
            assert 4000 in codes

    run(main())


def test_a_hint_finds_a_dead_link_early(run: Run) -> None:
    async def main() -> None:
        async with world() as w, w.connect(policy=quick(heartbeat=Heartbeat(60.0, 0.2))) as conn:
            await conn.connected(5)
            w.proxy.freeze(link=w.proxy.links[0])
            conn.network_changed()
            await w.proxy.until(lambda stats: stats.opened == 2, 5)

    run(main())


def test_a_quiet_link_stays(run: Run) -> None:
    """No link is given up while the other side lives, however little is said."""

    async def main() -> None:
        async with world() as w, w.connect(policy=quick(heartbeat=Heartbeat(0.1, 2.0))) as conn:
            await conn.connected(5)
            await asyncio.sleep(0.7)
            assert conn.state is State.OPEN
            assert w.proxy.stats.dials == 1

    run(main())


def test_dials_that_hang_are_given_up(run: Run) -> None:
    async def main() -> None:
        async with world() as w:
            w.proxy.hang_dials()
            async with w.connect(policy=quick(connect_timeout=0.1)) as conn:
                await until_state(conn, State.WAITING)
                await w.proxy.until(lambda stats: stats.hung >= 2)
                w.proxy.hang_dials(False)
                await conn.connected(5)
                await until(lambda: len(conn._shell.links) == 1)

    run(main())


def test_a_server_that_accepts_and_says_nothing(run: Run) -> None:
    async def main() -> None:
        async with world() as w:
            w.proxy.freeze(Direction.DOWN)
            async with w.connect(policy=quick(connect_timeout=0.2, hello_timeout=0.2)) as conn:
                await w.proxy.until(lambda stats: stats.opened >= 2)
                assert conn.state is not State.OPEN
                w.proxy.thaw()
                await conn.connected(5)

    run(main())


def test_what_the_server_says_wrongly_costs_a_link_and_no_more(run: Run) -> None:
    """A server that sends a binary message, then rubbish, and is a good one afterwards."""

    async def main() -> None:
        async with world() as w, w.connect() as conn:
            await conn.connected(5)
            assert w.app._hub is not None
            for count, send in enumerate(("send_binary", "send"), 1):
                (link,) = w.app._hub.node.links
                reasons: list[str] = []
                stop = conn.on_state(lambda change, reasons=reasons: reasons.append(change.reason))
                socket: Any = _socket_of(link)
                getattr(socket, send)(b"\xff\x00" if send == "send_binary" else b'["msg"]')
                await until(lambda reasons=reasons: reasons)
                stop()
                wanted = (
                    "the server sent a binary message" if send == "send_binary" else "the server broke the protocol"
                )
                assert wanted in reasons[0]
                await conn.connected(5)
                assert w.proxy.stats.dials == count + 1

    run(main())


def _socket_of(link: Any) -> Any:
    found = link.socket
    return getattr(found, "socket", found)


@pytest.mark.parametrize("seed", range(4))
def test_everything_at_once_over_a_bad_network(run: Run, seed: int) -> None:
    """Requests, sends and a channel; each ends once, in order, whatever the network does."""
    rules = FaultRules(cut_every=0.25, freeze_every=0.6, freeze_for=0.4, jitter=0.01, refuse_chance=0.2, kind_after=2.0)

    async def main() -> None:
        async with world() as w:
            w.proxy.set_rules(rules)
            chance = random.Random(seed)
            async with w.connect(policy=quick(heartbeat=Heartbeat(0.2, 0.2), connect_timeout=1.0)) as conn:
                subscription = conn.subscribe("c/1", type=int)
                received: list[int] = []

                async def read() -> None:
                    async for item in subscription:
                        assert isinstance(item, Entry), item
                        received.append(item.data)
                        if item.data == 119:
                            return

                reading = asyncio.create_task(read())
                await subscription.ready()
                receipts: list[heartline.Receipt] = []
                calls = []
                for i in range(120):
                    receipts.append(await conn.send("note", i))
                    await conn.publish("c/1", i)
                    calls.append(asyncio.create_task(conn.request("echo", i, timeout=None)))
                    await asyncio.sleep(chance.uniform(0.0, 0.02))
                assert await asyncio.gather(*calls) == list(range(120))
                await conn.settled(15)
                assert {receipt.outcome for receipt in receipts} == {Outcome.HANDLED}
                assert w.handled == list(range(120))
                await asyncio.wait_for(reading, 10)
                assert received == list(range(120))

    run(main())


@pytest.mark.parametrize("seed", range(3))
def test_cancel_anything_at_any_time(run: Run, seed: int) -> None:
    """Tasks that do everything are cancelled after any number of turns; the connection stays whole."""
    chance = random.Random(seed)

    async def busy(conn: heartline.Connection, name: str) -> None:
        async with conn.subscribe(name) as subscription:
            await subscription.ready()
            await (await conn.publish(name, 1))
            await anext(subscription)
            await conn.request("echo", 1, timeout=5)
            await (await conn.send("note", 1))
            await conn.settled(5)
            await conn.connected(5)
            async for _ in conn.watch():
                break

    async def main() -> None:
        async with world() as w, w.connect(outbox=heartline.OutboxLimits(3, full=heartline.Full.WAIT)) as conn:
            await conn.connected(5)
            for round_ in range(60):
                tasks = [asyncio.create_task(busy(conn, f"c/{round_}-{i}")) for i in range(3)]
                for _ in range(chance.randrange(40)):
                    await asyncio.sleep(0)
                if round_ % 20 == 10:
                    w.proxy.cut_all()
                for task in tasks:
                    task.cancel()
                done = await asyncio.gather(*tasks, return_exceptions=True)
                assert all(isinstance(result, asyncio.CancelledError) for result in done), done
            await conn.settled(10)
            assert await conn.request("echo", "whole") == "whole"
            shell = conn._shell
            await until(lambda: not shell.feeds)
            assert not shell.outcomes._calls
            assert not shell.outcomes._receipts
            assert not shell.outcomes._awaited
            assert not shell.outcomes._all_settled
            assert not shell.states._waiting
            assert not shell.tasks

    run(main())


def test_cancelled_start_and_close(run: Run) -> None:
    async def main() -> None:
        async with world() as w:
            for turns in range(30):
                conn = w.connect()

                async def live(conn: heartline.Connection = conn) -> None:
                    async with conn:
                        with contextlib.suppress(HeartlineError):
                            await conn.request("echo", 1, timeout=0.05)

                task = asyncio.create_task(live())
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
                await until(lambda conn=conn: not conn._shell.links and not conn._shell.tasks)
                assert conn.state in {State.CLOSED, State.IDLE}
            await until(lambda: not w.proxy.links)

    run(main())
