"""The proxy as a network: what passes, what is lost, what is held. Real sockets, seen from both ends."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable

import pytest

from heartline.faults import Direction, FaultRules, ProxyEventKind
from tests.faults.net import End, each, network

Run = Callable[[Callable[[], Awaitable[None]]], None]
UP, DOWN = Direction.UP, Direction.DOWN
SLOW = FaultRules(latency=60)  # what enters is in flight for the whole test


def test_order_is_kept(on_loop: Run) -> None:
    async def test() -> None:
        async with network() as net:
            client, server = await net.link()
            data = random.Random(1).randbytes(3_000_000)

            async def pour(end: End) -> None:
                for piece in each(data, 7001):
                    await end.say(piece)

            got = await asyncio.gather(server.hear(len(data)), client.hear(len(data)), pour(client), pour(server))
            assert got[0] == data
            assert got[1] == data
            assert net.proxy.stats.bytes_up == net.proxy.stats.bytes_down == len(data)

    on_loop(test)


def test_order_is_kept_under_jitter(on_loop: Run) -> None:
    async def test() -> None:
        async with network(FaultRules(latency=0.002, jitter=0.01), seed=3) as net:
            client, server = await net.link()
            data = random.Random(2).randbytes(20_000)
            for piece in each(data, 100):
                await client.say(piece)
                await asyncio.sleep(0)  # so that the pieces enter one by one
            client.writer.write_eof()
            assert await server.outcome() == (data, "eof")

    on_loop(test)


def test_latency_delays_each_way(on_loop: Run) -> None:
    async def test() -> None:
        async with network(FaultRules(latency=0.1)) as net:
            client, server = await net.link()
            clock = asyncio.get_running_loop().time
            began = clock()
            await client.say(b"there")
            await server.hear(5)
            assert clock() - began >= 0.099
            await server.say(b"back")
            await client.hear(4)
            assert clock() - began >= 0.198

    on_loop(test)


def test_bandwidth_is_shared_by_nobody(on_loop: Run) -> None:
    async def test() -> None:
        async with network(FaultRules(bandwidth=1_000_000)) as net:
            client, server = await net.link()
            clock = asyncio.get_running_loop().time
            began = clock()
            await asyncio.gather(
                client.say(bytes(200_000)), server.say(bytes(200_000)), server.hear(200_000), client.hear(200_000)
            )
            assert 0.19 <= clock() - began < 2

    on_loop(test)


def test_half_closes_pass(on_loop: Run) -> None:
    async def test() -> None:
        async with network() as net:
            client, server = await net.link()
            await client.say(b"question")
            client.writer.write_eof()
            assert await server.outcome() == (b"question", "eof")
            await server.say(b"answer")
            assert await client.hear(6) == b"answer"
            server.close()
            assert await client.outcome() == (b"", "eof")
            client.close()
            await net.event(ProxyEventKind.CLOSED)
            assert net.proxy.stats.bytes_lost == 0

    on_loop(test)


def test_what_a_client_says_while_it_is_connected_on_waits(on_loop: Run) -> None:
    async def test() -> None:
        async with network() as net:
            for _ in range(20):
                client = await net.dial()
                client.writer.write(b"question")
                client.writer.write_eof()
                server = await net.served()
                assert await server.outcome() == (b"question", "eof")
                server.writer.write(b"answer")
                server.close()
                assert await client.outcome() == (b"answer", "eof")

    on_loop(test)


@pytest.mark.parametrize("who", ["client", "server"])
def test_errors_pass(on_loop: Run, who: str) -> None:
    async def test() -> None:
        async with network() as net:
            client, server = await net.link()
            gone, stays = (client, server) if who == "client" else (server, client)
            gone.reset()
            assert await stays.outcome() == (b"", "reset")
            await net.event(ProxyEventKind.CLOSED)
            left = await net.event(ProxyEventKind.LEFT)
            assert left.direction is (UP if who == "client" else DOWN)

    on_loop(test)


def test_an_end_for_somebody_who_is_gone_harms_nobody(on_loop: Run) -> None:
    async def test() -> None:
        async with network(FaultRules(latency=0.02)) as net:
            client, server = await net.link()
            net.proxy.freeze(UP)  # nothing is read from the client, so its reset is not noticed at once
            server.writer.write_eof()
            client.reset()
            await net.proxy.until(lambda _: net.kinds().count(ProxyEventKind.LEFT) == 2, 5)
            net.proxy.thaw()
            server.close()
            await net.event(ProxyEventKind.CLOSED)

    on_loop(test)


def test_errors_pass_behind_what_was_said(on_loop: Run) -> None:
    async def test() -> None:
        async with network(FaultRules(latency=0.05)) as net:
            client, server = await net.link()
            await client.say(b"last words")
            await net.proxy.until(lambda stats: stats.bytes_held == 10)
            client.reset()
            assert await server.hear(10) == b"last words"
            assert await server.outcome() == (b"", "reset")

    on_loop(test)


def test_losing_cut_resets_both(on_loop: Run) -> None:
    async def test() -> None:
        async with network(SLOW) as net:
            client, server = await net.link()
            await client.say(b"x" * 1000)
            await server.say(b"y" * 500)
            await net.proxy.until(lambda stats: stats.bytes_held == 1500)
            net.proxy.cut(1)
            assert await asyncio.gather(client.outcome(), server.outcome()) == [(b"", "reset")] * 2
            await net.event(ProxyEventKind.CLOSED)
            stats = net.proxy.stats
            assert (stats.bytes_lost, stats.bytes_up, stats.bytes_down) == (1500, 0, 0)
            assert (stats.cut, stats.open, stats.opened) == (1, 0, 1)
            assert (await net.event(ProxyEventKind.CUT)).loses_data

    on_loop(test)


def test_gentle_cut_delivers_first(on_loop: Run) -> None:
    async def test() -> None:
        async with network(FaultRules(latency=0.1)) as net:
            client, server = await net.link()
            await client.say(b"x" * 100_000)
            await server.say(b"y" * 50_000)
            await net.proxy.until(lambda stats: stats.bytes_held == 150000)
            net.proxy.cut(1, lose=False)
            ends = await asyncio.gather(client.outcome(), server.outcome())
            assert ends == [(b"y" * 50_000, "eof"), (b"x" * 100_000, "eof")]
            await client.say(b"too late")
            await net.proxy.until(lambda stats: stats.bytes_lost == 8)
            client.close()
            server.close()
            await net.event(ProxyEventKind.CLOSED)

    on_loop(test)


def test_gentle_cut_does_not_wait_for_ever(on_loop: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heartline.faults.link._LINGER", 0.1)
    total = 32 * 1024 * 1024

    async def test() -> None:
        async with network() as net:
            client, server = await net.link()
            server.writer.transport.pause_reading()  # its peer never reads
            client.writer.write(bytes(total))
            await net.proxy.until(lambda _: net.proxy._links[1].client.deaf)
            net.proxy.cut(1, lose=False)
            await net.event(ProxyEventKind.CLOSED)
            stats = net.proxy.stats
            assert stats.bytes_lost > 0
            assert stats.bytes_held == 0
            assert await client.outcome() == (b"", "eof")

    on_loop(test)


def test_gentle_cut_lets_out_what_a_freeze_held(on_loop: Run) -> None:
    async def test() -> None:
        async with network() as net:
            client, server = await net.link()
            net.proxy.freeze()
            await client.say(b"x" * 100_000)
            net.proxy.cut(1, lose=False)
            assert await server.outcome() == (b"x" * 100_000, "eof")
            assert await client.outcome() == (b"", "eof")

    on_loop(test)


def test_nothing_is_lost_uncounted(on_loop: Run) -> None:
    async def test() -> None:
        async with network() as net:
            client, _server = await net.link()
            net.proxy.freeze()
            await client.say(b"x" * 1234)  # stays in the kernel: nobody reads it
            net.proxy.cut_all()
            await net.event(ProxyEventKind.CLOSED)
            assert net.proxy.stats.bytes_lost == 1234

    on_loop(test)


def test_frozen_moves_nothing(on_loop: Run) -> None:
    async def test() -> None:
        async with network() as net:
            client, server = await net.link()
            net.proxy.freeze()
            assert net.proxy.stats.frozen == 1
            await client.say(b"up")
            await server.say(b"down")
            await asyncio.gather(client.hears_nothing(), server.hears_nothing())
            assert (net.proxy.stats.bytes_up, net.proxy.stats.bytes_down) == (0, 0)
            assert net.proxy.links == (1,)
            net.proxy.thaw()
            assert await server.hear(2) == b"up"
            assert await client.hear(4) == b"down"
            assert net.kinds() == [
                ProxyEventKind.OPENED, *[ProxyEventKind.FROZEN] * 2, *[ProxyEventKind.THAWED] * 2
            ]  # fmt: skip

    on_loop(test)


@pytest.mark.parametrize("direction", list(Direction))
def test_frozen_one_way_only(on_loop: Run, direction: Direction) -> None:
    async def test() -> None:
        async with network() as net:
            client, server = await net.link()
            net.proxy.freeze(direction)
            await client.say(b"up")
            await server.say(b"down")
            if direction is UP:
                assert await client.hear(4) == b"down"
                await server.hears_nothing()
            else:
                assert await server.hear(2) == b"up"
                await client.hears_nothing()

    on_loop(test)


def test_frozen_holds_what_is_in_flight(on_loop: Run) -> None:
    async def test() -> None:
        async with network(FaultRules(latency=0.05)) as net:
            client, server = await net.link()
            await client.say(b"on its way")
            await net.proxy.until(lambda stats: stats.bytes_held == 10)
            net.proxy.freeze(UP)
            await server.hears_nothing()
            net.proxy.thaw(UP)
            assert await server.hear(10) == b"on its way"

    on_loop(test)


def test_memory_is_bounded_in_a_freeze(on_loop: Run) -> None:
    async def test() -> None:
        async with network() as net:
            client, server = await net.link()
            net.proxy.freeze()
            data = bytes(64 * 1024 * 1024)
            client.writer.write(data)
            with pytest.raises(TimeoutError):  # TCP holds the sender back
                async with asyncio.timeout(0.3):
                    await client.writer.drain()
            assert net.proxy.stats.bytes_held == 0
            net.proxy.thaw()
            got = 0
            async with asyncio.timeout(10):
                while got < len(data):
                    got += len(await server.reader.read(1 << 20))

    on_loop(test)


def test_memory_is_bounded_behind_a_slow_reader_and_under_latency(on_loop: Run) -> None:
    async def test() -> None:
        async with network(FaultRules(latency=0.05), held_limit=100_000) as net:
            client, server = await net.link()
            up = net.proxy._links[1].up
            most = 0

            def look(_: object) -> bool:
                nonlocal most
                most = max(most, up.held)
                return up.source.deaf

            total = 32 * 1024 * 1024
            client.writer.write(bytes(total))
            await net.proxy.until(look)
            with pytest.raises(TimeoutError):  # the server's end reads nothing
                await net.proxy.until(lambda stats: look(stats) and stats.bytes_up >= total, 0.3)
            assert 100_000 <= most < 100_000 + 300_000
            got = 0
            async with asyncio.timeout(10):
                while got < 3_000_000:
                    got += len(await server.reader.read(1 << 20))
            assert look(None) or most < 400_000

    on_loop(test)


def test_memory_is_bounded_with_tiny_chunks(on_loop: Run) -> None:
    async def test() -> None:
        async with network(SLOW, held_limit=12_900) as net:
            client, _server = await net.link()
            up = net.proxy._links[1].up
            for number in range(100):  # each arrives alone: one byte costs 129
                await client.say(b"x")
                await net.proxy.until(lambda stats, n=number: stats.bytes_held == n + 1)
            assert up.source.deaf
            await client.say(b"one too many")
            with pytest.raises(TimeoutError):
                await net.proxy.until(lambda stats: stats.bytes_held > 100, 0.1)

    on_loop(test)


def test_soak_counts_every_byte(on_loop: Run) -> None:
    rules = FaultRules(cut_every=0.1, freeze_every=0.05, freeze_for=0.02, latency=0.002, jitter=0.005)

    async def test() -> None:
        async with network(rules, seed=12) as net:
            said = 0
            for _ in range(10):
                client, server = await net.link()
                with contextlib.suppress(OSError):
                    while not server.reader.at_eof():
                        await client.say(bytes(1000))
                        said += 1000
                        await asyncio.sleep(0.001)
                await net.proxy.until(lambda stats: not stats.open and not stats.bytes_held)
                with contextlib.suppress(OSError):
                    await server.outcome()
            stats = net.proxy.stats
            assert (stats.cut, stats.opened) == (10, 10)
            assert stats.bytes_lost > 0
            counted = stats.bytes_up + stats.bytes_lost
            assert said - 10 * 1000 <= counted <= said  # what follows a reset never reaches the proxy

    on_loop(test)


def test_soak_receives_a_prefix_of_what_was_sent(on_loop: Run) -> None:
    rules = FaultRules(
        cut_every=0.15, cut_loses_data=False, freeze_every=0.05, freeze_for=0.02, latency=0.002, jitter=0.005,
        refuse_chance=0.1, hang_chance=0.1,
    )  # fmt: skip

    async def talk(end: End) -> None:
        number = 0
        with contextlib.suppress(OSError):  # cut
            while not end.reader.at_eof():
                await end.say(number.to_bytes(4, "big") * 20)
                number += 1
                await asyncio.sleep(0.001)
        end.close()

    async def test() -> None:
        async with network(rules, seed=11) as net:
            talkers = []
            for _ in range(30):
                client = await net.dial()
                talkers.append(asyncio.create_task(talk(client)))
            heard = 0
            while net.proxy.stats.cut < net.proxy.stats.opened or heard < net.proxy.stats.opened:
                server = await net.served()
                data, _how = await server.outcome()
                server.close()
                heard += 1
                whole = b"".join(number.to_bytes(4, "big") * 20 for number in range(len(data) // 80 + 1))
                assert whole.startswith(data)
            assert heard > 15
            net.proxy.cut_all()  # the dials that hang
            await asyncio.gather(*talkers)

    on_loop(test)
