"""Peers that stall, and links that freeze: bounded memory, nobody else slowed down, found in time."""

import asyncio
import gc
import os
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

import heartline
from heartline import BackOff, ClientPolicy, Heartbeat, State
from heartline.faults import Direction, FaultProxy
from heartline.server.hub import AT_ONCE

from .raw import Raw, greeted, hub_of, make_app, on_loop, raw, until

LINE = "x" * 10_000


def resident() -> int:
    """Bytes of memory this process holds (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@on_loop
async def test_a_listener_that_stops_reading_costs_little_and_slows_nobody() -> None:
    """60 MB are published; one of three does not read its socket, one reads and never says `at`."""
    app = make_app(heartbeat=Heartbeat(25.0, 10.0))
    app.channel("c", history=50)
    app.on("x")(lambda data: data)
    async with app.serving() as address, greeted(address) as deaf, greeted(address) as lazy, greeted(address) as good:
        for link in (deaf, lazy, good):
            await link.sub(1, "c")
        node = hub_of(app).node
        feeds = {core.id: link.feed for link in node.links if (core := link.session) is not None}
        sockets = {s.link: s for s in hub_of(app).sockets}
        assert deaf.socket is not None
        deaf.socket.pause_reading()
        await app.publish("c", "e", LINE)
        gc.collect()
        before, slowest, most = resident(), 0.0, 0
        for n in range(2, 6_001):
            began = time.perf_counter()
            await app.publish("c", "e", LINE)
            await asyncio.sleep(0)
            if n % 20 == 0:  # less than the credit
                while (await good.hear("msg"))[2] < n:
                    pass
                good.say("at", "c", n)
                while not lazy.frames.empty():
                    lazy.frames.get_nowait()
                most = max(most, *(s.socket.buffered for s in sockets.values() if s.socket is not None))
                slowest = max(slowest, time.perf_counter() - began)
            good.kept.clear()
        assert resident() - before < 30 << 20, "the history, the buffers, and nothing of 60 MB more"
        for feed in feeds.values():
            assert feed.in_flight <= 512
            assert feed.flight_bytes <= (256 << 10) + 2 * len(LINE), "the credit of one channel"
        assert most < 1 << 20
        assert slowest < 1.0
        assert await good.call(1, "x", 1) == 1
        deaf.socket.resume_reading()  # and it can catch up, knowing what it missed
        last = 0
        while last < 6_000:
            frame = await deaf.hear("msg", "gap")
            last = frame[2]["to"] if frame[0] == "gap" else frame[2]
            deaf.say("at", "c", last)


@on_loop
async def test_volatile_messages_are_dropped_for_who_does_not_read() -> None:
    app = make_app()
    app.channel("c")
    async with app.serving() as address, greeted(address) as deaf, greeted(address) as good:
        for link in (deaf, good):
            await link.sub(1, "c")
        assert deaf.socket is not None
        deaf.socket.pause_reading()
        heard = most = 0
        for n in range(3_000):
            app.publish_now("c", "e", LINE)
            await asyncio.sleep(0)
            if n % 20 == 19:
                while heard <= n:
                    await good.hear("now")
                    heard += 1
                most = max(most, *(s.socket.buffered for s in hub_of(app).sockets if s.socket is not None))
        assert most < 2 << 20, "up to the high-water mark of 1 MiB"
        deaf.socket.resume_reading()
        await until(lambda: not any(link.congested for link in hub_of(app).node.links))
        deaf.frames = asyncio.Queue()
        app.publish_now("c", "last", 1)
        while (await deaf.hear("now"))[2] != "last":
            pass


@on_loop
async def test_a_link_that_is_not_congested_any_more_hears_again() -> None:
    app = make_app()
    async with app.serving() as address, greeted(address) as link:
        session = app.sessions()[0]
        (core,) = hub_of(app).node.links
        core.congested = True
        session.send_now("lost")
        (socket,) = hub_of(app).sockets
        socket.on_writable()
        session.send_now("heard")
        assert (await link.hear())[2] == "heard"


# --- dead links -------------------------------------------------------------------------------------


@pytest.mark.parametrize("hello", [True, False])
@on_loop
async def test_a_silent_client_is_left_in_time(hello: bool) -> None:
    """Within interval + timeout + one grain of the clock; it may well still be reading."""
    app = make_app(heartbeat=Heartbeat(0.3, 0.2))
    app.on("x")(lambda data: data)
    async with app.serving() as address, raw(address) as link:
        if hello:
            welcome = await link.hello()
            assert welcome["heartbeat"] == {"interval": 0.3, "timeout": 0.2}
        await link.call(1, "x", 1)
        link.pongs = False
        began = time.monotonic()
        assert (await link.hear())[0] == "ping"
        assert 0.29 < time.monotonic() - began < 0.45
        code, _ = await link.end()
        assert code == 4000
        assert 0.49 < time.monotonic() - began < 0.5 + hub_of(app).node.wheel.grain + 0.15


@on_loop
async def test_heartbeats_of_many_leave_turns_to_others() -> None:
    """All are due when the loop was held up; each turn sends some, the next reads what they say, and nobody is left."""
    app = make_app(heartbeat=Heartbeat(0.3, 0.3))
    async with app.serving() as address, AsyncExitStack() as links:
        those = [await links.enter_async_context(greeted(address)) for _ in range(5 * AT_ONCE)]
        turns, heard = 0, Counter[int]()

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async def beat(link: Raw) -> None:
            _, number = await link.hear("ping")
            heard[turns] += 1
            link.say("pong", number)
            link.pongs = True

        for link in those:
            link.pongs = False
        counting = asyncio.create_task(count())
        time.sleep(0.4)  # noqa: ASYNC251  # the loop is held up
        await asyncio.gather(*map(beat, those))
        counting.cancel()
        assert max(heard.values()) <= AT_ONCE
        await asyncio.sleep(0.4)
        assert len(app.sessions()) == len(those)


@on_loop
async def test_a_client_that_answers_is_kept() -> None:
    app = make_app(heartbeat=Heartbeat(0.1, 0.1))
    async with app.serving() as address, greeted(address) as link:
        await asyncio.sleep(0.7)
        assert not link.ended.done()
        link.pongs = False
        for _ in range(20):
            assert link.socket is not None
            link.socket.ping()  # of RFC 6455: life as well
            await asyncio.sleep(0.03)
        assert not link.ended.done()


@on_loop
async def test_the_heartbeat_is_the_clients_wish_within_bounds() -> None:
    app = make_app(heartbeat=Heartbeat(10.0, 4.0))

    async def agreed(interval: float, timeout: float) -> Any:
        async with raw(address) as link:
            return (await link.hello(heartbeat={"interval": interval, "timeout": timeout}))["heartbeat"]

    async with app.serving() as address:
        assert await agreed(20.0, 8.0) == {"interval": 20.0, "timeout": 8.0}
        assert await agreed(0.001, 0.001) == {"interval": 5.0, "timeout": 2.0}
        assert await agreed(86_400, 86_400) == {"interval": 60.0, "timeout": 30.0}


@pytest.mark.parametrize("direction", [None, *Direction])
@on_loop
async def test_a_frozen_link_is_left_by_both_sides(direction: Direction | None) -> None:
    """No packet passes any more, in one direction or both, and no connection breaks."""
    beat = Heartbeat(0.3, 0.3)
    app = make_app(heartbeat=beat)
    app.channel("c")
    app.on("x")(lambda data: data)
    left: list[float] = []
    app.detached(lambda session: left.append(time.monotonic()))
    policy = ClientPolicy(heartbeat=beat, back_off=BackOff(0.05, 0.1, 5.0))
    async with app.serving() as address, FaultProxy((address.host, address.port)) as proxy:
        url = proxy.url("ws")
        async with heartline.connect(url, policy=policy, linger=0.0) as conn:
            await conn.connected(5)
            got: list[Any] = []
            conn.subscribe("c", callback=lambda entry: got.append(entry.data))
            await conn.request("x", 1)
            changes = conn.watch()
            frozen = time.monotonic()
            proxy.freeze(direction)
            for n in range(5):
                await app.publish("c", "e", n)
            async with asyncio.timeout(10):
                async for change in changes:
                    if change.new is not State.OPEN:
                        break
            bound = beat.interval + beat.timeout + hub_of(app).node.wheel.grain + 0.25
            assert time.monotonic() - frozen < bound, "the client"
            await until(lambda: left)
            assert left[0] - frozen < bound, "the server"
            proxy.thaw()
            await until(lambda: got == [0, 1, 2, 3, 4])
            assert await conn.request("x", 2) == 2
            assert len(app.sessions()) == 1
