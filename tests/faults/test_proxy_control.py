"""The proxy's dials, hands, rules, reports and its own end. Real sockets, seen from both ends."""

import asyncio
import math
import random
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from heartline.faults import DialVerdict, Direction, FaultModel, FaultProxy, FaultRules, ProxyEvent, ProxyEventKind
from heartline.faults.link import LEGAL_PHASES, LinkPhase
from tests.faults.net import LIMIT, network

Run = Callable[[Callable[[], Awaitable[None]]], None]
UP, DOWN = Direction.UP, Direction.DOWN


# --- leaving while frozen -------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("who", ["client", "server"])
def test_leaving_is_noticed(on_loop: Run, who: str, how: str) -> None:
    async def test() -> None:
        async with network() as net:
            client, server = await net.link()
            gone, stays = (client, server) if who == "client" else (server, client)
            net.proxy.freeze()
            await stays.say(b"anybody there?")
            getattr(gone, how)()
            left = await net.event(ProxyEventKind.LEFT)
            assert left.direction is (UP if who == "client" else DOWN)
            await stays.hears_nothing()
            net.proxy.thaw()
            data, end = await stays.outcome()
            assert data == b""
            assert how == "close" or end == "reset"
            stays.close()
            await net.event(ProxyEventKind.CLOSED)

    on_loop(test)


def test_leaving_unheard_in_one_direction(on_loop: Run) -> None:
    async def test() -> None:
        async with network() as net:
            client, server = await net.link()
            net.proxy.freeze(UP)
            client.reset()
            await net.event(ProxyEventKind.LEFT)
            for _ in range(5):  # goes to nobody; the server cannot know
                await server.say(b"hello?")
                await server.hears_nothing()
            net.proxy.thaw()
            assert (await server.outcome())[1] == "reset"

    on_loop(test)


def test_half_open_for_ever(on_loop: Run) -> None:
    async def test() -> None:
        async with network(FaultRules(freeze_every=0.02, freeze_for=math.inf)) as net:
            client, server = await net.link()
            await net.event(ProxyEventKind.FROZEN)
            client.close()
            await net.event(ProxyEventKind.LEFT)
            await server.hears_nothing()
            assert net.proxy.links == (1,)
            server.close()  # the server found out by itself: nobody is left
            await net.event(ProxyEventKind.CLOSED)
            assert net.kinds().count(ProxyEventKind.LEFT) == 2

    on_loop(test)


def test_a_killing_freeze_loses_what_it_held(on_loop: Run) -> None:
    async def test() -> None:
        rules = FaultRules(freeze_every=0.02, freeze_for=0.2, freeze_kills=True, spread=0)
        async with network(rules) as net:
            client, server = await net.link()
            await net.event(ProxyEventKind.FROZEN)
            await client.say(b"into the hole")
            assert await asyncio.gather(client.outcome(), server.outcome()) == [(b"", "reset")] * 2
            assert net.proxy.stats.bytes_lost == 13
            assert ProxyEventKind.THAWED not in net.kinds()

    on_loop(test)


# --- dials ----------------------------------------------------------------------------------------


def test_refused_dials(on_loop: Run) -> None:
    async def test() -> None:
        async with network() as net:
            net.proxy.refuse()
            client = await net.dial()
            assert await client.outcome() == (b"", "reset")
            await net.event(ProxyEventKind.CLOSED)
            net.proxy.refuse(False)
            client, server = await net.link()
            await client.say(b"now")
            assert await server.hear(3) == b"now"
            stats = net.proxy.stats
            assert (stats.dials, stats.refused, stats.opened) == (2, 1, 1)
            assert net.accepted.empty()

    on_loop(test)


def test_hung_dials(on_loop: Run) -> None:
    async def test() -> None:
        async with network() as net:
            net.proxy.hang_dials()
            first, second, third = [await net.dial() for _ in range(3)]
            await net.proxy.until(lambda stats: stats.hung == 3)
            await first.say(b"GET / HTTP/1.1\r\n\r\n")
            await first.hears_nothing()
            assert net.accepted.empty()
            first.close()  # gives up: the proxy notices
            await net.proxy.until(lambda _: ProxyEventKind.CLOSED in net.kinds(1))
            net.proxy.cut(2)
            assert await second.outcome() == (b"", "reset")
            net.proxy.hang_dials(False)
            await net.link()
            assert net.proxy.cut_all(lose=False) == 2
            assert await third.outcome() == (b"", "eof")

    on_loop(test)


def test_an_unreachable_target_is_a_reset(on_loop: Run) -> None:
    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            target = free.getsockname()
        async with network() as net:
            net.proxy.target = target
            client = await net.dial()
            assert await client.outcome() == (b"", "reset")
            await net.event(ProxyEventKind.UNREACHABLE)
            assert net.proxy.stats.unreachable == 1

    on_loop(test)


def test_the_seed_decides_about_dials(on_loop: Run) -> None:
    rules = FaultRules(refuse_chance=0.4, hang_chance=0.3)
    names = {
        DialVerdict.REFUSE: ProxyEventKind.REFUSED,
        DialVerdict.HANG: ProxyEventKind.HUNG,
        DialVerdict.ACCEPT: ProxyEventKind.OPENED,
    }

    async def test() -> None:
        model = FaultModel(rules, random.Random(5))
        async with network(rules, seed=5) as net:
            for number in range(1, 21):
                await net.dial()
                await net.proxy.until(lambda _, n=number: bool({*names.values()} & {*net.kinds(n)}))
                net_says = next(kind for kind in net.kinds(number) if kind in names.values())
                assert net_says is names[model.dial(0.0)]

    on_loop(test)


def test_kindness_comes(on_loop: Run) -> None:
    async def test() -> None:
        rules = FaultRules(refuse_chance=1, freeze_every=0.01, freeze_for=math.inf, kind_after=0.15)
        async with network(rules) as net:
            assert await (await net.dial()).outcome() == (b"", "reset")
            async with asyncio.timeout(LIMIT):
                while not net.proxy.stats.opened:
                    (await net.dial()).writer.write(b"hello")
                    await asyncio.sleep(0.01)
            assert await (await net.served()).hear(5) == b"hello"

    on_loop(test)


# --- hands on single links, rules exchanged -------------------------------------------------------


def test_one_link_of_several(on_loop: Run) -> None:
    async def test() -> None:
        async with network() as net:
            one, two, three = [await net.link() for _ in range(3)]
            assert net.proxy.links == (1, 2, 3)
            net.proxy.cut(1)
            net.proxy.freeze(link=2)
            assert (await one[0].outcome())[1] == "reset"
            await two[0].say(b"held")
            await two[1].hears_nothing()
            await three[0].say(b"free")
            assert await three[1].hear(4) == b"free"
            assert net.proxy.links == (2, 3)
            net.proxy.thaw(link=2)
            assert await two[1].hear(4) == b"held"
            with pytest.raises(KeyError):
                net.proxy.cut(1)

    on_loop(test)


def test_a_frozen_network_freezes_new_links(on_loop: Run) -> None:
    async def test() -> None:
        async with network() as net:
            net.proxy.freeze()
            client, server = await net.link()
            await client.say(b"first")
            await server.hears_nothing()
            net.proxy.thaw()
            assert await server.hear(5) == b"first"

    on_loop(test)


def test_other_rules_hold_at_once(on_loop: Run) -> None:
    async def test() -> None:
        async with network() as net:
            client, server = await net.link()
            net.proxy.set_rules(FaultRules(freeze_every=0.01, freeze_for=math.inf))
            await net.event(ProxyEventKind.FROZEN)
            await client.say(b"held")
            await server.hears_nothing()
            net.proxy.set_rules(FaultRules())
            assert await server.hear(4) == b"held"
            net.proxy.set_rules(FaultRules(cut_every=0.02))
            assert (await server.outcome())[1] == "reset"

    on_loop(test)


def test_seeded_cuts_come(on_loop: Run) -> None:
    async def test() -> None:
        async with network(FaultRules(cut_every=0.1, spread=0, cut_loses_data=False)) as net:
            client, server = await net.link()
            await client.say(b"in time")
            assert await server.outcome() == (b"in time", "eof")
            assert await client.outcome() == (b"", "eof")
            opened, cut = await net.event(ProxyEventKind.OPENED), await net.event(ProxyEventKind.CUT)
            assert 0.05 < cut.at - opened.at < 2

    on_loop(test)


# --- reports --------------------------------------------------------------------------------------


def test_events_tell_the_story(on_loop: Run) -> None:
    async def test() -> None:
        async with network() as net:
            client, server = await net.link()
            net.proxy.freeze(DOWN)
            net.proxy.cut_all()
            await asyncio.gather(client.outcome(), server.outcome())
            await net.event(ProxyEventKind.CLOSED)
            assert [(e.link, e.what, e.direction) for e in net.events] == [
                (1, ProxyEventKind.OPENED, None),
                (1, ProxyEventKind.FROZEN, DOWN),
                (1, ProxyEventKind.CUT, None),
                (1, ProxyEventKind.CLOSED, None),
            ]
            assert [e.at for e in net.events] == sorted(e.at for e in net.events)

    on_loop(test)


def test_a_broken_listener_breaks_nothing(on_loop: Run) -> None:
    def broken(event: ProxyEvent) -> None:
        raise RuntimeError(f"no {event.what}")

    async def test() -> None:
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        async with network(on_event=broken) as net:
            client, server = await net.link()
            await client.say(b"still")
            assert await server.hear(5) == b"still"
        assert [type(context["exception"]) for context in told] == [RuntimeError, RuntimeError]

    on_loop(test)


@pytest.mark.parametrize("when", [ProxyEventKind.OPENED, ProxyEventKind.FROZEN, ProxyEventKind.HUNG])
def test_a_listener_may_use_the_hands(on_loop: Run, when: ProxyEventKind) -> None:
    async def test() -> None:
        seen: list[ProxyEventKind] = []

        def listener(event: ProxyEvent) -> None:
            seen.append(event.what)
            if event.what is when:
                net.proxy.cut(event.link)

        async with network(on_event=listener) as net:
            net.proxy.freeze()
            if when is ProxyEventKind.HUNG:
                net.proxy.hang_dials()
            client = await net.dial()
            assert (await client.outcome())[1] == "reset"
            await net.proxy.until(lambda _: ProxyEventKind.CLOSED in seen)

    on_loop(test)


def test_until_says_why_it_gave_up(on_loop: Run) -> None:
    async def test() -> None:
        async with network() as net:
            with pytest.raises(TimeoutError, match=r"0\.01 s; the proxy stands at ProxyStats\(dials=0"):
                await net.proxy.until(lambda stats: stats.open == 1, 0.01)

    on_loop(test)


# --- the end --------------------------------------------------------------------------------------


def test_closed_leaves_nothing(on_loop: Run) -> None:
    async def test() -> None:
        async with network(FaultRules(latency=30, cut_every=60)) as net:
            client, _ = await net.link()
            await client.say(b"never arrives")
            await net.proxy.until(lambda stats: stats.bytes_held == 13)
            link = net.proxy._links[1]
            armed = [link._timer, link.up._timer]
            assert all(timer is not None for timer in armed)
            net.proxy.cut_all()
            await net.event(ProxyEventKind.CLOSED)
            assert all(timer is not None and timer.cancelled() for timer in armed)
            assert (link._timer, link.up._timer, link.down._timer) == (None, None, None)
            assert (link.client.fileno(), link.server.fileno()) == (-1, -1)
            assert not net.proxy._links
            assert not net.proxy._watched

    on_loop(test)


def test_closing_leaves_nothing(on_loop: Run) -> None:
    async def test() -> None:  # network() itself fails when a task or a descriptor is left
        async with network(FaultRules(latency=30)) as net:
            client, _ = await net.link()
            await client.say(b"never arrives")
            client, _ = await net.link()
            net.proxy.cut(2, lose=False)
            await net.link()
            net.proxy.freeze(link=3)
            net.proxy.hang_dials()
            await net.dial()
            await net.proxy.until(lambda stats: stats.hung == 1)
            await net.proxy.close()
            assert net.proxy._links == {}
            await net.proxy.close()

    on_loop(test)


def test_closing_leaves_nothing_while_dialling(on_loop: Run) -> None:
    async def test() -> None:
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            fillers = [socket.socket() for _ in range(3)]
            for filler in fillers:  # the backlog is full: further connections are never answered
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            async with network() as net:
                net.proxy.target = full.getsockname()
                given_up, waiting = await net.dial(), await net.dial()
                await net.proxy.until(lambda stats: stats.dials == 2)
                given_up.reset()  # noticed although nobody reads
                await net.proxy.until(lambda _: ProxyEventKind.CLOSED in net.kinds(1))
                await net.proxy.close()
                assert await waiting.outcome() == (b"", "reset")
            for filler in fillers:
                filler.close()

    on_loop(test)


def test_misuse_is_told() -> None:
    async def test() -> None:
        proxy = FaultProxy(("127.0.0.1", 9))
        with pytest.raises(RuntimeError, match="not listening"):
            _ = proxy.address
        with pytest.raises(RuntimeError, match="not started"):
            _ = proxy.loop
        await proxy.close()
        async with proxy:
            assert proxy.url("http", "/health") == f"http://127.0.0.1:{proxy.address[1]}/health"
            with pytest.raises(RuntimeError, match="started already"):
                await proxy.start()
            with pytest.raises(TypeError, match="direction"):
                proxy.freeze("up")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="held_limit"):
            FaultProxy(("127.0.0.1", 9), held_limit=0)

    asyncio.run(test())


def test_the_table_of_phases_is_whole() -> None:
    assert set(LEGAL_PHASES) == set(LinkPhase)
    reached = {LinkPhase.ARRIVED}.union(*LEGAL_PHASES.values())
    assert reached == set(LinkPhase)
    assert LEGAL_PHASES[LinkPhase.CLOSED] == frozenset()
