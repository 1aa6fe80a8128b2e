"""Links that get a name from their first words, and what is done to those of one name. Real sockets, both ends."""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from heartline.faults import Direction, FaultProxy, FaultRules, ProxyEventKind
from heartline.faults import link as link_module
from heartline.faults.groups import HEAD_LIMIT
from tests.faults.net import End, Net, network

Run = Callable[[Callable[[], Awaitable[None]]], None]


def page(head: bytes) -> str | None:
    """The name of a link: `GET /x?page=NAME HTTP/1.1`."""
    found = re.search(rb"^GET [^ ]*[?&]page=(\w+)", head)
    return found[1].decode() if found else None


def head_of(name: str | None) -> bytes:
    return b"GET /x%s HTTP/1.1\r\nhost: h\r\n\r\n" % (b"" if name is None else b"?page=" + name.encode())


async def linked(net: Net, name: str | None) -> tuple[End, End]:
    """An open link of that name, its head read by the server."""
    client = await net.dial()
    await client.say(head_of(name))
    server = await net.served()
    assert await server.hear(len(head_of(name))) == head_of(name)
    return client, server


async def passes(one: End, other: End) -> None:
    await one.say(b"over here")
    assert await other.hear(9) == b"over here"
    await other.say(b"and back")
    assert await one.hear(8) == b"and back"


async def broken(end: End) -> bool:
    return (await end.outcome())[1] == "reset"


def test_a_group_alone(on_loop: Run) -> None:
    async def test() -> None:
        async with network(name_of=page) as net:
            ann, bob, raw = [await linked(net, name) for name in ("ann", "bob", None)]
            group = net.proxy.group("ann")

            group.freeze()
            await ann[0].say(b"hello")
            await ann[1].hears_nothing()
            await passes(*bob)
            await passes(*raw)
            assert (group.stats.frozen, net.proxy.stats.frozen) == (1, 1)
            if sys.platform == "linux":
                assert group.stuck == 5  # in the kernel: nothing is read from what is frozen
            group.thaw()
            assert await ann[1].hear(5) == b"hello"
            assert group.stuck == 0

            assert group.cut() == 1
            assert await broken(ann[0])
            await passes(*bob)
            await passes(*raw)

            group.refuse()
            dial = await net.dial()
            await dial.say(head_of("ann"))
            assert await broken(dial)
            await passes(*await linked(net, "bob"))
            await passes(*await linked(net, None))

            group.hang_dials()
            dial = await net.dial()
            await dial.say(head_of("ann"))
            await dial.hears_nothing()
            group.hang_dials(False)
            assert group.cut() == 1  # the dial that hangs, too
            assert await broken(dial)
            await passes(*await linked(net, "ann"))
            stats = group.stats  # since the group was made
            assert (stats.dials, stats.opened, stats.refused, stats.hung, stats.cut) == (3, 1, 1, 1, 2)
            assert {e.name for e in net.events if e.what is ProxyEventKind.CUT} == {"ann"}

    on_loop(test)


def test_a_frozen_group_freezes_dials_too(on_loop: Run) -> None:
    async def test() -> None:
        async with network(name_of=page) as net:
            net.proxy.group("ann").freeze(Direction.UP)
            client = await net.dial()
            await client.say(head_of("ann"))
            server = await net.served()
            await server.hears_nothing()
            await server.say(b"who is there?")
            assert await client.hear(13) == b"who is there?"
            net.proxy.group("ann").thaw()
            assert await server.hear(len(head_of("ann"))) == head_of("ann")

    on_loop(test)


def test_joined_at_once(on_loop: Run) -> None:
    async def test() -> None:
        async with network(name_of=page) as net:
            client, server = await linked(net, "ann")
            group = net.proxy.group("ann")  # made when the link is there already
            assert net.proxy.group("ann") is group
            group.freeze()
            await client.say(b"hello")
            await server.hears_nothing()
            net.proxy.forget("ann")
            net.proxy.forget("nobody")
            assert await server.hear(5) == b"hello"
            assert net.proxy.group("ann") is not group

    on_loop(test)


def test_rules_of_a_group(on_loop: Run) -> None:
    async def test() -> None:
        async with network(name_of=page) as net:
            (ann, ann_there), (bob, bob_there) = await linked(net, "ann"), await linked(net, "bob")
            loop = asyncio.get_running_loop()
            net.proxy.group("ann").set_rules(FaultRules(latency=0.15))
            began = loop.time()
            await ann.say(b"slow")
            await bob.say(b"fast")
            assert await bob_there.hear(4) == b"fast"
            assert loop.time() - began < 0.15
            assert await ann_there.hear(4) == b"slow"
            assert loop.time() - began >= 0.14
            net.proxy.set_rules(FaultRules())  # of the proxy: the group keeps its own
            began = loop.time()
            await ann_there.say(b"slow")
            assert await ann.hear(4) == b"slow"
            assert loop.time() - began >= 0.14
            net.proxy.group("ann").set_rules(None)
            began = loop.time()
            await passes(ann, ann_there)
            assert loop.time() - began < 0.14

    on_loop(test)


def test_same_seed_same_fate(on_loop: Run) -> None:
    async def test() -> None:
        async def story(*names: str) -> list[ProxyEventKind]:
            decided = {ProxyEventKind.OPENED, ProxyEventKind.REFUSED}
            async with network(name_of=page, seed=3) as net:
                net.proxy.group("ann").set_rules(FaultRules(refuse_chance=0.5))
                for number, name in enumerate(names * 12, 1):
                    end = await net.dial()
                    await end.say(head_of(name))
                    await net.proxy.until(lambda stats, n=number: stats.opened + stats.refused == n)  # type: ignore[misc]
                return [e.what for e in net.events if e.name == "ann" and e.what in decided]

        alone = await story("ann")
        assert alone == await story("bob", "ann", "bob")  # whatever others dial meanwhile
        assert len(set(alone)) == 2

    on_loop(test)


def test_the_whole_proxy_holds_for_groups(on_loop: Run) -> None:
    async def test() -> None:
        async with network(name_of=page) as net:
            client, server = await linked(net, "ann")
            net.proxy.group("ann").freeze()
            net.proxy.freeze()
            net.proxy.thaw()
            await client.say(b"hello")
            await server.hears_nothing()  # still frozen by the group's hand
            net.proxy.group("ann").thaw()
            assert await server.hear(5) == b"hello"
            net.proxy.refuse()
            dial = await net.dial()
            await dial.say(head_of("ann"))
            assert await broken(dial)
            assert net.proxy.cut_all() == 1
            assert await broken(client)

    on_loop(test)


@pytest.mark.parametrize("words", [b"\x16\x03\x01 TLS", b"G" * HEAD_LIMIT, b"GET / HTTP/1.1\r\n\r\n"])
def test_heads_are_bounded(on_loop: Run, words: bytes) -> None:
    async def test() -> None:
        async with network(name_of=page) as net:
            client = await net.dial()
            await client.say(words)
            server = await net.served()
            assert await server.hear(len(words)) == words
            await passes(client, server)
            assert all(e.name is None for e in net.events)

    on_loop(test)


def test_a_head_in_pieces(on_loop: Run) -> None:
    async def test() -> None:
        async with network(name_of=page) as net:
            net.proxy.group("ann").refuse()
            client = await net.dial()
            for byte in head_of("ann")[:-1]:
                await client.say(bytes([byte]))
            assert net.kinds() == []
            await client.say(b"\n")
            assert await broken(client)

    on_loop(test)


def test_a_head_that_does_not_come(on_loop: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "HEAD_WAIT", 0.1)

    async def test() -> None:
        async with network(name_of=page) as net:
            client = await net.dial()
            await client.say(b"GET /x?page=ann")
            server = await net.served()
            assert await server.hear(15) == b"GET /x?page=ann"
            await passes(client, server)

    on_loop(test)


@pytest.mark.parametrize("how", ["reset", "half"])
def test_leaving_before_the_head_is_there(on_loop: Run, how: str) -> None:
    async def test() -> None:
        async with network(name_of=page) as net:
            client = await net.dial()
            await client.say(b"GET /")
            if how == "half":
                client.writer.write_eof()
                server = await net.served()
                assert await server.hear(5) == b"GET /"
                await server.say(b"bad request")
                server.close()
                assert (await client.outcome())[0] == b"bad request"
            else:
                client.reset()
            await net.event(ProxyEventKind.CLOSED)
            assert net.proxy.stats.open == 0

    on_loop(test)


def test_a_broken_name_of_breaks_nothing(on_loop: Run) -> None:
    async def test() -> None:
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

        def fails(head: bytes) -> str:
            raise KeyError(head)

        async with network(name_of=fails) as net:
            client = await net.dial()
            await client.say(b"GET / HTTP/1.1\r\n\r\n")
            server = await net.served()
            assert await server.hear(18)
            await passes(client, server)
        assert [context["message"] for context in told] == ["name_of failed"]

    on_loop(test)


def test_groups_need_names(on_loop: Run) -> None:
    async def test() -> None:
        async with network() as net:
            with pytest.raises(RuntimeError, match="name_of"):
                net.proxy.group("ann")

    on_loop(test)


def test_closing_while_a_head_is_waited_for(on_loop: Run) -> None:
    async def test() -> None:
        async with network(name_of=page) as net:
            client = await net.dial()
            await client.say(b"GET /")
            await net.proxy.until(lambda stats: stats.dials == 1)
        assert isinstance(net.proxy, FaultProxy)
        assert net.proxy.stats.open == 0

    on_loop(test)
